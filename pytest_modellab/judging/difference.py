"""Two runs of a task set, sample by sample: what was asked, what each replied, how sure it was."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from typing import Literal

from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.judging.comparable import asked_in_words
from pytest_modellab.records.graded import PROBABILITY, near
from pytest_modellab.records.runs import RunRecord, SampleResult
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.records.windows import is_document

Moved = Literal["worse", "better", "same"]

CLEAR = 0.2
"""A probability of the right option that moved by less is called a close call."""


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes:
        variant: the variant's name.
        source: which of its runs: ``accepted run`` or ``stored run``.
        run: the run.
        commit: of an accepted run, the commit that it came with, in words; else empty.
    """

    variant: str
    source: str
    run: RunRecord
    commit: str = ""

    @property
    def name(self) -> str:
        """``nf4 (stored run)``."""
        return f"{self.variant} ({self.source})"

    def __str__(self) -> str:
        day = self.run.environment.get("recorded")
        parts = [
            f"of {day}" if isinstance(day, str) else "",
            self.commit,
            "multiple choice in words" if asked_in_words(self.run) else "",
        ]
        told = ", ".join(part for part in parts if part)
        return (
            f"{self.variant}: {self.source}{f' {told}' if told else ''}, mean {self.run.mean:.3f}"
        )


@dataclasses.dataclass(frozen=True)
class Pair:
    """One sample with what both runs have of it."""

    sample: Sample
    before: SampleResult
    after: SampleResult

    @property
    def moved(self) -> Moved:
        """Whether the second run's score is worse, better or the same; no answer counts as 0."""
        before, after = self.before.score or 0.0, self.after.score or 0.0
        if before == after or (is_document(self.sample) and near(before, after)):
            return "same"
        return "worse" if after < before else "better"

    @property
    def distance(self) -> float:
        """How far the score moved."""
        return abs((self.after.score or 0.0) - (self.before.score or 0.0))

    @property
    def shift(self) -> float | None:
        """By how much the probability of the right option moved; None where one is unknown."""
        before, after = (one.metrics.get(PROBABILITY) for one in (self.before, self.after))
        return None if before is None or after is None else after - before

    @property
    def sure(self) -> Literal["clear", "close", "unknown"]:
        """Whether the right option's probability moved by :data:`CLEAR` or more."""
        if self.shift is None:
            return "unknown"
        return "clear" if abs(self.shift) >= CLEAR else "close"

    @property
    def replied_otherwise(self) -> bool:
        """Whether the replies differ, whatever their scores are."""
        return self.before.output != self.after.output


@dataclasses.dataclass(frozen=True)
class Difference:
    """Two runs side by side.

    Attributes:
        task_set: the task set's name.
        before: the run that the other is compared with.
        after: the other.
        pairs: every sample that both were asked as it is today, in the task set's order.
        version: the task set's, today.
        left_out: samples of today's task set that one of the two was not asked like this.
        removed: samples of the two runs that today's task set does not have.
    """

    task_set: str
    before: Side
    after: Side
    pairs: tuple[Pair, ...]
    version: str
    left_out: int = 0
    removed: int = 0

    def count(self, moved: Moved) -> int:
        """How many samples moved like this."""
        return sum(pair.moved == moved for pair in self.pairs)


def difference(task_set: TaskSet, before: Side, after: Side) -> Difference:
    """Lay two runs side by side; samples that were changed since are left out and counted.

    Raises:
        ComparisonRefused: the runs have no sample in common that is as it is today.
    """
    known = [
        {(result.id, result.hash): result for result in side.run.samples}
        for side in (before, after)
    ]
    pairs = []
    for sample in task_set.samples:
        one, other = (found.get((sample.id, sample.content_hash)) for found in known)
        if one is not None and other is not None:
            pairs.append(Pair(sample, one, other))
    if not pairs:
        raise ComparisonRefused(
            f"{before.name} and {after.name} have no sample of {task_set.name!r} in common that "
            f"is as it is today: accept both again: modellab accept {before.variant} --task-set "
            f"{task_set.name}"
        )
    asked = {result.id for side in (before, after) for result in side.run.samples}
    return Difference(
        task_set.name,
        before,
        after,
        tuple(pairs),
        task_set.version,
        left_out=len(task_set.samples) - len(pairs),
        removed=len(asked - {sample.id for sample in task_set.samples}),
    )


FLIPPED = ("all", "worse", "better", "replies")
"""What of the samples is shown: whose score moved, or all whose reply is another."""


SORTS = ("moved", "sure", "id")
"""Worst first; by how far the right option's probability moved; by id."""


def chosen(
    found: Difference,
    *,
    flipped: str = "all",
    capability: str | None = None,
    samples: Collection[str] = (),
    sort: str = "moved",
) -> tuple[Pair, ...]:
    """Choose and order what is shown.

    Args:
        found: the two runs.
        flipped: one of :data:`FLIPPED`.
        capability: of samples that are shown; None for all.
        samples: ids; where there are any they alone are shown, whether or not they moved.
        sort: one of :data:`SORTS`.
    """

    def shown(pair: Pair) -> bool:
        if samples:
            return pair.sample.id in samples
        if capability is not None and pair.sample.capability != capability:
            return False
        if flipped == "replies":
            return pair.replied_otherwise
        return pair.moved != "same" if flipped == "all" else pair.moved == flipped

    def rank(pair: Pair) -> tuple[float, float, str]:
        if sort == "id":
            return 0.0, 0.0, pair.sample.id
        if sort == "sure":
            return 0.0, math.inf if pair.shift is None else -abs(pair.shift), pair.sample.id
        order = ("worse", "better", "same").index(pair.moved)
        return order, -pair.distance, pair.sample.id

    return tuple(sorted(filter(shown, found.pairs), key=rank))
