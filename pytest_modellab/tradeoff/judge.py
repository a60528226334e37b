"""How each variant differs from the reference, judged by the gate."""

from __future__ import annotations

import dataclasses

from pytest_modellab import comparator, gate
from pytest_modellab.comparator import Budget
from pytest_modellab.comparison import Comparison
from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.records import RunRecord, TaskSet, TaskSetConfig
from pytest_modellab.tradeoff.entry import Entry
from pytest_modellab.tradeoff.figures import Delta

SLOWER = 1.05
"""A variant that takes longer than this multiple of the reference's time is blocked as slower."""


def compare(
    entry: Entry,
    base: Entry,
    second: RunRecord | None,
    task_set: TaskSet,
    settings: TaskSetConfig,
    budget: Budget,
) -> tuple[tuple[Delta, ...], Comparison | None]:
    """Judge a variant against the reference.

    Args:
        entry: the variant.
        base: the reference.
        second: the reference's second run, or None to leave forgetting out.
        task_set: what both were asked.
        settings: the margins.
        budget: the risk that each verdict may spend.

    Returns:
        Success, forgetting and latency as far as they can be judged, and the comparison of
        forgetting.
    """
    name, against = entry.spec.name, base.spec.name
    # a prompt may differ here as anything may: strategies are compared, not changes of one
    spec = dataclasses.replace(entry.spec, kind="prompted")
    found: list[Delta] = []
    forgetting: Comparison | None = None
    try:
        success = comparator.no_regression(
            test="modellab compare",
            spec=spec,
            candidate=entry.record,
            reference=base.record,
            against=against,
            task_set=task_set,
            capability=None,
            margin=settings.margin,
            budget=budget,
        )
        found.append(Delta(name, "success", success.verdict, success.figures[0].explain()))
    except ComparisonRefused as error:
        found.append(Delta(name, "success", None, str(error)))
    if second is not None:
        try:
            forgetting = comparator.no_forgetting(
                test="modellab compare",
                spec=spec,
                candidate=entry.record,
                reference=base.record,
                second=second,
                against=against,
                task_set=task_set,
                targeted=set(entry.spec.targets),
                margin=settings.capability_margin,
                budget=budget,
            )
            worst = min(
                forgetting.figures, key=lambda f: (f.verdict != forgetting.verdict, f.p_adjusted)
            )
            found.append(Delta(name, "forgetting", forgetting.verdict, worst.explain()))
        except ComparisonRefused as error:
            found.append(Delta(name, "forgetting", None, str(error)))
    if entry.performance is not None and entry.performance.reference is not None:
        ratio = gate.latency_ratio(
            entry.performance.candidate.end_to_end,
            entry.performance.reference.end_to_end,
            limit=SLOWER,
            alpha=budget.share,
            pass_alpha=budget.alpha,
        )
        found.append(Delta(name, "latency", ratio.verdict, ratio.explain()))
    return tuple(found), forgetting


def lost(forgetting: Comparison | None) -> frozenset[str]:
    """The capabilities that are lost beyond chance."""
    if forgetting is None:
        return frozenset()
    return frozenset(f.name for f in forgetting.figures if f.verdict == "block")
