"""The assertion that no bucket lies under the floor."""

from __future__ import annotations

from collections.abc import Callable

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.judging.comparable import MAX_MISSING, too_many_missing
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.scores import Answers, Budget, clusters_of, task_set_notes, under
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs.stages import Staged


def worst_bucket(
    *,
    test: str,
    spec: VariantSpec,
    candidate: RunRecord | Staged,
    task_set: TaskSet,
    floor: float,
    slice_: Callable[[Sample], str],
    budget: Budget,
    metric: str | None = None,
) -> Comparison:
    """Judge whether any bucket lies under the floor.

    Args:
        test: node id of the test, for the record.
        spec: the candidate.
        candidate: its run, or what makes it stage by stage.
        task_set: its samples.
        floor: least mean score of a bucket, in (0, 1).
        slice_: names a sample's bucket.
        budget: the risk that may be spent.
        metric: judge this figure of the samples instead of their scores; not in stages.

    Returns:
        The comparison; its figures hold every bucket, the worst first.

    Raises:
        ComparisonRefused: a setting or score is out of range, or too many scores are missing.
    """
    if metric is not None:
        assert isinstance(candidate, RunRecord)  # only whole runs have further figures
        candidate = under(candidate, metric)
    answers = Answers(candidate, task_set)
    samples = task_set.samples
    labels, clusters = [slice_(s) for s in samples], clusters_of(samples)
    try:
        if answers.stages is not None:
            rows = answers.stop(
                gate.sequential_floor(
                    answers,
                    labels,
                    floor=floor,
                    clusters=clusters,
                    alpha=budget.share,
                    pass_alpha=budget.alpha,
                    max_missing=MAX_MISSING,
                    stages=answers.stages,
                )
            )
        elif problem := too_many_missing(answers.record):
            raise ComparisonRefused(f"{spec.name!r} on {task_set.name!r}: {problem}")
        else:
            rows = gate.floor_family(
                answers(1),
                labels,
                floor=floor,
                clusters=clusters,
                alpha=budget.share,
                pass_alpha=budget.alpha,
            )
    except gate.GateInputError as error:
        raise ComparisonRefused(f"{spec.name!r} on {task_set.name!r}: {error}") from error
    return Comparison(
        assertion="worst_bucket",
        test=test,
        task_set=task_set.name,
        candidate=spec.name,
        kind=spec.kind,
        against="floor",
        capability=None,
        verdict=gate.combine(rows),
        figures=tuple(sorted(rows, key=lambda row: (row.candidate, row.name))),
        family=len(set(labels)),
        share=budget.share,
        notes=task_set_notes(task_set),
        looked=answers.looked,
        metric=metric,
    )
