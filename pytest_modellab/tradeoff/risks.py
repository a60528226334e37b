"""The components of each variant's risk, and the risk in each draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_modellab.records.pairing import paired
from pytest_modellab.records.runs import RunSummary
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tradeoff import risk
from pytest_modellab.tradeoff.entry import Entry
from pytest_modellab.tradeoff.judge import VariantVerdicts
from pytest_modellab.tradeoff.risk import Component

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = NDArray[np.float64]


def components(
    entry: Entry,
    summary: RunSummary,
    fit: risk.Calibration | None,
    task_set: TaskSet,
    worst_low: float,
    judged: VariantVerdicts | None,
) -> tuple[Component, ...]:
    """Every component of a variant's risk, those that were not measured too.

    Args:
        entry: the variant.
        summary: its run, reduced.
        fit: its calibration, or None.
        task_set: what it was asked.
        worst_low: a bound that no bucket is below with 95 % confidence.
        judged: what the gate says of it; None for the reference.
    """
    worst = summary.worst
    parts = [
        Component(
            "worst_bucket",
            1.0 - worst_low,
            f"{worst.name} {worst.mean:.2f}; "
            f"no bucket is below {worst_low:.2f} with 95 % confidence",
        )
    ]
    if judged is None:
        parts.append(Component("forgetting", 0.0, "the reference itself"))
    elif not judged.forgetting:
        words = "not measured: the reference has no second run, or nothing that could be lost"
        parts.append(Component("forgetting", None, words))
    else:
        shares = [
            max(0.0, figure.drop_low) / figure.baseline
            for one in judged.forgetting
            for figure in one.figures
            if figure.baseline
        ]
        lost = ", ".join(judged.lost)
        words = f"lost beyond chance: {lost}" if lost else "no capability lost beyond chance"
        parts.append(Component("forgetting", min(1.0, max(shares, default=0.0)), words))
    parts.append(
        Component("churn", None, "not measured: no accepted second run")
        if entry.churn is None
        else Component(
            "churn",
            min(1.0, entry.churn / risk.FULL_CHURN),
            f"{entry.churn:.1%} of the samples flip between two runs",
        )
    )
    stability = entry.record.probes.get("prompt_stability")
    parts.append(
        Component("prompt_instability", None, "not measured: one prompt")
        if stability is None
        else Component(
            "prompt_instability", 1.0 - stability, f"stability over prompts {stability:.2f}"
        )
    )
    refusals = [
        1.0 - (result.score or 0.0)
        for sample, result in zip(
            task_set.samples, paired(entry.record, task_set.samples), strict=True
        )
        if sample.scorer == "refusal"
    ]
    parts.append(
        Component(
            "refusal_errors",
            math.fsum(refusals) / len(refusals),
            f"{len(refusals)} requests to be refused or answered",
        )
        if refusals
        else Component("refusal_errors", None, "not measured: no such request in the task set")
    )
    parts.append(
        Component("calibration", fit.ece, f"ECE {fit.ece:.3f}, Brier {fit.brier:.3f}, n = {fit.n}")
        if fit is not None
        else Component("calibration", None, "not measured: no confidences")
    )
    return tuple(parts)


def calibration(entry: Entry) -> risk.Calibration | None:
    """Compare a variant's confidence with its success, where it chose between options."""
    pairs = [
        (s.confidence, s.score)
        for s in entry.record.samples
        if s.confidence is not None and s.score is not None
    ]
    return risk.calibration([c for c, _ in pairs], [s for _, s in pairs])


def draw_risks(components: Sequence[Sequence[Component]], worst: Draws) -> Draws:
    """The risk in each draw: the worst bucket's bound moves with the draw, the rest stays."""
    import numpy as np

    columns = []
    for i, parts in enumerate(components):
        weight = next(c.weight for c in parts if c.name == "worst_bucket")
        moved = worst[:, i].mean() - worst[:, i]
        columns.append(np.clip(risk.total(parts) + weight * moved, 0.0, 1.0))
    return np.stack(columns, axis=1)
