"""What a candidate is compared with, and what both are asked, from what the lab knows."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.errors import ConfigError, DiagnosisError, ModellabError
from pytest_modellab.judging.comparable import other_scoring
from pytest_modellab.lab import flipped, put_back
from pytest_modellab.lab.folders import KIND
from pytest_modellab.lab.pair import Asked, Pair
from pytest_modellab.records.diagnosis import LONG, TOKENS, Diagnosis
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet

if TYPE_CHECKING:
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.resolved import Resolved

LONGER = 1.25
"""Times the base's share of written tokens up to which rates of both tell how fast they read."""


def pair(lab: Lab, candidate: str, base: str | None = None) -> Pair:
    """Look up a variant and what it is compared with.

    Args:
        lab: the session.
        candidate: the variant's name.
        base: what the gate compared it with; None, or itself, for the variant that it adapts.

    Raises:
        DiagnosisError: it adapts none.
        ModellabError: one of the two cannot be run.
    """
    spec = lab.spec(candidate)
    named = spec.base if base is None or base == candidate else base
    if named is None:
        raise DiagnosisError(
            f"{candidate} adapts no other variant, so that there is nothing to compare it with: "
            f"name the base, modellab diagnose BASE {candidate}"
        )
    return Pair(lab.variant(named), lab.variant(candidate))


def with_adapter(of: Pair, folder: Path) -> Pair:
    """Say that a candidate, a folder, is its base with an adapter in its weights.

    Args:
        of: both.
        folder: of PEFT.

    Raises:
        DiagnosisError: there is no adapter.
    """
    from pytest_modellab.variants.steps import adapter

    plan = of.base.plan
    try:
        step = adapter.step(folder, of.candidate.spec, (*plan.baked, *plan.steps), merge=True)
    except ConfigError as error:
        raise DiagnosisError(f"--adapter: {str(error).removeprefix('adapter: ')}") from error
    elsewhere = dataclasses.replace(step, settings={**step.settings, "merged": "elsewhere"})
    return dataclasses.replace(of, declared=plan.with_step(elsewhere))


def asked(
    lab: Lab,
    of: Pair,
    task_set: str | None = None,
    *,
    run: bool = False,
    tokens: int = TOKENS,
    long: int = LONG,
) -> Asked:
    """Choose what both are asked: samples that flipped, else built-in texts.

    Args:
        lab: the session.
        of: what is examined.
        task_set: whose samples; None for the first that both are known to have answered.
        run: whether runs that are missing are made.
        tokens: in all probes.
        long: width of the long window.

    Raises:
        ModellabError: the task set cannot be read, or a run cannot be made.
    """
    none_lost = Asked(tokens=tokens, long=long)
    for name in _candidates(lab, of) if task_set is None else (task_set,):
        found = lab.task_set(name)
        before, after = (_run(lab, one, found, run=run) for one in (of.base, of.candidate))
        if before is None or after is None:
            continue
        if other_scoring(after, before):  # what flipped was asked otherwise, too
            continue
        if put_back.parts(of):
            lost, all_ = flipped.lost(found, before, after, put_back.MOST)
            if lost:
                return Asked(found, lost, of=all_)
            none_lost = Asked(found)
            continue
        if flips := flipped.chosen(found, before, after):
            return Asked(found, flips, tokens=tokens, long=long)
    return none_lost


def seconds(lab: Lab, of: Pair, what: Asked) -> float:
    """Estimate how long an examination takes, from what runs of this machine tell.

    Args:
        lab: the session.
        of: what is examined.
        what: both are asked.
    """
    from pytest_modellab.lab import diagnosing

    runs = []
    if what.task_set is not None:
        found = (lab.answered(one, what.task_set) for one in (of.base, of.candidate))
        runs = [run for run in found if run is not None]
    if put_back.parts(of):
        each = [run.probes.get("seconds", 0.0) / max(1, len(run.samples)) for run in runs]
        return put_back.seconds(of, what, max(each, default=0.0))
    rates = [run.probes.get("tokens_per_second", 0.0) for run in _alike(runs)]
    return diagnosing.seconds(of, what, rates)


def _alike(runs: Sequence[RunRecord]) -> Sequence[RunRecord]:
    """The base's run, and the candidate's where it wrote no more of what it was asked.

    A diagnosis reads only, and a written token takes many times as long as one that is read: the
    rate of a candidate whose replies got long says nothing of how fast it reads.
    """
    if len(runs) < 2:
        return runs
    before, after = map(_written, runs)
    return runs if after <= LONGER * before else runs[:1]


def _written(run: RunRecord) -> float:
    """Share of a run's tokens that were written."""
    written = sum(one.tokens_out for one in run.samples)
    return written / max(1, written + sum(one.tokens_in for one in run.samples))


def known(lab: Lab, task_set: str, variants: Iterable[str], reference: str) -> dict[str, Diagnosis]:
    """Look up what the store has of variants; nothing is examined.

    Args:
        lab: the session.
        task_set: what they were run on.
        variants: their names.
        reference: what they are compared with, where not with the variant that they adapt.

    Returns:
        A diagnosis of each that has one.
    """
    found: dict[str, Diagnosis] = {}
    for variant, base in itertools.product(variants, (None, reference)):
        if variant in found or variant == reference:
            continue
        try:
            of = pair(lab, variant, base)
            for what in (asked(lab, of, task_set), Asked()):
                if (stored := lab.diagnosing.stored(of, what)) is not None:
                    found.setdefault(variant, stored.diagnosis)
        except ModellabError:
            continue  # what cannot be run has none
    return found


def _candidates(lab: Lab, of: Pair) -> list[str]:
    """Task sets on which one of the two was accepted; what else there is would have to be read."""
    names = list(lab.config.task_sets)
    if len(names) == 1:
        return names
    variants = [one.name for one in (of.base, of.candidate) if one.spec.kind != KIND]
    return [n for n in names if any(lab.baseline_path(v, n).exists() for v in variants)]


def _run(lab: Lab, variant: Resolved, task_set: TaskSet, *, run: bool) -> RunRecord | None:
    """A variant's answers: of this session or the store, else the accepted ones, else run now."""
    if (found := lab.answered(variant, task_set)) is not None:
        return found
    baseline = None
    if variant.spec.kind != KIND:
        baseline = lab.accepted(variant.name, task_set.name)
    if baseline is not None:
        return baseline.run
    return lab.record(variant, task_set) if run else None
