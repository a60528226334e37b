"""Sequential mode: a task set cut into stages, each of them a run of its own."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

from pytest_modellab import gate
from pytest_modellab.records.pairing import in_order
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.runs.job import Job, Part
from pytest_modellab.runs.probes import media, times

SEED = 0
"""Of the shuffle; the stage of a sample follows from it and the sample's id."""


@dataclasses.dataclass(frozen=True)
class Stages:
    """A task set cut into stages, evenly in every bucket, clusters whole.

    Attributes:
        task_set: the whole.
        of: the stage of each of its samples, from 0.
    """

    task_set: TaskSet
    of: tuple[int, ...]

    @functools.cached_property
    def sets(self) -> tuple[TaskSet, ...]:
        """One task set a stage, in the order of the whole."""
        return tuple(self._pick({stage}) for stage in range(max(self.of) + 1))

    def first(self, number: int) -> TaskSet:
        """Return the samples of the first stages, in the order of the whole."""
        return self._pick(set(range(number)))

    def _pick(self, stages: set[int]) -> TaskSet:
        pairs = zip(self.task_set.samples, self.of, strict=True)
        samples = tuple(sample for sample, stage in pairs if stage in stages)
        return dataclasses.replace(self.task_set, samples=samples)


@dataclasses.dataclass(frozen=True)
class Staged:
    """A variant's run that is made only as far as somebody asks.

    Attributes:
        stages: how its task set is cut.
        answer: returns the run on the first k stages, running what is not answered yet.
    """

    stages: Stages
    answer: Callable[[int], RunRecord]


def cut(task_set: TaskSet) -> Stages:
    """Cut a task set by a seeded shuffle within each bucket (capability × difficulty).

    Args:
        task_set: any; the stages do not depend on the order of its samples.

    Returns:
        At most :data:`pytest_modellab.gate.LOOKS` stages, none of them empty.
    """
    found = gate.cut_stages(
        [s.id for s in task_set.samples],
        strata=[s.bucket for s in task_set.samples],
        clusters=[s.cluster for s in task_set.samples],
        seed=SEED,
    )
    return Stages(task_set, tuple(found.tolist()))


def stage_job(job: Job, stages: Stages, number: int) -> Job:
    """Return the job of one stage.

    Args:
        job: of the whole task set.
        stages: how it is cut.
        number: which stage, from 0.
    """
    prompts = 1 + len(job.paraphrases)  # each of which is asked every sample
    before = sum(len(stage.samples) for stage in stages.sets[:number])
    part = Part(prompts * before, prompts * len(stages.of))
    return dataclasses.replace(job, task_set=stages.sets[number], part=part)


def join(stages: Stages, records: Sequence[RunRecord]) -> RunRecord:
    """Put the runs of the first stages together.

    Args:
        stages: how the task set was cut.
        records: one run a stage, in order, without gaps.

    Returns:
        The run on :meth:`Stages.first`; it names the whole task set, and its seconds and tokens are
        sums.

    Raises:
        ComparisonRefused: the samples of the runs are not those of the stages.
    """
    last, whole = records[-1], stages.task_set
    parts = [record.probes for record in records]
    joined = dataclasses.replace(
        last,
        task_set=whole.identity,
        scorers={name: version for record in records for name, version in record.scorers.items()},
        samples=tuple(result for record in records for result in record.samples),
        probes={
            **last.probes,
            **times(parts),
            **_prompts(records),
            **media(parts),
        },
    )
    return in_order(joined, stages.first(len(records)).samples)


def _prompts(records: Sequence[RunRecord]) -> dict[str, float]:
    """Weigh what several prompts showed in each stage by its samples."""
    names = [name for name in ("prompt_stability", "prompt_spread") if name in records[0].probes]
    sizes = [len(record.samples) for record in records]
    return {
        name: math.fsum(r.probes[name] * n for r, n in zip(records, sizes, strict=True))
        / sum(sizes)
        for name in names
    }
