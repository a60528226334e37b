"""How a job is cut into parts, which are computed here in a row, or each on another machine.

The cut depends on the samples alone, and what is computed together lies in one part: so a run has
the same batches wherever it is made.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

from pytest_modellab.runs.job import Job, Part
from pytest_modellab.runs.probes import media, times
from pytest_modellab.store.runs import StoredRun

SHARD = 512
"""Samples of a part. It is no option: with it the batches would change, and the last digits."""


def spans(job: Job) -> list[range]:
    """Return which samples are computed together, by number; each is in one part.

    What is ranked, or searched, as one is one part.
    """
    count = len(job.task_set.samples)
    if job.task_set.corpus is not None or job.search is not None:
        return [range(count)]
    return cut(count)


def cut(count: int) -> list[range]:
    """Cut so many samples into parts of about the same size."""
    parts = max(1, math.ceil(count / SHARD))
    bounds = [round(k * count / parts) for k in range(parts + 1)]
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
