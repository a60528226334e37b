"""The assertion that the scores did not drop by more than the margin."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused, near_misses
from pytest_modellab.judging.comparable import MAX_MISSING
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.question import Question
from pytest_modellab.records.graded import GRADED, check_margin
from pytest_modellab.records.runs import EXACT, INDEX_CUTOFF, INDEX_RECALL, RunRecord
from pytest_modellab.records.tasks import Sample


def no_regression(
    question: Question, *, capability: str | None = None, margin: float
) -> Comparison:
    """Judge whether the candidate dropped by more than the margin.

    ``no_drift`` is the same, asked of the anchor.

    Args:
        question: what is asked; it has a reference.
        capability: judge this one, as a member of the family of all capabilities; None judges
            the pooled drop.
        margin: the drop allowed, in [0, 1).

    Returns:
        The comparison.

    Raises:
        ComparisonRefused: the runs are not comparable, or too many scores are missing.
        GateUsageError: a graded metric at a margin of 0.
    """
    check_margin(
        question.metric,
        margin,
        question.task_set.name,
        "margin" if capability is None else "capability_margin",
        samples=question.samples,
    )
    with question.refusing():
        figures = _figures(question, capability, margin)
    return question.comparison(
        figures,
        capability=capability,
        family=1 if capability is None else len(question.asked.capabilities),
        flips=question.flips(capability),
        notes=(*_scored(question, capability), *_index(question, capability)),
    )


def _figures(question: Question, capability: str | None, margin: float) -> tuple[gate.Figures, ...]:
    before, answers, task_set = question.scores_before, question.answers, question.asked
    if capability is not None and capability not in task_set.capabilities:
        hint = near_misses(capability, task_set.capabilities)
        raise ComparisonRefused(
            f"capability {capability!r}: task set {task_set.name!r} has no sample of it; {hint}"
        )
    capabilities = [sample.capability for sample in question.samples]
    share, alpha = question.budget.share, question.budget.alpha
    if answers.stages is not None:
        return answers.stop(
            gate.sequential_family(
                before,
                answers,
                None if capability is None else capabilities,
                only=capability,
                clusters=question.clusters,
                margin=margin,
                alpha=share,
                pass_alpha=alpha,
                max_missing=MAX_MISSING,
                stages=answers.stages,
            )
        )
    if capability is None:
        return (
            gate.drop(
                before,
                answers(1),
                clusters=question.clusters,
                margin=margin,
                alpha=share,
                pass_alpha=alpha,
                max_missing=MAX_MISSING,
            ),
        )
    rows = gate.drop_family(
        before,
        answers(1),
        capabilities,
        clusters=question.clusters,
        margin=margin,
        alpha=share,
        pass_alpha=alpha,
        max_missing=MAX_MISSING,
    )
    return tuple(row for row in rows if row.name == capability)


def _scored(question: Question, capability: str | None) -> tuple[str, ...]:
    """What the same samples score, where a graded metric is judged in place of that."""
    runs = (question.reference, question.candidate)
    if question.metric not in GRADED:
        return ()
    ids = {s.id for s in question.samples if capability in (None, s.capability)}
    means = [
        math.fsum(scores) / len(scores)
        for run in runs
        if isinstance(run, RunRecord)
        and (scores := [r.score for r in run.samples if r.id in ids and r.score is not None])
    ]
    return (f"the same samples score {means[0]:.2f} -> {means[1]:.2f}",) if means[1:] else ()


def _index(question: Question, capability: str | None) -> tuple[str, ...]:
    """What the index costs the candidate, and the reference; what ranks is never run in stages."""
    if not isinstance(question.candidate, RunRecord) or question.reference is None:
        return ()
    own = _index_notes(question.samples, question.candidate, capability)
    others = _index_notes(question.samples, question.reference, capability)
    return (*own, *(f"of {question.against}: {note}" for note in others))


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
