"""The scores that an assertion is judged on, from whole runs or from stages."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused, near_misses
from pytest_modellab.judging.comparable import asked_in_words, too_many_missing
from pytest_modellab.judging.comparison import Flip, Looked
from pytest_modellab.records import counts
from pytest_modellab.records.graded import (
    DECISION_MARGIN,
    GRADED,
    LIKELIHOOD,
    applies,
    is_reply,
    near,
    replies,
)
from pytest_modellab.records.media import PLACE
from pytest_modellab.records.pairing import named, paired
from pytest_modellab.records.runs import RunRecord, SampleResult
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.records.windows import BITS, TOTAL, is_document
from pytest_modellab.runs.stages import SEED, Staged
from pytest_modellab.scorers import similarity
from pytest_modellab.visible import shortened


def task_set_notes(task_set: TaskSet) -> tuple[str, ...]:
    """Return what a reader of a verdict must know of the task set."""
    return (f"{task_set.name}: {task_set.note.removesuffix('.')}",) if task_set.note else ()


def judged_by(metric: str | None, task_set: TaskSet, reference: RunRecord | None = None) -> TaskSet:
    """Return a task set with those of its samples alone that a metric tells something of.

    Args:
        metric: the metric; None for the score.
        task_set: the samples.
        reference: the run that is compared with, whose replies are read under ``likelihood``; None
            where there is none.

    Raises:
        ComparisonRefused: it tells nothing of any of them, or is never judged.
    """
    rates = {sample.scorer for sample in task_set.samples} & counts.UNITS.keys()
    if metric in rates or (rates and metric in counts.NAMES):
        told = "is made of the errors of all samples together" if metric in rates else "is a count"
        raise ComparisonRefused(f"metric {metric!r}: it {told}; judge the score")
    if metric == DECISION_MARGIN:
        raise ComparisonRefused(
            f"metric {metric!r}: it has no range, so it is shown and never judged; judge "
            f"{' or '.join(map(repr, GRADED))}"
        )
    if metric in (BITS, TOTAL) and any(map(is_document, task_set.samples)):
        why = "it rises as a model gets worse" if metric == BITS else "it has no range"
        raise ComparisonRefused(
            f"metric {metric!r}: {why}, so it is shown and never judged; judge {LIKELIHOOD!r}, the "
            "same evidence in [0, 1]"
        )
    read = replies(reference, task_set.samples) if metric == LIKELIHOOD else {}
    kept = tuple(s for s in task_set.samples if applies(metric, s, replies=s.id in read))
    if len(kept) == len(task_set.samples):
        return task_set
    if not kept:
        nor = ", and no accepted reply that could be read" if metric == LIKELIHOOD else ""
        raise ComparisonRefused(
            f"metric {metric!r}: {task_set.name!r} has no sample with an option that is "
            f"right{nor}; judge the score (leave the metric out), or another task set"
        )
    return dataclasses.replace(task_set, samples=kept)


def narrowed(record: RunRecord, asked: TaskSet, task_set: TaskSet) -> RunRecord:
    """Return a run without the samples that are not judged.

    Args:
        record: the run.
        asked: what is judged, see :func:`judged_by`.
        task_set: all that was asked.
    """
    silent = {s.id for s in task_set.samples}.difference(s.id for s in asked.samples)
    kept = tuple(result for result in record.samples if result.id not in silent)
    return dataclasses.replace(record, samples=kept)


def check_told(record: RunRecord, metric: str | None) -> None:
    """Refuse a graded metric of a run that was asked multiple choice in words.

    Raises:
        ComparisonRefused: it is one.
    """
    if metric in GRADED and asked_in_words(record):
        raise ComparisonRefused(
            f"metric {metric!r}: {named(record)} was asked multiple choice in words "
            '(scoring = "generated"), which tells no likelihoods: judge the score (leave the '
            'metric out), or set scoring = "likelihood" where the model tells them'
        )


def under(
    record: RunRecord, metric: str, asked: TaskSet, task_set: TaskSet | None = None
) -> RunRecord:
    """Return a run whose scores are another figure of its samples.

    Args:
        record: a run with further figures, see :class:`SampleResult`.
        metric: the figure's name.
        asked: what is judged, see :func:`judged_by`; the other samples are left out.
        task_set: all that was asked, where that is more.

    Raises:
        ComparisonRefused: the run lacks it, or it lies outside [0, 1].
    """
    check_told(record, metric)
    results = narrowed(record, asked, task_set or asked).samples
    known = sorted({name for result in results for name in result.metrics})
    where = named(record)
    replied = {sample.id for sample in asked.samples if is_reply(sample)}
    told = [metric in result.metrics for result in results if result.id in replied]
    unread = metric == LIKELIHOOD and bool(told) and not any(told)
    broken = too_many_missing(dataclasses.replace(record, samples=results))
    if broken and (metric not in known or unread):  # no answers, so that accepting adds nothing
        raise ComparisonRefused(f"metric {metric!r}: {where}: {broken}")
    if metric not in known:
        mend = (
            f". {_accept(record)}"
            if metric in GRADED
            else f"; {near_misses(metric, known)}. A metric of rankings: name it in the task set's "
            "metrics, and accept accepted runs again"
        )
        raise ComparisonRefused(f"metric {metric!r}: {where} has none{mend}")
    if unread:
        raise ComparisonRefused(
            f"metric {metric!r}: {where} has it for none of its replies. {_accept(record)}"
        )
    values = [result.metrics.get(metric) for result in results]
    for result, value in zip(results, values, strict=True):
        if value is not None and not 0 <= value <= 1:
            raise ComparisonRefused(
                f"metric {metric!r}: {where} has {value} for {result.id!r}, outside [0, 1]; judge "
                "the score, which is the same figure mapped to that range"
            )
    return dataclasses.replace(
        record,
        samples=tuple(
            dataclasses.replace(result, score=value)
            for result, value in zip(results, values, strict=True)
        ),
    )


def _accept(record: RunRecord) -> str:
    return (
        "It is kept since baselines have schema 3: modellab accept "
        f"{record.variant['name']} --task-set {record.task_set['name']} adds it"
    )


class Answers:
    """A candidate's scores, all of them or as far as the gate asks.

    Args:
        candidate: the run, or what makes it stage by stage.
        task_set: the samples.
    """

    def __init__(self, candidate: RunRecord | Staged, task_set: TaskSet) -> None:
        self._candidate = candidate
        self._task_set = task_set
        self.looked: Looked | None = None
        if isinstance(candidate, RunRecord):
            self.stages: tuple[int, ...] | None = None
            self.record = candidate
        else:
            self.stages = candidate.stages.of
            self.record = candidate.answer(1)

    def __call__(self, look: int) -> list[float]:
        """Return the scores after a look, NaN where there is none or not yet."""
        if isinstance(self._candidate, Staged):
            self.record = self._candidate.answer(look)
        return scores_of(self.whole().samples)

    def only(self, indices: Sequence[int]) -> Callable[[int], list[float]]:
        """Return the same for some of the samples."""

        def scores(look: int) -> list[float]:
            found = self(look)
            return [found[i] for i in indices]

        return scores

    def whole(self) -> RunRecord:
        """Return the record with every sample, those not asked yet without a score.

        Raises:
            ComparisonRefused: its samples are not the task set's.
        """
        partly = isinstance(self._candidate, Staged)
        answered = paired(self.record, self._task_set.samples, partly=partly)
        found = {result.id: result for result in answered}
        return dataclasses.replace(
            self.record,
            samples=tuple(
                found.get(s.id) or SampleResult(s.id, s.content_hash, None, "(not asked)", 0, 0)
                for s in self._task_set.samples
            ),
        )

    def stop(self, result: gate.SequentialResult) -> tuple[gate.Figures, ...]:
        """Note where the gate stopped, and return its figures."""
        total = len(self._task_set.samples)
        self.looked = Looked(
            look=result.look,
            looks=result.looks,
            used=len(self.record.samples),
            total=total,
            certain=result.certain,
            seed=SEED,
        )
        return result.figures


def chance_of(sample: Sample) -> float:
    """The score of guessing; a pair's other text is no choice."""
    if sample.scorer == similarity.NAME:
        return similarity.CHANCE
    return 1.0 / len(sample.choices) if isinstance(sample.target, int) else 0.0


