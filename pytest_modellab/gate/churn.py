"""Churn: how many samples flip between two runs of one and the same model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_modellab.gate import validate
from pytest_modellab.gate.errors import EmptyError
from pytest_modellab.gate.validate import UNIT, Scores

ABNORMAL = 3.0
"""A run flips abnormally many samples beyond this many times the baseline's rate."""


@dataclass(frozen=True, slots=True)
class Churn:
    """Flips between two runs of one model.

    Attributes:
        flips: Samples whose score differs.
        n: Samples compared.
    """

    flips: int
    n: int

    @property
    def rate(self) -> float:
        """Share of the samples that flipped."""
        return self.flips / self.n

    def explain(self, baseline: Churn | None = None) -> str:
        """One sentence; with the baseline's churn it says whether this one is abnormal."""
        seen = f"{self.flips} of {self.n} samples ({self.rate:.1%}) flipped though nothing changed"
        if baseline is None:
            return seen
        accepted = f"{baseline.flips} of {baseline.n} ({baseline.rate:.1%}) when it was accepted"
        if abnormal(self, baseline):
            return (
                f"{seen}, more than {ABNORMAL:.0f} times the {accepted}: look for what differs "
                "between two runs of it (sampling, batch size, kernels)"
            )
        return f"{seen}; {accepted}"


def churn(first_scores: Scores, second_scores: Scores) -> Churn:
    """Count the flips between two runs of the same samples in the same order.

    Args:
        first_scores: One score in [0, 1] a sample; NaN where missing.
        second_scores: The same of another run. A score missing in one of the
            runs is a flip, in both it is none.

    Raises:
        GateInputError: The scores cannot be used.
    """
    validate.aligned(first_scores=first_scores, second_scores=second_scores)
    first = validate.scores("first_scores", first_scores)
    second = validate.scores("second_scores", second_scores)
    validate.same_length("second_scores", second.size, "first_scores", first.size)
    if first.size == 0:
        raise EmptyError("there are no samples to compare: both arrays are empty")
    same = np.isnan(first) & np.isnan(second) | (np.rint(first * UNIT) == np.rint(second * UNIT))
    return Churn(flips=int(np.count_nonzero(~same)), n=first.size)


def abnormal(candidate: Churn, baseline: Churn) -> bool:
    """Whether a candidate flips at more than three times its baseline's rate.

    A baseline without flips counts as one with a single flip: n samples know a
    rate to 1 / n and no better.
    """
    return candidate.rate > ABNORMAL * max(baseline.flips, 1) / baseline.n
