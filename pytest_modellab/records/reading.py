"""JSON that is read back is checked against the record that it becomes, key by key.

What a field may hold is its type, and its :class:`Rule` where it is annotated with one. Nothing is
converted but lists, which become tuples: what is written again is what was read.
"""

from __future__ import annotations

import dataclasses
import functools
import math
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
    values = table(data, place)
    record: Any = kind
    hints, fields = _hints(record), dataclasses.fields(record)
    for key in values:
        if key not in hints:
            raise Unfit(f"{within(place, key)}: unknown key")
    found = {}
    for field in fields:
        if field.name in values:
            at = within(place, field.name)
            found[field.name] = checked(hints[field.name], values[field.name], at)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Unfit(f"{within(place, field.name)}: missing")
    return kind(**found)


def table(data: object, place: str, *required: str) -> dict[str, Any]:
    """Return a JSON object.

    Args:
        data: what was read; any.
        place: where it stands, for messages.
        required: the keys that it must have.

    Raises:
        Unfit: it is something else, or lacks a key.
    """
    if not isinstance(data, dict):
        raise Unfit(f"{place}: {shown(data)}: expected an object".removeprefix(": "))
    for key in required:
        if key not in data:
            raise Unfit(f"{within(place, key)}: missing")
    return data


def checked(hint: Any, value: Any, place: str) -> Any:
    """Return a value with its lists as tuples.

    Args:
        hint: the type that it must have.
        value: as parsed.
        place: where it stands, for messages.

    Raises:
        Unfit: it has another type, or breaks a rule.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        found = checked(inner[0], value, place)
        for rule in inner[1:]:
            if not rule.check(found):
                raise Unfit(f"{place}: {shown(value)}: expected {rule.words}")
        return found
    if origin in (Union, types.UnionType):
        return _any_of(inner, value, place)
    if origin is Literal:
        if not any(value == one and type(value) is type(one) for one in inner):
            raise Unfit(f"{place}: {shown(value)}: expected {' or '.join(map(repr, inner))}")
        return value
    if origin is tuple:
        return _row(inner, value, place)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        items = table(value, place).items()
        return {key: checked(inner[1], one, within(place, key)) for key, one in items}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, place)
    if hint in (Any, object):
        _check_any(value, place)
        return value
    return _plain(hint, value, place)


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


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name: hint for name, hint in hints.items() if name in names}


def _any_of(hints: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None and type(None) in hints:
        return None
    *before, last = [hint for hint in hints if hint is not type(None)]
    for hint in before:
        try:
            return checked(hint, value, place)
        except Unfit:
            continue
    return checked(last, value, place)


def _row(hints: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise Unfit(f"{place}: {shown(value)}: expected a list")
    if hints[-1] is Ellipsis:
        hints = hints[:1] * len(value)
    if len(hints) != len(value):
        raise Unfit(f"{place}: {shown(value)}: expected a list of {len(hints)}")
    return tuple(
        checked(hint, one, f"{place}[{k}]")
        for k, (hint, one) in enumerate(zip(hints, value, strict=True))
    )


def _plain(hint: Any, value: Any, place: str) -> Any:
    """A string, a number or a truth value; a truth value is no number."""
    if hint is float:
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:  # NaN neither
            raise Unfit(f"{place}: {shown(value)}: expected a finite number")
    elif hint is int:
        if type(value) is not int or not -(2**63) <= value < 2**63:
            raise Unfit(f"{place}: {shown(value)}: expected a whole number")
    elif type(value) is not hint:
        name = {str: "a string", bool: "true or false"}.get(hint, str(hint))
        raise Unfit(f"{place}: {shown(value)}: expected {name}")
    return value


def _check_any(value: object, place: str, depth: int = 0) -> None:
    """Refuse what cannot be written again."""
    if depth > DEPTH:
        raise Unfit(f"{place}: nested deeper than {DEPTH}")
    if type(value) in (int, float):
        _plain(float, value, place)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        _check_any(one, place, depth + 1)
