"""Options: the fields of dataclasses, from and to the command line, YAML and JSON.

The options of the command line, the contents of YAML files and the identity of a run folder all follow from the names,
types and help of the fields.
"""

from __future__ import annotations

import hashlib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

__all__ = ["Option", "changed", "files_of", "identity", "make", "one_of", "option", "options_of"]

_S = TypeVar("_S")


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    identity: bool = True,
    folder: tuple[Any, ...] = (),
    example: tuple[Any, ...] = (),
) -> Any:
    """A field that is an option of the command line.

    Parameters
    ----------
    default : Any
        Without a default the option is required. A dict is copied for each instance.
    help : str
        Description, with the unit.
    identity : bool
        Whether it affects results, so that a run with another value is another run.
    folder : tuple
        For a text that names a folder: the words that are accepted instead.
    example : tuple
        For a list whose default is no example of it: one that is accepted.
    """
    metadata = {"help": help, "identity": identity, "folder": folder, "example": example}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def one_of(name: str, value: Any, choices: Any) -> Any:
    """The value, if it is one of a Literal's.

    Raises
    ------
    ValueError
        If it is not.
    """
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}")
    return value


@dataclass(frozen=True)
class Option:
    """One option of a class: its own field, or one of a class within it.

    Parameters
    ----------
    name : str
        The field's.
    hint : Any
        Its type.
    default : Any
        `dataclasses.MISSING` if it is required.
    help : str
        In words.
    group : str
        Title of the class that it belongs to; "" for the experiment itself.
    identity, folder, example
        See `option`.
    """

    name: str
    hint: Any
    default: Any
    help: str
    group: str = ""
    identity: bool = True
    folder: tuple[Any, ...] = ()
    example: tuple[Any, ...] = ()


def options_of(cls: type) -> list[Option]:
    """All options of a class and of the classes within it; names are unique."""
    hints = typing.get_type_hints(cls)
    found: list[Option] = []
    for one in fields(cls):
        hint = hints[one.name]
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        if is_dataclass(hint):
            assert isinstance(hint, type)
            group = (hint.__doc__ or "").partition("\n")[0].rstrip(".")
            found += [replace(inner, default=getattr(default, inner.name), group=group) for inner in options_of(hint)]
        else:
            found.append(Option(one.name, hint, default, **one.metadata))
    return found


def make(cls: type[_S], values: Mapping[str, Any]) -> _S:
    """Make an instance from the values of its options and of those of the classes within it.

    Parameters
    ----------
    cls : type
        One of the classes here.
    values : mapping
        From the names of options to values: as Python objects, in the form of JSON or YAML, or as text.

    Raises
    ------
    ValueError
        If a name or a value is not accepted, or one is missing.
    """
    return _made(cls, None, values)


def changed(spec: _S, values: Mapping[str, Any]) -> _S:
    """A copy with other values of some options; see `make`."""
    return _made(type(spec), spec, values)


def _made(cls: type[_S], before: Any, values: Mapping[str, Any]) -> _S:
    known = {one.name: one for one in options_of(cls)}
    for name in values:
        if name not in known:
            raise ValueError(f"{name} is no option of {cls.__name__.lower()}; its options are {', '.join(known)}")
    hints = typing.get_type_hints(cls)
    given: dict[str, Any] = {}
    for one in fields(cls):  # type: ignore[arg-type]
        hint = hints[one.name]
        if is_dataclass(hint):
            assert isinstance(hint, type)
            own = {inner.name: values[inner.name] for inner in options_of(hint) if inner.name in values}
            start = one.default if before is None else getattr(before, one.name)
            given[one.name] = _made(hint, start, own)
        elif one.name in values:
            given[one.name] = _converted(one.name, hint, values[one.name])
        elif before is not None:
            given[one.name] = getattr(before, one.name)
        elif known[one.name].default is MISSING:
            raise ValueError(f"{one.name} must be given")
    return cls(**given)


def _converted(name: str, hint: Any, value: Any) -> Any:
    """A value of a type, from what JSON, YAML or the command line have for it."""
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _of_union(name, get_args(hint), value)
    if origin is Literal:
        # YAML takes the word no for false.
        return one_of(name, "no" if value is False and "no" in get_args(hint) else value, hint)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError(f"{name} must be a list, got {value!r}")
        if value and str(value[0]).startswith("["):
            raise ValueError(f"{name} takes several words, such as 90 70, got {value[0]!r}")
        return tuple(_converted(name, get_args(hint)[0], one) for one in value)
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false, got {value!r}")
        return value
    if hint in (int, float):
        return _number(name, hint, value)
    if hint is Path:
        if not isinstance(value, (str, Path)) or not str(value):
            raise ValueError(f"{name} must be a path, got {value!r}")
        return Path(value)
    if hint is str:
        if not isinstance(value, (str, Path)):
            raise ValueError(f"{name} must be a text, got {value!r}")
        return str(value)
    return _mapping(name, value)


def _of_union(name: str, hints: tuple[Any, ...], value: Any) -> Any:
    if value is None and type(None) in hints:
        return None
    hints = tuple(hint for hint in hints if hint is not type(None))
    words = [word for hint in hints if get_origin(hint) is Literal for word in get_args(hint)]
    if value in words:
        return value
    (hint,) = (hint for hint in hints if get_origin(hint) is not Literal)
    try:
        return _converted(name, hint, value)
    except ValueError as error:
        if not words:
            raise
        raise ValueError(f"{error}, nor {' or '.join(map(repr, words))}") from None


def _number(name: str, hint: type, value: Any) -> int | float:
    words = {int: "a whole number", float: "a number"}
    try:
        if isinstance(value, bool):
            raise ValueError
        number = hint(value)
        if not isinstance(value, str) and number != value:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be {words[hint]}, got {value!r}") from None
    return number


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name} must be JSON, got {value!r} ({error})") from None
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be an object of names and values, got {value!r}")
    return dict(value)


def identity(spec: Any) -> dict[str, Any]:
    """The identity of a run: the value of each option that affects results, in a form that JSON can hold.

    For a file or a folder of models it is a digest of the contents, not the path: a run resumes after its inputs were
    moved, and is refused if the weights differ.
    """
    found: dict[str, Any] = {}
    for one in fields(spec):
        value = getattr(spec, one.name)
        if is_dataclass(value):
            found |= identity(value)
        elif one.metadata["identity"]:
            found[one.name] = json.loads(json.dumps(value, default=_content))
    return found


def files_of(spec: Any) -> list[tuple[str, Path]]:
    """The files and folders that an experiment reads, by the names of their options."""
    found: list[tuple[str, Path]] = []
    for one in fields(spec):
        value = getattr(spec, one.name)
        if is_dataclass(value):
            found += files_of(value)
        elif one.metadata["folder"] and value not in one.metadata["folder"]:
            found += [(one.name, Path(value))]
        else:
            found += [
                (one.name, path) for path in (value if isinstance(value, tuple) else [value]) if isinstance(path, Path)
            ]
    return found


def _content(path: Path) -> str:
    """A digest of a file or of the models in a folder; the path itself if nothing is there."""
    if path.is_file():
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    files = [*sorted(path.glob("*.safetensors")), *sorted(path.glob("ensemble.json"))]
    files = [file for file in files if ".state." not in file.name]
    if not files:
        return str(path)
    return f"sha256:{hashlib.sha256(''.join(map(_content, files)).encode()).hexdigest()}"
