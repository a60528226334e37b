"""How media are prepared for a model, and what of that is not as it was elsewhere.

A picture that is scaled or normalized a little differently costs more than many a quantization, so
a difference is told before any score.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_modellab.visible import shortened, visible

MOST = 12
"""Settings that are named; the rest is counted."""


_ITEMS = 8  # of a list
_LENGTH = 80  # characters of a value or a name

_ABSENT = object()


@dataclasses.dataclass(frozen=True)
class Unlike:
    """What of a variant's preprocessing is not as another's.

    Attributes:
        other: whose, in words: ``baseline of sight``, ``its base sight``.
        changed: one setting each: ``image_mean: [0.5, 0.5, 0.5] here, [0.48, 0.46, 0.41] there``.
    """

    other: str
    changed: tuple[str, ...]

    def __str__(self) -> str:
        shown = [*self.changed[:MOST]]
        if len(self.changed) > MOST:
            shown.append(f"and {len(self.changed) - MOST} more settings")
        return f"preprocessing is not that of {self.other}: {'; '.join(shown)}"


def unlike(here: Mapping[str, Any], there: Mapping[str, Any], other: str) -> tuple[Unlike, ...]:
    """Compare two runs' settings by what prepares media.

    Args:
        here: the candidate's, as in its fingerprint.
        there: another's.
        other: whose those are, in words.

    Returns:
        One, or none where nothing differs; what has no preprocessing on either side differs in
        nothing.
    """
    ours, theirs = (
        found if isinstance(found := settings.get("preprocessing"), Mapping) else {}
        for settings in (here, there)
    )
    if not ours or not theirs:
        if not ours and not theirs:
            return ()
        return (Unlike(other, ("known here, not there" if ours else "known there, not here",)),)
    changed = tuple(differences(ours, theirs))
    return (Unlike(other, changed),) if changed else ()


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    """Name each setting that differs, nested ones with dots, in the order of their names.

    Args:
        here: settings by name, perhaps nested.
        there: those that they are compared with.
    """
    ours, theirs = dict(_flat(here)), dict(_flat(there))
    for name in sorted(ours.keys() | theirs.keys()):
        now, then = ours.get(name, _ABSENT), theirs.get(name, _ABSENT)
        if not _same(now, then):
            first, second = written(now), written(then)
            if first == second:  # apart by less than the digits shown
                first, second = repr(now), repr(then)
            shown = shortened(visible(name), _LENGTH)
            yield f"{shown}: {_bounded(first)} here, {_bounded(second)} there"


def written(value: Any) -> str:
    """A setting's value on one line: numbers in six digits, long lists cut."""
    if value is _ABSENT:
        return "not set"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, int | float):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    if isinstance(value, tuple | list):
        items = [written(one) for one in value[:_ITEMS]]
        if len(value) > _ITEMS:
            items.append(f"… {len(value)} in all")
        return f"[{', '.join(items)}]"
    if isinstance(value, Mapping):
        return "{}" if not value else "{…}"
    return json.dumps(str(value), ensure_ascii=False)


def _bounded(text: str) -> str:
    return shortened(visible(text), _LENGTH)


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _same(now: Any, then: Any) -> bool:
    """Equal as JSON has them, which knows no tuples."""
    if isinstance(now, tuple | list) and isinstance(then, tuple | list):
        return len(now) == len(then) and all(map(_same, now, then))
    if isinstance(now, Mapping) and isinstance(then, Mapping):
        return now.keys() == then.keys() and all(_same(now[k], then[k]) for k in now)
    if isinstance(now, float) and isinstance(then, float) and math.isnan(now) and math.isnan(then):
        return True
    return bool(now == then) and isinstance(now, bool) == isinstance(then, bool)
