"""The assertion that no bucket lies under the floor."""

from __future__ import annotations

from collections.abc import Callable

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.judging.comparable import MAX_MISSING, too_many_missing
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.question import Question
from pytest_modellab.records.tasks import Sample


def worst_bucket(
    question: Question, *, floor: float, slice_: Callable[[Sample], str]
) -> Comparison:
    """Judge whether any bucket lies under the floor.

    Args:
        question: what is asked; of the candidate alone.
        floor: least mean score of a bucket, in (0, 1).
        slice_: names a sample's bucket.

    Returns:
        The comparison; its figures hold every bucket, the worst first.

    Raises:
        ComparisonRefused: a setting or score is out of range, or too many scores are missing.
    """
    labels = [slice_(sample) for sample in question.samples]
    with question.refusing():
        rows = _rows(question, labels, floor)
    return question.comparison(
        sorted(rows, key=lambda row: (row.candidate, row.name)), family=len(set(labels))
    )


def _rows(question: Question, labels: list[str], floor: float) -> tuple[gate.Figures, ...]:
    answers, budget = question.answers, question.budget
    if answers.stages is not None:
        return answers.stop(
            gate.sequential_floor(
                answers,
                labels,
                floor=floor,
                clusters=question.clusters,
                alpha=budget.share,
                pass_alpha=budget.alpha,
                max_missing=MAX_MISSING,
                stages=answers.stages,
            )
        )
    if problem := too_many_missing(answers.record):
        raise ComparisonRefused(f"{question.spec.name!r} on {question.task_set.name!r}: {problem}")
    return tuple(
        gate.floor_family(
            answers(1),
            labels,
            floor=floor,
            clusters=question.clusters,
            alpha=budget.share,
            pass_alpha=budget.alpha,
        )
    )
