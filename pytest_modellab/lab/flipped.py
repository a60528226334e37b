"""Which samples two models are asked: those that flipped for the worse, then others."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence

from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.records.windows import is_document

MOST = 24
"""Samples that are asked."""


LEAST_DROP = 0.5
"""By which a sample's score falls that flipped for the worse."""


@dataclasses.dataclass(frozen=True)
class Flip:
    """A sample that is asked.

    Attributes:
        sample: the sample.
        reply: the base's.
        before: the base's score.
        after: the candidate's.
    """

    sample: Sample
    reply: str
    before: float
    after: float

    @property
    def worse(self) -> bool:
        """Whether it flipped for the worse."""
        return self.before - self.after >= LEAST_DROP

    def right_again(self, score: float | None) -> bool:
        """Whether another score is nearer to the base's than to the candidate's."""
        return score is not None and score >= (self.before + self.after) / 2


def chosen(
    task_set: TaskSet, before: RunRecord, after: RunRecord, most: int = MOST
) -> tuple[Flip, ...]:
    """Choose samples, those that flipped for the worse first, capabilities in turns.

    Args:
        task_set: what both were asked.
        before: the base's run.
        after: the candidate's.
        most: samples that are chosen.

    Returns:
        In an order that the two runs alone decide.
    """
    flips = _both(task_set, before, after)
    worse = _in_turns([flip for flip in flips if flip.worse])
    right = _in_turns([flip for flip in flips if not flip.worse and flip.before >= LEAST_DROP])
    return tuple([*worse, *right][:most])


def lost(
    task_set: TaskSet, before: RunRecord, after: RunRecord, most: int
) -> tuple[tuple[Flip, ...], int]:
    """Choose samples whose score fell, by however little, capabilities in turns, most lost first.

    Args:
        task_set: what both were asked.
        before: the base's run.
        after: the candidate's.
        most: samples that are chosen.

    Returns:
        The samples, in an order that the two runs alone decide, and how many there are in all.
    """
    fell = [flip for flip in _both(task_set, before, after) if flip.before > flip.after]
    fell.sort(key=lambda flip: flip.after - flip.before)
    return tuple(_in_turns(fell))[:most], len(fell)


def _both(task_set: TaskSet, before: RunRecord, after: RunRecord) -> list[Flip]:
    """Every sample that both have answered, and that is scored."""
    mine = {result.id: result for result in before.samples}
    theirs = {result.id: result for result in after.samples}
    flips = []
    for sample in task_set.samples:
        first, second = mine.get(sample.id), theirs.get(sample.id)
        if first is None or second is None or first.score is None:
            continue
        if is_document(sample):  # a document has no reply
            continue
        if first.hash == second.hash == sample.content_hash:
            flips.append(Flip(sample, first.output, first.score, second.score or 0.0))
    return flips


def _in_turns(flips: Sequence[Flip]) -> Iterable[Flip]:
    """One of each capability, then another of each."""
    by: Mapping[str, list[Flip]] = {
        name: [flip for flip in flips if flip.sample.capability == name]
        for name in sorted({flip.sample.capability for flip in flips})
    }
    for row in itertools.zip_longest(*by.values()):
        yield from (flip for flip in row if flip is not None)
