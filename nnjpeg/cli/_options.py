"""Options of the command line and of YAML files, made from the dataclasses of the experiments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from nnjpeg.cli._help import help_of, is_list, metavar
from nnjpeg.paper.fields import Option, changed, make, options_of
from nnjpeg.paper.specs import Machine

__all__ = ["command"]

_S = TypeVar("_S")


def command(
    commands: Any,
    cls: type[_S],
    run: Callable[[_S, Machine, Path | None], int],
    *,
    help: str,
    description: str,
    machine: Sequence[str],
    out: str | None = None,
) -> None:
    """Declare a command whose options are the fields of a class; the command has the name of the class.

    Parameters
    ----------
    commands : subparsers
        Of the main parser.
    cls : type
        The experiment.
    run : callable
        From the experiment, the machine and the run folder to the exit status. It does the slow imports.
    help, description : str
        Of the list of commands, and of the command's own help.
    machine : sequence of str
        Which options of `Machine` it has.
    out : str, optional
        The run folder that is taken by default, in words.
    """
    name = cls.__name__.lower()
    parser = commands.add_parser(name, help=help, description=description, allow_abbrev=False)
    own = options_of(cls)
    places = [one for one in options_of(Machine) if one.name in machine]
    known = {one.name: one for one in (*own, *places)}
    groups = {"": parser.add_argument_group("the experiment")}
    for one in own:
        if one.group not in groups:
            groups[one.group] = parser.add_argument_group(one.group.lower())
        _add(groups[one.group], one)
    where = parser.add_argument_group("where and how it is computed")
    for one in places:
        _add(where, one)
    where.add_argument(
        "--out", metavar="DIR", default=argparse.SUPPRESS,
        help=f"the run folder, which the same command resumes (default: {out or f'runs/{name}-TIME'})",
    )  # fmt: skip
    where.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a YAML file of options; options on the command line take precedence",
    )

    def start(given: argparse.Namespace) -> int:
        try:
            values = {} if given.config is None else _of_file(given.config, known)
            values |= {key: value for key, value in vars(given).items() if key in (*known, "out")}
            folder = values.pop("out", None)
            _refuse_two_meanings(values, known)
            elsewhere = {key: values.pop(key) for key in machine if key in values}
            spec, place = make(cls, values), changed(Machine(), elsewhere)
        except (OSError, ValueError) as error:
            parser.error(str(error))
        return run(spec, place, None if folder is None else Path(folder))

    parser.set_defaults(run=start)


def _refuse_two_meanings(values: Mapping[str, Any], known: Mapping[str, Option]) -> None:
    """Refuse a word that stands for built-in images where a folder has that name: the other may be meant."""
    for name, value in values.items():
        if isinstance(value, str) and value in known[name].folder and Path(value).is_dir():
            raise ValueError(
                f"{name}: {value} means the built-in images, but there is a folder {value} here; give ./{value} for "
                f"the folder, or leave --{name} out for the built-in images"
            )


def _add(group: Any, one: Option) -> None:
    """Add an option whose value is text; `make` converts and checks it."""
    flag = "--" + one.name.replace("_", "-")
    common: dict[str, Any] = {"dest": one.name, "default": argparse.SUPPRESS, "help": help_of(flag, one)}
    if one.hint is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
    else:
        group.add_argument(flag, nargs="*" if is_list(one.hint) else None, metavar=metavar(one.hint), **common)


def _of_file(path: Path, known: Mapping[str, Option]) -> dict[str, Any]:
    """The options in a YAML file, whose names may have dashes or underscores."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"config: {path} is not a YAML file ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"config: {path} must hold names and values, got {type(found).__name__}")
    values: dict[str, Any] = {}
    for key, value in found.items():
        name = str(key).replace("-", "_")
        if name not in (*known, "out"):
            raise ValueError(f"config: {path} has {key!r}, which is no option of this command")
        if name in values:
            raise ValueError(f"config: {path} has {key!r} twice")
        values[name] = value
    return values
