"""How a job is cut into parts, which are computed here in a row, or each on another machine.

The cut depends on the samples alone, and what is computed together lies in one part: so a run has
the same batches wherever it is made.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from collections.abc import Sequence

from pytest_modellab.records.tasks import Sample
from pytest_modellab.runs.job import Job, Part
from pytest_modellab.runs.probes import media, times
from pytest_modellab.store.runs import StoredRun

SHARD = 2048
"""Samples of a part, about. It is no option: with it the batches would change, and last digits."""

WRITTEN = 4
"""For so many samples of a part counts one without options: a reply or a document takes longer."""


def spans(job: Job) -> list[range]:
    """Return which samples are computed together, by number; each is in one part.

    What is ranked, or searched, as one is one part; a part is not cut once more, though it may be
    some samples longer than what is left whole.
    """
    samples = job.task_set.samples
    if job.shard or job.task_set.corpus is not None or job.search is not None:
        return [range(len(samples))]
    return cut(samples)


def cut(samples: Sequence[Sample]) -> list[range]:
    """Cut samples, by number and in their order, into parts that take about as long."""
    before = [0, *itertools.accumulate(1 if one.choices else WRITTEN for one in samples)]
    parts = max(1, math.ceil(before[-1] / SHARD))
    bounds = [bisect.bisect_left(before, k * before[-1] / parts) for k in range(parts + 1)]
    return [range(start, end) for start, end in itertools.pairwise(bounds)]


def shards(job: Job) -> list[Job]:
    """Cut a job into jobs that do not depend on one another, one a part."""
    parts, samples = spans(job), job.task_set.samples
    if len(parts) == 1:
        return [job]
    place = job.part or Part(0, len(samples))
    return [
        dataclasses.replace(
            job,
            task_set=dataclasses.replace(job.task_set, samples=samples[part.start : part.stop]),
            part=dataclasses.replace(place, before=place.before + part.start),
            shard=True,
        )
        for part in parts
    ]


def joined(runs: Sequence[StoredRun]) -> StoredRun:
    """Join the runs of a job's shards, in their order.

    Seconds, tokens and media are the sums; the environment is the first one's, with the smallest
    budget that any had.
    """
    if len(runs) == 1:
        return dataclasses.replace(runs[0], stored=False)
    parts = [one.probes for one in runs]
    probes = {**parts[0], **times(parts), **media(parts)}
    outputs = tuple(output for one in runs for output in one.outputs)
    environment = dict(runs[0].environment)
    if smallest := budgets(runs)[:1]:
        environment["token_budget"] = smallest[0]
    return StoredRun(outputs, probes, environment)


def budgets(runs: Sequence[StoredRun]) -> list[int]:
    """Return how many tokens the batches of runs held, each number once, the smallest first."""
    told = {one.environment.get("token_budget") for one in runs}
    return sorted(one for one in told if isinstance(one, int))
