"""A chain of accepted runs: which run each descends from."""

from __future__ import annotations

import dataclasses

from pytest_modellab.baselines.accepted import Anchor, Baseline, Repeat
from pytest_modellab.baselines.file import same_answers
from pytest_modellab.records import pairing
from pytest_modellab.records.runs import RunRecord


def descend(old: Baseline | None, run: RunRecord, repeat: Repeat | None) -> Baseline:
    """Make the baseline that follows an old one.

    Args:
        old: what was accepted before; None begins a new chain.
        run: the run that is accepted now.
        repeat: its second run.

    Returns:
        The old baseline's chain continued: its anchor is kept as long as both runs were asked the
        same samples and judged by the same scorers. Where the answers are the old ones, so are
        the run and, unless it had none, its second run. Where the old one's samples stand in
        another order, they are brought into the run's.

    Raises:
        ComparisonRefused: a sample stands in one of the runs twice.
    """
    if old is None or not one_chain(old.run, run):
        return Baseline(run, repeat)
    places = pairing.places(run, old.run)
    if places is None:  # other samples under the hash of these
        return Baseline(run, repeat)
    old = old.arranged(places)
    if same_answers(old.run, run):
        return dataclasses.replace(old, repeat=old.repeat or repeat)
    if same_answers(without_metrics(old.run), without_metrics(run)):  # another figure is listed
        return dataclasses.replace(old, run=run, repeat=old.repeat or repeat)
    first = old.anchor or Anchor(
        scores=tuple(sample.score for sample in old.run.samples),
        fingerprint=old.run.fingerprint.key,
        recorded=str(old.run.environment.get("recorded", "")),
        accepted=0,
    )
    return Baseline(run, repeat, dataclasses.replace(first, accepted=first.accepted + 1))


def without_metrics(run: RunRecord) -> RunRecord:
    """Return a run without the further figures of its samples."""
    samples = tuple(dataclasses.replace(sample, metrics={}) for sample in run.samples)
    return dataclasses.replace(run, samples=samples)


def one_chain(a: RunRecord, b: RunRecord) -> bool:
    """Tell whether two runs were asked the same samples and judged by the same scorers."""
    return a.task_set["hash"] == b.task_set["hash"] and dict(a.scorers) == dict(b.scorers)
