"""The text of options in a command's help."""

from __future__ import annotations

from dataclasses import MISSING
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from nnjpeg.paper.fields import Option

__all__ = ["help_of", "is_list", "metavar"]

_EXAMPLES: dict[type, tuple[Any, ...]] = {
    int: (10, 20),
    float: (0.5, 1.5),
    Path: (Path("runs/a"), Path("runs/b")),
}  # fmt: skip


def is_list(hint: Any) -> bool:
    """Whether an option's type is a list, written as several words."""
    return any(get_origin(kind) is tuple for kind in _kinds(hint))


def metavar(hint: Any) -> str:
    """The placeholder for a value of a type: its choices, or its kind."""
    names = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
    found = []
    for kind in _kinds(hint):
        if get_origin(kind) is Literal:
            words = get_args(kind)
            found.append(words[0] if len(words) == 1 else "{" + ",".join(words) + "}")
        elif get_origin(kind) is tuple:
            element = get_args(kind)[0]
            found.append("WORD" if get_origin(element) is Literal else metavar(element))
        else:
            found.append(names.get(kind, "JSON"))
    return "|".join(found)


def help_of(flag: str, one: Option) -> str:
    """The help of an option, with an example of a list, and its default."""
    text = one.help + (_example(flag, one) if is_list(one.hint) else "")
    if one.default is MISSING:
        text += " (required)"
    elif one.default not in (None, (), {}):
        text += f" (default: {_shown(one.default)})"
    return text.replace("%", "%%")


def _kinds(hint: Any) -> list[Any]:
    """The types of a union, None apart; or the one."""
    if get_origin(hint) in (Union, UnionType):
        return [kind for kind in get_args(hint) if kind is not NoneType]
    return [hint]


def _example(flag: str, one: Option) -> str:
    values = one.example or one.default
    if not isinstance(values, tuple) or not values:
        values = _EXAMPLES[get_args(next(kind for kind in _kinds(one.hint) if get_origin(kind) is tuple))[0]]
    return f"; a list, such as {flag} {_shown(values[:4])}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
