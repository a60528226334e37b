"""What the gate is asked on both sides: questions that are gone, limits that are another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.review.asked.asks import Ask
from pytest_modellab.review.asked.values import Unknown, mark, words
from pytest_modellab.review.changes import Change, Kind, higher, lower, shown
from pytest_modellab.review.side import Side

LIMIT = 1.05
"""What ``gate.no_slowdown`` allows where a test gives no limit."""


STARVED = 0.1
"""What part of an equal share of alpha a test may be left with by the weights of others."""


_HIGHER = ("floor", "agreement")
"""Limits from below."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """One side.

    Attributes:
        side: its files.
        asks: what its tests ask.
        margin: what the session's options put in the place of the task sets' margins, or None.
    """

    side: Side
    asks: Sequence[Ask]
    margin: float | None = None


@dataclasses.dataclass(frozen=True)
class _Told:
    """What is the same for several variants is told once."""

    kind: Kind
    test: str
    rule: str
    old: str
    new: str
    where: str
    note: str = ""


def compare(old: Asked, new: Asked) -> list[Change]:
    """Compare what is asked, question by question, wherever its test stands."""
    told: dict[_Told, list[Ask]] = {}
    every = _by_key(new.asks)
    always = _by_key(ask for ask in new.asks if not ask.named)
    before = _by_key(old.asks)
    for key, asks in before.items():
        if asks[0].variant not in new.side.config.variants and asks[0].variant in _names(old):
            continue  # it is told that the variant is gone
        if asks[0].task_set not in new.side.config.task_sets:
            continue
        for ask in asks:
            others = (every if ask.named else always).get(key, [])
            found = min((_between(ask, one, old, new) for one in others), key=_weight, default=None)
            for one in _gone(ask, new, old.side) if found is None else found:
                told.setdefault(one, []).append(ask)
    for key, asks in every.items():
        if key not in before and asks[0].variant in _names(old):
            one = _Told("stronger", asks[0].test, asks[0].words, "not asked", "asked", "")
            if asks[0].task_set in old.side.config.task_sets:
                told.setdefault(one, []).append(asks[0])
    weights = ([ask for ask in one.asks if not ask.named] for one in (old, new))
    return [_change(one, asks) for one, asks in told.items()] + _weights(*weights)


def _names(one: Asked) -> Mapping[str, object]:
    return one.side.config.variants


def _by_key(asks: Iterable[Ask]) -> dict[tuple[object, ...], list[Ask]]:
    found: dict[tuple[object, ...], list[Ask]] = {}
    for ask in asks:
        if not ask.skipped:
            found.setdefault(ask.key, []).append(ask)
    return found


def _weight(found: Sequence[_Told]) -> tuple[int, int]:
    return sum(one.kind in ("weaker", "unweighed") for one in found), len(found)


def _change(told: _Told, asks: Sequence[Ask]) -> Change:
    variants = ", ".join(sorted({ask.variant for ask in asks}))
    task_sets = ", ".join(sorted({ask.task_set for ask in asks}))
    what = f"{told.test}: {told.rule} of {variants} on {task_sets}"
    return Change(told.kind, what, told.old, told.new, told.where, told.note)


def _gone(ask: Ask, new: Asked, side: Side) -> list[_Told]:
    skipped = next((one for one in new.asks if one.skipped and one.key == ask.key), None)
    if skipped is not None:
        where, now = skipped.where, "skipped"
    else:
        where, now = f"{ask.where} at {side.name}", "not asked"
    return [_Told("weaker", ask.test, ask.words, "asked", now, where)]


def _between(was: Ask, now: Ask, old: Asked, new: Asked) -> list[_Told]:
    """What is not the same for a question that both sides ask."""
    found: list[_Told] = []

    def tell(kind: Kind, rule: str, old: str, new: str, note: str = "") -> None:
        found.append(_Told(kind, now.test, rule, old, new, now.where, note))

    limits = {*was.limits, *now.limits}
    if _has_its_own(was, old) != _has_its_own(now, new):
        limits.add("floor" if was.assertion == "worst_bucket" else "margin")
    for name in sorted(limits):
        before, after = (_limit(name, *one) for one in ((was, old), (now, new)))
        if mark(before) == mark(after):
            continue
        if name == "targeted":
            known = isinstance(before, frozenset) and isinstance(after, frozenset)
            kind: Kind = "unweighed" if not known else "weaker" if after - before else "stronger"
            tell(kind, name, words(before), words(after))
        elif isinstance(before, Unknown) or isinstance(after, Unknown):
            tell("unweighed", name, words(before), words(after))
        else:
            way = higher if name in _HIGHER else lower
            for one in way(name, before, after):
                tell(one.kind, name, one.old, one.new)
    for name in sorted({*was.settings, *now.settings}):
        before, after = was.settings.get(name), now.settings.get(name)
        if mark(before) != mark(after):
            tell("unweighed", name, words(before), words(after))
    for condition in sorted(now.conditions - was.conditions):
        note = "a condition was put before it"
        tell("unweighed", f"{now.words} asked", "always", condition, note)
    for condition in sorted(was.conditions - now.conditions):
        tell("stronger", f"{now.words} asked", condition, "always")
    known = all(isinstance(one.weight, (int, float)) for one in (was, now))
    if mark(was.weight) != mark(now.weight) and not known:
        tell("unweighed", "alpha_weight", words(was.weight), words(now.weight))
    return found


def _limit(name: str, ask: Ask, one: Asked) -> Any:
    """What a question is judged by: what it says, else what is declared."""
    if name == "targeted":
        given = ask.limits.get(name, ())
        return frozenset(given) if isinstance(given, (tuple, frozenset)) else given
    if name in ask.limits:
        value = ask.limits[name]
        known = isinstance(value, (int, float)) and not isinstance(value, bool)
        return value if known or isinstance(value, Unknown) else Unknown(words(value), mark(value))
    return _declared(name, ask, one.side.config, one.margin)


def _declared(name: str, ask: Ask, config: LabConfig, margin: float | None) -> Any:
    task_set = config.task_sets.get(ask.task_set)
    if name == "limit":
        return LIMIT
    if task_set is None:
        return None
    scope = dict(ask.scope)
    if name == "floor":
        return task_set.least(scope.get("metric"))
    if name in ("kl", "agreement"):
        return getattr(task_set, name)
    if name != "margin":
        return None
    allowed = task_set.allowed(margin, scope.get("metric"))
    each = ask.assertion == "no_forgetting" or "capability" in scope
    return allowed.capability if each else allowed.mean


def _has_its_own(ask: Ask, one: Asked) -> bool:
    """Whether the metric that is asked for has rules of its own."""
    task_set = one.side.config.task_sets.get(ask.task_set)
    return task_set is not None and dict(ask.scope).get("metric") in task_set.metrics


def _weights(old: Sequence[Ask], new: Sequence[Ask]) -> list[Change]:
    """Tests whose share of alpha is another, by their own weight or by those of others.

    What counts is the share beside an equal one: all weights ten times as large change nothing,
    and neither does a test more.
    """
    (was, before), (now, after) = _shares(old), _shares(new)
    groups: dict[tuple[float, float, bool], list[str]] = {}
    starved = []
    for test in sorted(was.keys() & now.keys()):
        lighter, heavier = before[test] > after[test], before[test] < after[test]
        if (lighter and now[test] < was[test]) or (heavier and now[test] > was[test]):
            groups.setdefault((before[test], after[test], lighter), []).append(test)
        elif now[test] < STARVED <= was[test]:
            starved.append(test)
    found = []
    for (one, other, lighter), tests in groups.items():
        kind: Kind = "weaker" if lighter else "stronger"
        found.append(Change(kind, f"alpha_weight of {', '.join(tests)}", shown(one), shown(other)))
    if starved:
        one, other = (min(shares[test] for test in starved) for shares in (was, now))
        note = "of an equal share; the weights of other tests take the rest"
        what = f"share of alpha of {', '.join(starved)}"
        found.append(Change("weaker", what, f"{one:.3g}", f"{other:.3g}", note=note))
    return found


def _shares(asks: Sequence[Ask]) -> tuple[dict[str, float], dict[str, float]]:
    """Each test's share of alpha beside an equal one, and its weight; the largest of several."""
    units: dict[tuple[str, str, str, float], float] = {}
    for ask in asks:
        weighs = ask.weight if isinstance(ask.weight, (int, float)) else 1.0
        if not ask.skipped:
            units[ask.test, ask.variant, ask.task_set, float(weighs)] = float(weighs)
    total = sum(units.values())
    shares: dict[str, float] = {}
    weights: dict[str, float] = {}
    for (test, *_), weighs in units.items():
        weights[test] = max(weighs, weights.get(test, 0.0))
        shares[test] = weights[test] * len(units) / total if total > 0 else 0.0
    return shares, weights
