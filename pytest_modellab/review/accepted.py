"""Accepted runs that were removed or recorded anew: what the next run is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pytest_modellab.baselines import file
from pytest_modellab.baselines.accepted import Baseline
from pytest_modellab.errors import BaselineInvalid, ReviewUnavailable
from pytest_modellab.records.declared import TaskSetConfig
from pytest_modellab.records.graded import GRADED
from pytest_modellab.records.runs import RunRecord, SampleResult
from pytest_modellab.review.changes import Change, Kind, shown
from pytest_modellab.review.side import Side

Pairs = Sequence[tuple[SampleResult, SampleResult]]


ALPHA = 0.05
"""The risk that a drop seems to be more than chance and is not."""


def compare(
    old: Side,
    new: Side,
    differing: frozenset[str],
    capabilities: Mapping[str, Mapping[str, str]],
) -> list[Change]:
    """Compare the accepted runs of what both sides declare.

    Args:
        old: the old side.
        new: the new one.
        differing: the files that are not the same, from the top.
        capabilities: task set → sample content hash → capability, as far as they are known.

    Raises:
        ReviewUnavailable: a baseline cannot be read.
    """
    found = []
    for task_set in new.config.task_sets:  # what is no longer declared is told already
        for variant in new.config.variants:
            was, now = (file.path_of(s.config.baselines, task_set, variant) for s in (old, new))
            if old.shown(was) == new.shown(now) and new.shown(now) not in differing:
                continue
            before, after = (_read(side, task_set, variant) for side in (old, new))
            what, where = f"baselines.{task_set}.{variant}", new.shown(now)
            found += _despite(what, where, before, after)
            if before is None:
                continue
            if after is None:
                note = "nothing is left to compare the variant with"
                found.append(Change("weaker", what, "accepted", "removed", where, note))
                continue
            known = capabilities.get(task_set, {})
            found += between(what, where, before, after, known, new.config.task_sets[task_set])
    return found


def _despite(
    what: str, where: str, before: Baseline | None, after: Baseline | None
) -> list[Change]:
    """A chain that begins, here first, with a run that is worse than its base beyond chance."""
    despite = None if after is None else after.despite
    if despite is None or (before is not None and before.despite == despite):
        return []
    note = "drift and drops are measured from there"
    return [Change("weaker", f"{what}.accepted_despite", "none", str(despite), where, note)]


def _read(side: Side, task_set: str, variant: str) -> Baseline | None:
    try:
        return file.read(file.path_of(side.config.baselines, task_set, variant))
    except BaselineInvalid as error:
        raise ReviewUnavailable(side.said(error)) from error


def between(
    what: str,
    where: str,
    old: Baseline,
    new: Baseline,
    capabilities: Mapping[str, str],
    rules: TaskSetConfig,
) -> list[Change]:
    """Compare an accepted run with the one that took its place.

    Args:
        what: names it.
        where: its file.
        old: the one that was accepted before.
        new: the one that is accepted now.
        capabilities: sample content hash → capability.
        rules: drops of one capability, and of a graded metric, that are no more than allowed are
            not told apart from the mean.
    """
    found = _scorers(what, where, old.run, new.run)
    pairs = _common(old.run, new.run)
    if not pairs:
        before, after = (f"version {run.task_set['version']}" for run in (old.run, new.run))
        note = "no sample is in both accepted runs"
        return [*found, Change("changed", what, before, after, where, note)]
    among = "" if len(pairs) == len(old.run.samples) else f", on the {len(pairs)} samples of both"
    was, now = _means(pairs)
    fallen = _capabilities(what, where, pairs, capabilities, rules.capability_margin)
    since = _common(old.anchor_run(), new.run)
    noise = all(_may_be_noise(one, rules.margin) for one in (pairs, since))
    note = f"{was - now:.4f} lower{among}"
    if noise:
        note += f": within chance, and {shown(rules.margin)} is allowed"
    elif fallen:
        named = (f"{one.what.rpartition('.')[2]} {one.old} -> {one.new}" for one in fallen)
        note += f": {', '.join(named)}"
    if old.anchor is not None:
        first, last = _means(since)
        note += f"; {first - last:.4f} below the {old.anchor_words}"
    found += _mean(f"{what}.mean", was, now, where, note, "changed" if noise else "weaker")
    found += fallen if now >= was or noise else []  # else it is said with the mean
    found += _metrics(what, where, pairs, rules)
    was, now = _means(_common(old.anchor_run(), new.anchor_run()))
    note = f"{was - now:.4f} lower{among}"
    if new.anchor is None:
        note += "; a new anchor: no_drift forgets what was accepted before it"
    return found + _mean(f"{what}.anchor", was, now, where, note)


def _mean(
    what: str, was: float, now: float, where: str, note: str, lower: Kind = "weaker"
) -> list[Change]:
    if now == was:
        return []
    values = f"{was:.6g}", f"{now:.6g}"
    if now < was:
        return [Change(lower, what, *values, where, note)]
    return [Change("stronger", what, *values, where)]


def _may_be_noise(pairs: Pairs, margin: float) -> bool:
    """Whether a drop is no larger than is allowed, and no larger than chance alone would show."""
    was, now = _means(pairs)
    if was - now > margin + 1e-9:
        return False
    if now >= was:
        return True
    from pytest_modellab import gate

    before = [one.score or 0.0 for one, _ in pairs]
    after = [other.score or 0.0 for _, other in pairs]
    return gate.drop(before, after, margin=0.0, alpha=ALPHA).verdict != "block"


def _scorers(what: str, where: str, old: RunRecord, new: RunRecord) -> list[Change]:
    note = "judged by another version of the scorer: the scores do not compare"
    return [
        Change("unweighed", f"{what}.scorers.{name}", str(was), str(new.scorers[name]), where, note)
        for name, was in sorted(old.scorers.items())
        if new.scorers.get(name, was) != was
    ]


def _capabilities(
    what: str, where: str, pairs: Pairs, capabilities: Mapping[str, str], margin: float
) -> list[Change]:
    groups: dict[str, list[tuple[SampleResult, SampleResult]]] = {}
    for pair in pairs:
        if pair[1].hash in capabilities:
            groups.setdefault(capabilities[pair[1].hash], []).append(pair)
    found = []
    for name in sorted(groups):
        was, now = _means(groups[name])
        if was - now > margin + 1e-9:
            note = f"{was - now:.4f} lower, where {shown(margin)} is allowed"
            found += _mean(f"{what}.capabilities.{name}", was, now, where, note)
    return found


def _metrics(what: str, where: str, pairs: Pairs, rules: TaskSetConfig) -> list[Change]:
    """Graded metrics that fell by more than is allowed; other numerics move them a little."""
    found = []
    for metric in GRADED:
        both = [
            (pair[0].metrics[metric], pair[1].metrics[metric])
            for pair in pairs
            if metric in pair[0].metrics and metric in pair[1].metrics
        ]
        if not both:
            continue
        was, now = (math.fsum(values) / len(both) for values in zip(*both, strict=True))
        margin = rules.allowed(metric=metric).mean
        if was - now > margin:
            note = f"{was - now:.4f} lower, where {shown(margin)} is allowed"
            found += _mean(f"{what}.metrics.{metric}", was, now, where, note)
    return found


def _common(old: RunRecord, new: RunRecord) -> Pairs:
    """The samples that are in both, by id and content."""
    known = {(sample.id, sample.hash): sample for sample in old.samples}
    found = ((known.get((sample.id, sample.hash)), sample) for sample in new.samples)
    return [(one, other) for one, other in found if one is not None]


def _means(pairs: Pairs) -> tuple[float, float]:
    """The mean scores of both; one without an answer counts as 0."""
    old = math.fsum(pair[0].score or 0.0 for pair in pairs) / len(pairs)
    return old, math.fsum(pair[1].score or 0.0 for pair in pairs) / len(pairs)
