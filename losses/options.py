"""Options of a loss: read off its constructor, and checked against the types that it declares."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

SCALARS = (bool, int, float, str)
SETTABLE = "bool, int, float, str, Literal, a list or tuple of these, or None"
NONE = "none"
"""Stands for None in a study, because TOML has no null."""

Scalar = bool | int | float | str
Option = Scalar | tuple[Scalar, ...] | None


class UnknownNameError(ValueError):
    """No loss, or no option of a loss, has this name.

    Attributes:
        fault: What is unknown, such as "unknown loss 'rmii'".
        name: The name that was given.
        known: The names that there are.
    """

    def __init__(self, fault: str, name: str, known: Iterable[str]) -> None:
        self.fault, self.name, self.known = fault, name, tuple(known)
        super().__init__(f"{fault}; known: {', '.join(self.known) or 'none'}")


@cache
def parameters(loss: type) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a loss's constructor, their types resolved."""
    return inspect.signature(loss, eval_str=True).parameters


def choices(hint: Any) -> tuple[Scalar, ...]:
    """Return the values of a Literal, or of a Literal that may be None; else nothing."""
    found = [get_args(kind) for kind in _kinds(hint) if get_origin(kind) is Literal]
    return found[0] if found else ()


def settable(hint: Any) -> bool:
    """Return whether a study can give a value of this type."""
    return any(kind is not NoneType and _words(kind) for kind in _kinds(hint))


def typed(place: str, value: Any, hint: Any) -> Any:
    """Return ``value`` in an option's type, as the constructor takes it.

    An int becomes a float and a tuple becomes a list where the type says so; "none" is None.

    Raises:
        ValueError: the value has another type, or no study can give a value of the type.
    """
    kinds = _kinds(hint)
    if not settable(hint):
        raise ValueError(f"{place} has a type that a study cannot set: use {SETTABLE}")
    value = None if value == NONE and NoneType in kinds else value
    for kind in kinds:
        fits, found = _as_kind(kind, value)
        if fits:
            return found
    wanted = " or ".join(filter(None, map(_words, kinds)))
    raise ValueError(f"{place} must be {wanted}, got {shown(value)!r}")


def frozen(value: Any) -> Any:
    """Return a list as a tuple, as a specification holds it; other values as they are."""
    return tuple(value) if isinstance(value, list) else value


def shown(value: Any) -> Scalar:
    """Return a value as a setting shows it: "none" for None, "0.1, 0.9" for a list."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if value is None:
        return NONE
    return value if type(value) in SCALARS else str(value)  # not a member of an Enum


def _kinds(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, int before float and None last; of another type itself."""
    if get_origin(hint) in (Union, UnionType):
        members = dict.fromkeys(kind for member in get_args(hint) for kind in _kinds(member))
        return tuple(sorted(members, key=lambda kind: (kind is NoneType, kind is float)))
    return (NoneType if hint is None else hint,)


def _as_kind(kind: Any, value: Any) -> tuple[bool, Any]:
    """Return whether a value is of one type that is no union, and the value in this type."""
    if get_origin(kind) is Literal:
        same = any(value == c and type(value) is type(c) for c in get_args(kind))
        return same, value
    if kind is float and type(value) is int:
        return True, float(value)
    if kind in (*SCALARS, NoneType):
        return type(value) is kind, value  # type() instead of isinstance(), because True is an int
    elements = _elements(kind, value)
    if elements is None or not isinstance(value, list | tuple):
        return False, value
    pairs = [_as_kind(*pair) for pair in zip(elements, value, strict=True)]
    found = [item for _, item in pairs]
    return all(fits for fits, _ in pairs), tuple(found) if get_origin(kind) is tuple else found


def _elements(kind: Any, value: Any) -> list[Any] | None:
    """Return the type of each element of ``value`` in a list or tuple type; None if none fits."""
    origin, arguments = get_origin(kind), get_args(kind)
    size = len(value) if isinstance(value, list | tuple) else 0
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        return list(arguments) if len(arguments) == size else None
    if origin in (list, tuple, Sequence, Iterable) and arguments:
        return [arguments[0]] * size
    return None


def _words(kind: Any) -> str:
    """Return a type in words; nothing if no study can give a value of it."""
    if kind is NoneType:
        return f'"{NONE}"'
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    if kind in SCALARS:
        return f"of type {kind.__name__}"
    if get_origin(kind) in (list, tuple, Sequence, Iterable):
        inner = [part for part in get_args(kind) if part is not Ellipsis]
        if inner and all(part in SCALARS for part in inner):
            names = dict.fromkeys(part.__name__ for part in inner)
            fixed = get_origin(kind) is tuple and Ellipsis not in get_args(kind)
            return f"a list of {f'{len(inner)} ' * fixed}{'/'.join(names)}"
    return ""
