"""JSON that is read back is checked against the record that it becomes, key by key.

What a field may hold is its type, and its :class:`Rule` where it is annotated with one. Nothing is
converted but lists, which become tuples: what is written again is what was read.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import re
import sys
import types
import typing
import unicodedata
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union

T = TypeVar("T")

DEPTH = 50
"""How deep a value of any form may be nested."""


LENGTH = 60
"""Characters of a value that a message shows."""


class Unfit(ValueError):
    """A value is not what the record holds; the message is its place and what is wrong with it."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value of the right type must be.

    Attributes:
        words: in words, after "expected": ``a number in [0, 1]``.
        check: whether a value keeps the rule.
    """

    words: str
    check: Callable[[Any], bool]


_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def decimal(text: str) -> float:
    """Return the number that a text says, in ASCII digits; where ``float`` takes ``0_1`` too.

    Raises:
        ValueError: it says none, or none that is finite.
    """
    if not _DECIMAL.fullmatch(text.strip()) or not math.isfinite(found := float(text)):
        raise ValueError(f"{shown(text)} is not a number")
    return found


def id_problem(text: str) -> str | None:
    """Say why a text cannot be the id of a sample or a document, or None."""
    if not text.strip():
        return "is blank" if text else "is empty"
    if text != text.strip():
        return "begins or ends with a blank"
    if text.isprintable():
        return None
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            return f"holds the control character U+{ord(character):04X}"
    return None


Id = Annotated[
    str,
    Rule(
        "a non-empty string without control characters or blanks around it",
        lambda value: id_problem(value) is None,
    ),
]


Share = Annotated[float, Rule("a number in [0, 1]", lambda value: 0 <= value <= 1)]


Amount = Annotated[float, Rule("a number of at least 0", lambda value: value >= 0)]


Count = Annotated[int, Rule("a whole number of at least 0", lambda value: value >= 0)]


def build(kind: type[T], data: object, place: str = "") -> T:
    """Make a record of parsed JSON.

    Args:
        kind: the record's dataclass.
        data: what was read; any.
        place: where it stands in the file, for messages.

    Raises:
        Unfit: a key is missing or unknown, or a value is not what the record holds.
    """
    built: T = checked(kind, data, place)
    return built


def table(data: object, place: str, *required: str) -> dict[str, Any]:
    """Return a JSON object.

    Args:
        data: what was read; any.
        place: where it stands, for messages.
        required: the keys that it must have.

    Raises:
        Unfit: it is something else, or lacks a key.
    """
    found: dict[str, Any] = checked(dict, data, place)
    for key in required:
        if key not in found:
            raise Unfit(f"{within(place, key)}: missing")
    return found


def checked(hint: Any, value: Any, place: str) -> Any:
    """Return a value with its lists as tuples.

    Args:
        hint: the type that it must have.
        value: as parsed.
        place: where it stands, for messages.

    Raises:
        Unfit: it has another type, or breaks a rule.
    """
    try:
        return _check(hint)(value)
    except _Wrong as wrong:
        for step in reversed(wrong.path):
            place = within(place, step) if isinstance(step, str) else f"{place}[{step}]"
        raise Unfit(f"{place}: {wrong.said}".removeprefix(": ")) from None


def within(place: str, key: str) -> str:
    """Return the place of a key."""
    if not key.isidentifier():
        return f"{place}[{shown(key)}]"
    return f"{place}.{key}" if place else key


def shown(value: object) -> str:
    """Return a value as a message shows it: on one line, and short."""
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except (ValueError, RecursionError):  # a number too long, brackets too deep
        text = f"a long {type(value).__name__}"
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}…"


class _Wrong(Exception):
    """A value does not fit.

    Attributes:
        said: what is wrong with it.
        path: keys and numbers that lead to it, the last first: who raises it further adds its own.
            Places are put together only when there is something to say of them.
    """

    def __init__(self, said: str, *path: str | int) -> None:
        super().__init__(said)
        self.said = said
        self.path = [*path]


@functools.cache
def _check(hint: Any) -> Callable[[Any], Any]:
    """Make what checks the values of a type, once."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return functools.partial(_ruled, _check(inner[0]), inner[1:])
    if origin in (Union, types.UnionType):
        some = [one for one in inner if one is not type(None)]
        return functools.partial(_any_of, [*map(_check, some)], len(some) < len(inner))
    if origin is Literal:
        return functools.partial(_literal, inner)
    if origin is tuple and inner[-1] is Ellipsis:
        return functools.partial(_row, _check(inner[0]))
    if origin is tuple:
        return functools.partial(_pair, [*map(_check, inner)])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return functools.partial(_mapping, _check(inner[1]))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return functools.partial(_record, hint)
    if hint in (Any, object):
        return _writable
    known = {float: _float, int: _int, dict: _object}
    return known.get(hint) or functools.partial(_plain, hint)


