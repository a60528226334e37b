"""The assertion that the candidate is not slower than its reference."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.scores import Budget
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.tasks import TaskSet

if TYPE_CHECKING:
    from pytest_modellab.records.timings import Timings


def no_slowdown(
    *,
    test: str,
    spec: VariantSpec,
    candidate: Timings,
    reference: Timings,
    workers: int,
    against: str,
    task_set: TaskSet,
    limit: float,
    budget: Budget,
) -> Comparison:
    """Judge whether the candidate takes longer than its reference by more than the limit.

    Args:
        test: node id of the test, for the record.
        spec: the candidate.
        candidate: its timings.
        reference: the reference's, taken in turns with them.
        workers: how many xdist workers shared the machine; 0 outside xdist.
        against: the reference in words.
        task_set: whose prompts were asked.
        limit: the largest ratio allowed, above 0.
        budget: the risk that may be spent.

    Returns:
        The comparison; inconclusive where other xdist workers shared the machine.

    Raises:
        ComparisonRefused: a limit that is none.
    """
    try:
        ratio = gate.latency_ratio(
            candidate.end_to_end,
            reference.end_to_end,
            limit=limit,
            alpha=budget.share,
            pass_alpha=budget.alpha,
        )
    except gate.GateInputError as error:
        raise ComparisonRefused(f"{spec.name!r} against {against}: {error}") from error
    if workers:
        ratio = dataclasses.replace(
            ratio,
            verdict="inconclusive",
            reason="other xdist workers shared the machine: judge latency with -n0",
        )
    return Comparison(
        assertion="no_slowdown",
        test=test,
        task_set=task_set.name,
        candidate=spec.name,
        kind=spec.kind,
        against=against,
        capability=None,
        verdict=ratio.verdict,
        figures=(),
        family=1,
        share=budget.share,
        ratio=ratio,
    )