def scores_of(results: Sequence[SampleResult]) -> list[float]:
    """Return the scores of samples, NaN where there is none."""
    return [math.nan if result.score is None else result.score for result in results]


def clusters_of(samples: Sequence[Sample]) -> list[str] | None:
    """Return the cluster of each sample, or None where no sample shares one."""
    if not any(s.cluster for s in samples):
        return None
    return [f"cluster {s.cluster}" if s.cluster else f"sample {s.id}" for s in samples]


_TOLD = 400  # characters of what was asked and of what would have been right


def _shown(sample: Sample) -> dict[str, Any]:
    """What a flip tells of its sample, so that its replies can be judged by a reader."""
    return {
        "media": sample.media,
        "asked": shortened(sample.input.replace(PLACE, " ").strip(), _TOLD),
        "expected": shortened(expected(sample), _TOLD),
    }


def expected(sample: Sample) -> str:
    """What would have been right, in words; empty where that is no text and no number."""
    target = sample.target
    if isinstance(target, Mapping):  # of a text that is normalized, of several answers
        target = target.get("text", target.get("answers", target.get("relevant")))
    if sample.choices and isinstance(target, int):
        target = sample.choices[target]
    if isinstance(target, list | tuple | dict):
        return " / ".join(one for one in target if isinstance(one, str))
    return str(target) if isinstance(target, str | int | float) else ""


MOST_MOVED = 50
"""Samples that a comparison by a graded metric keeps: all of them move."""


def flips_between(
    samples: Sequence[Sample],
    candidate: RunRecord,
    reference: RunRecord,
    capabilities: Collection[str] | None,
    metric: str | None = None,
) -> tuple[Flip, ...]:
    """Return the samples whose score changed, the lost ones first, and what changed most.

    A document, whose score is a likelihood, has changed where it differs by more than noise.

    Args:
        samples: of the task set.
        candidate: its run, perhaps of some of them only; in any order.
        reference: the run that it is compared with, in any order.
        capabilities: those that are asked for, or None for all.
        metric: what stands in for the scores; of a graded metric, which moves in every sample,
            the samples that moved most are returned, the one that moved most first.

    Raises:
        ComparisonRefused: a run's samples are not the task set's.
    """
    after = {result.id: result for result in paired(candidate, samples, partly=True)}
    flips = [
        Flip(
            id=sample.id,
            bucket=sample.bucket,
            before=old.score,
            after=new.score,
            before_output=old.output,
            after_output=new.output,
            **_shown(sample),
        )
        for sample, old in zip(samples, paired(reference, samples), strict=True)
        if (new := after.get(sample.id)) is not None
        and old.score is not None
        and new.score != old.score
        and not (is_document(sample) and near(old.score, new.score))
        and (capabilities is None or sample.capability in capabilities)
    ]
    if metric in GRADED:
        return tuple(sorted(flips, key=lambda flip: (-flip.distance, flip.id))[:MOST_MOVED])
    return tuple(sorted(flips, key=lambda flip: (not flip.lost, -flip.distance, flip.id)))