def _record(kind: Any, value: Any) -> Any:
    _object(value)
    fields = _fields(kind)
    for key in value:
        if key not in fields:
            raise _Wrong("unknown key", key)
    found = {}
    for name, (check, required) in fields.items():
        if name in value:
            try:
                found[name] = check(value[name])
            except _Wrong as wrong:
                wrong.path.append(name)
                raise
        elif required:
            raise _Wrong("missing", name)
    return kind(**found)


@functools.cache
def _fields(kind: type[Any]) -> dict[str, tuple[Callable[[Any], Any], bool]]:
    """What checks each field, and whether it must be there; made when a first value is read."""
    hints = typing.get_type_hints(kind, include_extras=True)
    none = dataclasses.MISSING
    return {
        field.name: (
            _check(hints[field.name]),
            field.default is none and field.default_factory is none,
        )
        for field in dataclasses.fields(kind)
    }


def _ruled(check: Callable[[Any], Any], rules: tuple[Rule, ...], value: Any) -> Any:
    found = check(value)
    for rule in rules:
        if not rule.check(found):
            raise _Wrong(f"{shown(value)}: expected {rule.words}")
    return found


def _any_of(checks: list[Callable[[Any], Any]], none: bool, value: Any) -> Any:
    if value is None and none:
        return None
    for check in checks[:-1]:
        try:
            return check(value)
        except _Wrong:
            continue
    return checks[-1](value)


def _literal(choices: tuple[Any, ...], value: Any) -> Any:
    if not any(value == one and type(value) is type(one) for one in choices):
        raise _Wrong(f"{shown(value)}: expected {' or '.join(map(repr, choices))}")
    return value


def _row(check: Callable[[Any], Any], value: Any) -> tuple[Any, ...]:
    """A list of any length."""
    _list(value)
    found: list[Any] = []
    try:
        found.extend(map(check, value))  # up to the one that does not fit
    except _Wrong as wrong:
        wrong.path.append(len(found))
        raise
    return tuple(found)


def _pair(checks: list[Callable[[Any], Any]], value: Any) -> tuple[Any, ...]:
    """A list of so many."""
    if len(_list(value)) != len(checks):
        raise _Wrong(f"{shown(value)}: expected a list of {len(checks)}")
    found: list[Any] = []
    try:
        found.extend(map(operator.call, checks, value))  # up to the one that does not fit
    except _Wrong as wrong:
        wrong.path.append(len(found))
        raise
    return tuple(found)


def _mapping(check: Callable[[Any], Any], value: Any) -> dict[str, Any]:
    found = {}
    for key, one in _object(value).items():
        try:
            found[key] = check(one)
        except _Wrong as wrong:
            wrong.path.append(key)
            raise
    return found


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{shown(value)}: expected an object")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _Wrong(f"{shown(value)}: expected a list")
    return value


def _float(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:  # NaN neither
        raise _Wrong(f"{shown(value)}: expected a finite number")
    number: float = value
    return number


def _int(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _Wrong(f"{shown(value)}: expected a whole number")
    return value


def _plain(kind: type[Any], value: Any) -> Any:
    """A string or a truth value."""
    if type(value) is not kind:
        name = {str: "a string", bool: "true or false"}.get(kind, str(kind))
        raise _Wrong(f"{shown(value)}: expected {name}")
    return value


def _writable(value: Any, depth: int = 0) -> Any:
    """A value of any form that can be written again."""
    if depth > DEPTH:
        raise _Wrong(f"nested deeper than {DEPTH}")
    if type(value) in (int, float):
        _float(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        _writable(one, depth + 1)
    return value
