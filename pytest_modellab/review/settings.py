"""What modellab.toml decides: margins, floors, targets, scenarios, performance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_modellab.records.declared import PerformanceConfig, Scenario, TaskSetConfig, VariantSpec
from pytest_modellab.review.changes import Change, higher, lower, samples, shown
from pytest_modellab.review.side import Side

FROM_BELOW = ("quality", "worst_bucket")
"""What a scenario limits from below."""


def compare(old: Side, new: Side) -> list[Change]:
    """Compare what the two configurations decide."""
    found: list[Change] = []
    was, now = old.config, new.config
    for name in _both(was.task_sets, now.task_sets):
        found += _task_set(was.task_sets[name], now.task_sets[name], new)
    found += _gone("task_sets", was.task_sets, now.task_sets, old)
    for name in _both(was.variants, now.variants):
        found += _variant(was.variants[name], now.variants[name], new)
    found += _gone("variants", was.variants, now.variants, old)
    for name in _both(was.scenarios, now.scenarios):
        found += _scenario(was.scenarios[name], now.scenarios[name], new)
    found += _gone("scenarios", was.scenarios, now.scenarios, old)
    return found + _performance(was.performance, now.performance, new)


def _both(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return [name for name in old if name in new]


def _gone(
    section: str, old: Mapping[str, object], new: Mapping[str, object], side: Side
) -> Iterable[Change]:
    """Say what is declared no longer, and what is for the first time."""
    for name in old:
        if name not in new:
            where = f"{side.place(section, name)} at {side.name}"
            yield Change("weaker", f"{section}.{name}", "declared", "not declared", where)
    for name in new:
        if name not in old:
            yield Change("stronger", f"{section}.{name}", "not declared", "declared")


def _task_set(old: TaskSetConfig, new: TaskSetConfig, side: Side) -> list[Change]:
    def place(*keys: str) -> str:
        return side.place("task_sets", new.name, *keys)

    what = f"task_sets.{new.name}"
    found = lower(f"{what}.margin", old.margin, new.margin, place("margin"))
    if (old.capability_margin, new.capability_margin) != (old.margin, new.margin):
        found += lower(  # else it follows the margin
            f"{what}.capability_margin",
            old.capability_margin,
            new.capability_margin,
            place("capability_margin"),
        )
    found += higher(f"{what}.floor", old.floor, new.floor, place("floor"))
    found += lower(f"{what}.kl", old.kl, new.kl, place("kl"))
    found += higher(f"{what}.agreement", old.agreement, new.agreement, place("agreement"))
    found += samples(f"{what}.limit", old.limit, new.limit, place("limit"))
    for metric in _both(old.metrics, new.metrics):
        was, now = old.metrics[metric], new.metrics[metric]
        for rule in ("margin", "capability_margin"):
            where = place("metrics", metric, rule)
            key = f"{what}.metrics.{metric}.{rule}"
            found += lower(key, getattr(was, rule), getattr(now, rule), where)
        where = place("metrics", metric, "floor")
        found += higher(f"{what}.metrics.{metric}.floor", was.floor, now.floor, where)
    for metric in [one for one in old.metrics if one not in new.metrics]:
        key, where = f"{what}.metrics.{metric}", place("metrics")
        found.append(Change("unweighed", key, "declared", "not declared", where))
    return found


def _variant(old: VariantSpec, new: VariantSpec, side: Side) -> list[Change]:
    what, found = f"variants.{new.name}", []
    was, now = sorted(old.targets), sorted(new.targets)
    if was != now:
        grown = set(now) - set(was)
        found.append(
            Change(
                "weaker" if grown else "stronger",
                f"{what}.targets",
                shown(was),
                shown(now),
                side.place("variants", new.name, "targets"),
                "no_forgetting does not judge them" if grown else "",
            )
        )
    if old.slow != new.slow:
        found.append(
            Change(
                "weaker" if new.slow else "stronger",
                f"{what}.slow",
                shown(old.slow),
                shown(new.slow),
                side.place("variants", new.name, "slow"),
                'a run with -m "not slow" leaves it out' if new.slow else "",
            )
        )
    return found


def _scenario(old: Scenario, new: Scenario, side: Side) -> list[Change]:
    what, found = f"scenarios.{new.name}", []
    for limit in sorted({*old.limits, *new.limits}):
        way = higher if limit in FROM_BELOW else lower
        where = side.place("scenarios", new.name, "limits", limit)
        found += way(f"{what}.limits.{limit}", old.limits.get(limit), new.limits.get(limit), where)
    was, now = _rounded(old.weights), _rounded(new.weights)
    if was != now:
        where = side.place("scenarios", new.name, "weights")
        for key in sorted({*was, *now}):
            if was.get(key, 0.0) != now.get(key, 0.0):
                values = shown(was.get(key, 0.0)), shown(now.get(key, 0.0))
                found.append(Change("unweighed", f"{what}.weights.{key}", *values, where))
    return found


def _rounded(weights: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 9) for key, value in weights.items() if value}


def _performance(old: PerformanceConfig, new: PerformanceConfig, side: Side) -> list[Change]:
    """Fewer rounds, requests, tokens and seconds measure less; concurrency is not gated."""
    found = []
    for key in ("rounds", "requests", "max_tokens", "seconds"):
        found += higher(
            f"performance.{key}",
            getattr(old, key),
            getattr(new, key),
            side.place("performance", key),
            "fewer measurements: a slowdown shows later",
        )
    return found
