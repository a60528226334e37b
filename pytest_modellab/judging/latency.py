"""The assertion that the candidate is not slower than its reference."""

from __future__ import annotations

import dataclasses

from pytest_modellab import gate
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.question import Question
from pytest_modellab.records.timings import Performance


def no_slowdown(question: Question, *, timed: Performance, limit: float) -> Comparison:
    """Judge whether the candidate takes longer than its reference by more than the limit.

    Args:
        question: what is asked; it needs no run.
        timed: the candidate's and the reference's timings, taken in turns.
        limit: the largest ratio allowed, above 0.

    Returns:
        The comparison; inconclusive where other xdist workers shared the machine.

    Raises:
        ComparisonRefused: a limit that is none.
    """
    assert timed.reference is not None  # only the reference itself is measured alone
    with question.refusing():
        ratio = gate.latency_ratio(
            timed.candidate.end_to_end,
            timed.reference.end_to_end,
            limit=limit,
            alpha=question.budget.share,
            pass_alpha=question.budget.alpha,
        )
    if timed.environment.get("workers"):
        ratio = dataclasses.replace(
            ratio,
            verdict="inconclusive",
            reason="other xdist workers shared the machine: judge latency with -n0",
        )
    return question.comparison(ratio=ratio, notes=[timed.cut] if timed.cut else [])
