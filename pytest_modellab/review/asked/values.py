"""What an expression can be known to be, without running anything."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from pytest_modellab.records.declared import VariantSpec


class Unknown:
    """What only a run would tell; what it says is worked out when it is asked for.

    Args:
        text: for a reader.
        mark: the same for two expressions that mean the same, however their names are called.
    """

    def __init__(self, text: str | Callable[[], str], mark: str | Callable[[], str]) -> None:
        self._text, self._mark = text, mark

    @functools.cached_property
    def text(self) -> str:
        """It for a reader."""
        return self._text if isinstance(self._text, str) else self._text()

    @functools.cached_property
    def mark(self) -> str:
        """What is equal for two that mean the same."""
        return self._mark if isinstance(self._mark, str) else self._mark()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and self.mark == other.mark

    def __hash__(self) -> int:
        return hash(self.mark)

    def __repr__(self) -> str:
        return self.text


@dataclasses.dataclass(frozen=True)
class Symbol:
    """What a fixture hands to a test: the gate, or one of the task set's capabilities."""

    name: str


GATE = Symbol("gate")


EACH = Symbol("each capability")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """The variant under test."""

    spec: VariantSpec


@dataclasses.dataclass(frozen=True)
class Tasks:
    """The task set of a test."""

    name: str


def plain(value: Any) -> bool:
    """Whether a value is a constant, or made of constants."""
    if isinstance(value, (tuple, frozenset)):
        return all(map(plain, value))
    if isinstance(value, dict):
        return all(plain(k) and plain(v) for k, v in value.items())
    return value is None or isinstance(value, (str, bytes, int, float, bool))


def mark(value: Any) -> str:
    """Return what is equal for equal values."""
    if isinstance(value, Unknown):
        return value.mark
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(map(mark, value))) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(mark, value)) + ")"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(float(value))
    return repr(value)


def words(value: Any) -> str:
    """Return a value for a reader."""
    if isinstance(value, Unknown):
        return value.text
    if isinstance(value, Symbol):
        return value.name
    if isinstance(value, Candidate):
        return value.spec.name
    if isinstance(value, Tasks):
        return value.name
    if isinstance(value, (tuple, frozenset)):
        return ", ".join(sorted(map(words, value))) or "none"
    if isinstance(value, float):
        return f"{value:.12g}"
    return "none" if value is None else str(value)
