"""A baseline of many samples, narrowed to those that a limit leaves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from pytest_modellab.baselines.accepted import Baseline
from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.runs import SampleResult
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tasksets.limit import limited

_SUMS = ("seconds", "tokens")
"""What a run measures of all its samples together."""


def narrowed(baseline: Baseline, part: TaskSet, whole: TaskSet) -> Baseline:
    """Return a baseline as if only the samples of a part had been asked.

    That is sound where every sample is scored by itself, and where the baseline was recorded on the
    whole as it is now, its corpus included, or on a larger part of it.

    Args:
        baseline: as recorded.
        part: what is asked.
        whole: what it is a part of.

    Returns:
        The narrowed baseline; the one that was given where it is of other samples, or of fewer.
    """
    run = baseline.run
    if not len(part.samples) < len(run.samples):
        return baseline
    try:
        recorded = limited(whole, len(run.samples), "")
    except TaskSetError:  # no part of this whole has so few samples
        return baseline
    if run.task_set["hash"] != recorded.hash:
        return baseline
    wanted = {sample.id: sample.content_hash for sample in part.samples}
    places = [i for i, result in enumerate(run.samples) if wanted.get(result.id) == result.hash]
    if len(places) != len(wanted):
        return baseline  # edited by hand: whoever pairs the samples says so
    found = baseline.arranged(places)
    share = _tokens(found.run.samples) / (_tokens(run.samples) or 1)
    sums = {name: run.probes[name] * share for name in _SUMS if name in run.probes}
    narrow = dataclasses.replace(found.run, task_set=part.identity, probes={**run.probes, **sums})
    return dataclasses.replace(found, run=narrow)


def _tokens(samples: Sequence[SampleResult]) -> float:
    return math.fsum(sample.tokens_in + sample.tokens_out for sample in samples)
