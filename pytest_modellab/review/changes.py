"""One change of what decides, and which way it goes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Literal

from pytest_modellab.visible import visible

Kind = Literal["weaker", "unweighed", "stronger", "changed"]
"""``unweighed``: nobody can tell which way it goes, it counts as weaker. ``changed``: neither."""


WEAKENS: tuple[Kind, ...] = ("weaker", "unweighed")


@dataclasses.dataclass(frozen=True)
class Change:
    """One rule that is not what it was.

    Attributes:
        kind: which way it goes.
        what: the rule, for example ``task_sets.words.margin``.
        old: what it was, in words.
        new: what it is.
        where: file and line as far as known.
        note: what it means, where the values do not say it.
    """

    kind: Kind
    what: str
    old: str
    new: str
    where: str = ""
    note: str = ""

    @property
    def weakens(self) -> bool:
        """Whether it has to be acknowledged."""
        return self.kind in WEAKENS

    @property
    def key(self) -> str:
        """What acknowledges this change, with its values, and no other."""
        return visible(f"{self.what} {self.old} -> {self.new}")


def shown(value: object) -> str:
    """Return a value as a change shows it."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(map(shown, value)) or "none"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def lower(
    what: str, old: float | None, new: float | None, where: str = "", note: str = ""
) -> list[Change]:
    """Compare a limit from above, which is stricter the lower it is; None is no limit."""
    return _ordered(what, old, new, _or(old, math.inf), _or(new, math.inf), where, note)


def higher(
    what: str, old: float | None, new: float | None, where: str = "", note: str = ""
) -> list[Change]:
    """Compare a limit from below, which is stricter the higher it is; None is no limit."""
    return _ordered(what, old, new, -_or(old, -math.inf), -_or(new, -math.inf), where, note)


def samples(what: str, old: float | None, new: float | None, where: str) -> list[Change]:
    """Compare how many samples are asked at most, stricter the more; None is all of them."""
    note = "fewer samples: a drop shows later"
    return _ordered(what, old, new, -_or(old, math.inf), -_or(new, math.inf), where, note)


def _or(value: float | None, other: float) -> float:
    return other if value is None else float(value)


def _ordered(
    what: str,
    old: float | None,
    new: float | None,
    was: float,
    now: float,
    where: str,
    note: str,
) -> list[Change]:
    if was == now or math.isclose(was, now, rel_tol=1e-12):
        return []
    kind: Kind = "weaker" if now > was else "stronger"
    return [Change(kind, what, _number(old), _number(new), where, note)]


def _number(value: float | None) -> str:
    return shown(None if value is None else float(value))


def weakening(found: Iterable[Change]) -> list[Change]:
    """Return those that have to be acknowledged."""
    return [change for change in found if change.weakens]
