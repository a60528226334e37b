"""Run record + reference → comparison, decided by the gate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused, near_misses
from pytest_modellab.judging.comparable import MAX_MISSING, check_comparable
from pytest_modellab.judging.comparison import Assertion, Comparison
from pytest_modellab.judging.scores import (
    Answers,
    Budget,
    clusters_of,
    flips_between,
    scores_of,
    task_set_notes,
    under,
)
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import EXACT, INDEX_CUTOFF, INDEX_RECALL, RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs.stages import Staged


def no_regression(
    *,
    assertion: Assertion = "no_regression",
    test: str,
    spec: VariantSpec,
    candidate: RunRecord | Staged,
    reference: RunRecord,
    against: str,
    task_set: TaskSet,
    capability: str | None,
    margin: float,
    budget: Budget,
    metric: str | None = None,
) -> Comparison:
    """Judge whether the candidate dropped by more than the margin.

    Args:
        assertion: ``no_drift`` where the reference is the anchor.
        test: node id of the test, for the record.
        spec: the candidate.
        candidate: its run, or what makes it stage by stage.
        reference: the run that it is compared with.
        against: the reference in words.
        task_set: the samples of both runs.
        capability: judge this one, as a member of the family of all capabilities; None judges
            the pooled drop.
        margin: the drop allowed, in [0, 1).
        budget: the risk that may be spent.
        metric: judge this figure of the samples instead of their scores; not in stages.

    Returns:
        The comparison.

    Raises:
        ComparisonRefused: the runs are not comparable, or too many scores are missing.
    """
    index_notes: tuple[str, ...] = ()
    if isinstance(candidate, RunRecord):  # what ranks is never run in stages
        index_notes = (
            *_index_notes(task_set.samples, candidate, capability),
            *(f"of {against}: {n}" for n in _index_notes(task_set.samples, reference, capability)),
        )
    if metric is not None:
        assert isinstance(candidate, RunRecord)  # only whole runs have further figures
        candidate, reference = under(candidate, metric), under(reference, metric)
    answers = Answers(candidate, task_set)
    notes = check_comparable(spec, answers.whole(), reference, against)
    samples = task_set.samples
    before = scores_of(reference.samples)
    clusters = clusters_of(samples)
    figures: tuple[gate.Figures, ...]
    family = 1 if capability is None else len(task_set.capabilities)
    try:
        if capability is not None and capability not in task_set.capabilities:
            hint = near_misses(capability, task_set.capabilities)
            raise ComparisonRefused(
                f"capability {capability!r}: task set {task_set.name!r} has no sample of it; {hint}"
            )
        if answers.stages is not None:
            figures = answers.stop(
                gate.sequential_family(
                    before,
                    answers,
                    None if capability is None else [s.capability for s in samples],
                    only=capability,
                    clusters=clusters,
                    margin=margin,
                    alpha=budget.share,
                    pass_alpha=budget.alpha,
                    max_missing=MAX_MISSING,
                    stages=answers.stages,
                )
            )
        elif capability is None:
            figures = (
                gate.drop(
                    before,
                    answers(1),
                    clusters=clusters,
                    margin=margin,
                    alpha=budget.share,
                    pass_alpha=budget.alpha,
                    max_missing=MAX_MISSING,
                ),
            )
        else:
            rows = gate.drop_family(
                before,
                answers(1),
                [s.capability for s in samples],
                clusters=clusters,
                margin=margin,
                alpha=budget.share,
                pass_alpha=budget.alpha,
                max_missing=MAX_MISSING,
            )
            figures = tuple(row for row in rows if row.name == capability)
    except gate.GateInputError as error:
        raise ComparisonRefused(
            f"{spec.name!r} against {against} on {task_set.name!r}: {error}"
        ) from error
    return Comparison(
        assertion=assertion,
        test=test,
        task_set=task_set.name,
        candidate=spec.name,
        kind=spec.kind,
        against=against,
        capability=capability,
        verdict=gate.combine(figures),
        figures=figures,
        family=family,
        share=budget.share,
        flips=flips_between(samples, answers.record, reference, capability),
        notes=(
            *notes,
            *task_set_notes(task_set),
            *index_notes,
        ),
        looked=answers.looked,
        metric=metric,
    )


def _index_notes(
    samples: Sequence[Sample], record: RunRecord, capability: str | None
) -> tuple[str, ...]:
    """Tell what an approximate index costs, so that it is not mistaken for the model's doing.

    A scorer need not list its own figure among the further ones: it is the sample's score.
    """
    chosen = {s.id for s in samples if capability in (None, s.capability)}
    results = [r for r in record.samples if r.id in chosen and INDEX_RECALL in r.metrics]
    if not results:
        return ()
    name = next(key for key in sorted(results[0].metrics) if key.startswith(EXACT))
    recall, exact, own = (
        math.fsum(values) / len(results)
        for values in (
            [r.metrics[INDEX_RECALL] for r in results],
            [r.metrics[name] for r in results],
            [r.metrics.get(name.removeprefix(EXACT), r.score or 0.0) for r in results],
        )
    )
    return (
        f"the approximate index finds {recall:.3f} of the exact best {INDEX_CUTOFF} and changes "
        f"{name.removeprefix(EXACT)} by {own - exact:+.3f}; exact search over the same vectors "
        f"scores {exact:.3f}: what is missing beyond that is the model's",
    )
