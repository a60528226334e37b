"""A chain of accepted runs: which run each descends from."""

from __future__ import annotations

import dataclasses

from pytest_modellab.baselines.accepted import (
    Anchor,
    Baseline,
    Repeat,
    metrics_of,
    without_outputs,
)
from pytest_modellab.baselines.file import moved, same_answers
from pytest_modellab.records import pairing
from pytest_modellab.records.graded import GRADED
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
        the run and, unless it had none or lacks metrics, its second run. Where they are and only
        metrics are new, the old run gets them, and that is no accepted change: the anchor stays,
        and has the metrics where it is that very run. Where the old one's samples stand in another
        order, they are brought into the run's.

    Raises:
        ComparisonRefused: a sample stands in one of the runs twice.
    """
    if old is None or not one_chain(old.run, run):
        return Baseline(run, repeat)
    places = pairing.places(run, old.run)
    if places is None:  # other samples under the hash of these
        return Baseline(run, repeat)
    old = old.arranged(places)
    again = _fuller(old.repeat, repeat)
    if same_answers(old.run, run, again):
        return dataclasses.replace(old, repeat=again)
    unmoved = not moved(old.run, run, again)
    if unmoved and same_answers(without_metrics(old.run), without_metrics(run)):
        added = tuple(
            dataclasses.replace(
                before,
                metrics={
                    **now.metrics,
                    **{name: before.metrics[name] for name in GRADED if name in before.metrics},
                },
            )
            for before, now in zip(old.run.samples, run.samples, strict=True)
        )
        return dataclasses.replace(
            old,
            run=dataclasses.replace(old.run, samples=added),
            repeat=again,
            anchor=old.anchor and _measured(old.anchor, run, again),
        )
    first = old.anchor or Anchor(
        scores=_scores(old.run),
        fingerprint=old.run.fingerprint.key,
        recorded=str(old.run.environment.get("recorded", "")),
        accepted=0,
        metrics=metrics_of(old.run),
    )
    counted = dataclasses.replace(first, accepted=first.accepted + 1)
    return Baseline(run, repeat, counted, old.despite)


def _fuller(old: Repeat | None, new: Repeat | None) -> Repeat | None:
    """The old second run, with the new one's metrics; the new one where its scores are others."""
    if old is None or new is None:
        return old or new
    if new.metrics.keys() <= old.metrics.keys():
        return old
    if old.scores != new.scores:
        return new
    return dataclasses.replace(old, metrics={**new.metrics, **old.metrics})


def _measured(anchor: Anchor, run: RunRecord, again: Repeat | None) -> Anchor:
    """An anchor with a run's metrics where it is that run, whatever was accepted in between."""
    same = (anchor.fingerprint, anchor.scores) == (run.fingerprint.key, _scores(run))
    if not same or moved(without_outputs(run, anchor), run, again):
        return anchor
    return dataclasses.replace(anchor, metrics={**metrics_of(run), **anchor.metrics})


def _scores(run: RunRecord) -> tuple[float | None, ...]:
    return tuple(sample.score for sample in run.samples)


def without_metrics(run: RunRecord) -> RunRecord:
    """Return a run without the further figures of its samples."""
    samples = tuple(dataclasses.replace(sample, metrics={}) for sample in run.samples)
    return dataclasses.replace(run, samples=samples)


def one_chain(a: RunRecord, b: RunRecord) -> bool:
    """Tell whether two runs were asked the same samples and judged by the same scorers."""
    return a.task_set["hash"] == b.task_set["hash"] and dict(a.scorers) == dict(b.scorers)
