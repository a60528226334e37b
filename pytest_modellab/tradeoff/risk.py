"""How risky a variant is to ship: a number in [0, 1] and what it is made of.

The risk is the weighted mean of components in [0, 1], each 0 where nothing speaks against the
variant. Only components that every compared variant has been measured by are counted, so that the
sums are of the same things; the others are shown. It is a convention, not an estimate of a
probability: docs/compare.md says what each component means and why it weighs what it weighs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

Level = Literal["low", "medium", "high"]


WEIGHTS: Mapping[str, float] = {
    "worst_bucket": 0.35,
    "forgetting": 0.25,
    "churn": 0.10,
    "prompt_instability": 0.10,
    "refusal_errors": 0.10,
    "calibration": 0.10,
}
"""What each component weighs, before those that not every variant has are left out."""


MEDIUM, HIGH = 0.25, 0.50
"""Risks from which on the level is medium, and high."""


FULL_CHURN = 0.10
"""The flip rate at which the component churn is 1."""


BINS = 10
"""Bins of the calibration error."""


@dataclasses.dataclass(frozen=True)
class Component:
    """One part of the risk.

    Attributes:
        name: a key of :data:`WEIGHTS`.
        value: in [0, 1], or None where it was not measured.
        words: what was measured, for a reader.
        weight: its weight in this comparison; 0 where it is not counted.
    """

    name: str
    value: float | None
    words: str
    weight: float = 0.0


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How well a variant's confidence in its multiple-choice answers fits what it gets right.

    Attributes:
        n: answers with a confidence.
        ece: expected calibration error, in [0, 1].
        brier: Brier score, in [0, 1].
    """

    n: int
    ece: float
    brier: float


def calibration(confidences: Sequence[float], scores: Sequence[float]) -> Calibration | None:
    """Compare confidence with success.

    The calibration error is ``sum(n_b / n * |accuracy_b - confidence_b|)`` over bins of equally
    many answers (Naeini et al. 2015; equal-mass bins: Nguyen & O'Connor 2015); the Brier score is
    the mean of ``(confidence - score)^2`` (Brier 1950).

    Args:
        confidences: of the chosen options, in [0, 1], of shape (n,).
        scores: 1 where the answer was right, of shape (n,).

    Returns:
        Both, or None without an answer.
    """
    if not confidences:
        return None
    equal: dict[float, list[float]] = {}
    for confidence, score in zip(confidences, scores, strict=True):
        equal.setdefault(confidence, []).append(score)
    # of answers with equal confidence none comes first: each counts as right as all of them are
    gaps: list[float] = []
    for confidence, found in sorted(equal.items()):
        gaps += [confidence - math.fsum(found) / len(found)] * len(found)
    n, bins = len(gaps), min(BINS, len(gaps))
    error = math.fsum(
        abs(math.fsum(gaps[k * n // bins : (k + 1) * n // bins])) / n for k in range(bins)
    )
    brier = math.fsum((c - s) ** 2 for c, s in zip(confidences, scores, strict=True)) / n
    return Calibration(n, min(error, 1.0), brier)


def weigh(variants: Iterable[Sequence[Component]]) -> tuple[tuple[Component, ...], ...]:
    """Give each component its weight among those that every variant was measured by.

    Args:
        variants: the components of each variant.

    Returns:
        The same with their weights, which sum to 1 unless nothing was measured of all.
    """
    rows = [tuple(components) for components in variants]
    measured = [{c.name for c in row if c.value is not None} for row in rows]
    shared = set.intersection(*measured) if measured else set()
    total = math.fsum(WEIGHTS[name] for name in sorted(shared))
    return tuple(
        tuple(
            dataclasses.replace(c, weight=WEIGHTS[c.name] / total if c.name in shared else 0.0)
            for c in row
        )
        for row in rows
    )


def total(components: Iterable[Component]) -> float:
    """The weighted mean of the counted components, in [0, 1]."""
    return math.fsum(c.weight * (c.value or 0.0) for c in components)


def level(value: float, *, forgotten: bool) -> Level:
    """Name a risk; a variant that has lost a capability for certain is high."""
    if forgotten or value >= HIGH:
        return "high"
    return "medium" if value >= MEDIUM else "low"
