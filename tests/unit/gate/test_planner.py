"""Planned power against enumeration over all numbers of losses and gains."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_modellab.gate import compare, detectable_drop, drop
from pytest_modellab.gate._rows import collapse
from pytest_modellab.gate.planner import block_power, normal_drop, normal_size, pass_power
from pytest_modellab.gate.single import block_p, pass_p
from pytest_modellab.gate.validate import UNIT


def enumerated(n: int, loss: float, gain: float, margin: float, level: float, side: str) -> float:
    outcomes = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    differences = np.array(
        [value for b, c in outcomes for value in [-1] * b + [1] * c + [0] * (n - b - c)]
    )
    codes = np.repeat(np.arange(len(outcomes)), n)
    rows = collapse(differences * UNIT, codes, None, len(outcomes))
    margins = np.full(len(outcomes), margin)
    p = block_p(rows, margins)[0] if side == "block" else pass_p(rows, margins)
    chances = [
        math.comb(n, b)
        * math.comb(n - b, c)
        * loss**b
        * gain**c
        * (1.0 - loss - gain) ** (n - b - c)
        for b, c in outcomes
    ]
    return float(np.sum(np.array(chances) * (p <= level)))


@pytest.mark.parametrize("n", [8, 30])
@pytest.mark.parametrize("margin", [0.0, 0.05])
@pytest.mark.parametrize(("loss", "gain"), [(0.3, 0.05), (0.2, 0.0), (0.02, 0.02)])
def test_power_is_the_enumerated_power(n: int, margin: float, loss: float, gain: float) -> None:
    assert block_power(n, loss, gain, margin, 0.05) == pytest.approx(
        enumerated(n, loss, gain, margin, 0.05, "block"), abs=1e-7
    )
    if margin:
        assert pass_power(n, loss, gain, margin, 0.3) == pytest.approx(
            enumerated(n, loss, gain, margin, 0.3, "pass"), abs=1e-7
        )


def test_the_normal_formula_overstates_small_sets() -> None:
    """n = 50, churn 0.02, drop 0.05: 0.39 by the formula, 0.24 in truth."""
    assert block_power(50, 0.06, 0.01, 0.0, 0.05) == pytest.approx(0.24, abs=0.005)
    z = 0.05 * math.sqrt(50 / (0.07 - 0.05**2)) - 1.6449
    assert 0.5 * math.erfc(-z / math.sqrt(2)) == pytest.approx(0.39, abs=0.005)
    needed = normal_size(0.07 - 0.05**2, 0.05, 0.05, 0.3885)
    assert needed == pytest.approx(50, abs=0.5)


@pytest.mark.parametrize("margin", [0.0, 0.02])
@pytest.mark.parametrize("in_family", [False, True])
def test_detectable_drop_has_the_power(margin: float, in_family: bool) -> None:
    for n in (20, 150):
        found = detectable_drop(n, churn=0.1, margin=margin, level=0.0125, in_family=in_family)
        assert found is not None
        power = block_power(n, 0.05 + found, 0.05, margin, 0.0125, in_family)
        assert power == pytest.approx(0.8, abs=2e-3)
    small = detectable_drop(100, churn=0.02, margin=margin)
    large = detectable_drop(400, churn=0.02, margin=margin)
    assert small is not None
    assert large is not None
    assert large < small


def test_too_few_samples_detect_nothing() -> None:
    assert detectable_drop(3, churn=0.0) is None
    assert detectable_drop(20, churn=0.1, level=1e-9) is None
    assert normal_drop(3.0, 0.0, 1.0, 0.0, 0.05) is None
    assert detectable_drop(20, churn=0.1, margin=0.95) is None


def test_the_formula_takes_over_for_large_sets() -> None:
    exact = detectable_drop(1000, churn=0.1, level=0.05)
    formula = detectable_drop(1001, churn=0.1, level=0.05)
    assert exact is not None
    assert formula is not None
    assert formula == pytest.approx(exact, rel=0.05)


def pair(n: int, losses: int, gains: int) -> tuple[list[int], list[int]]:
    same = n - losses - gains
    return [1] * losses + [0] * gains + [1] * same, [0] * losses + [1] * gains + [1] * same


def test_samples_needed_to_block() -> None:
    found = drop(*pair(50, 4, 1))
    assert found.verdict == "inconclusive"
    needed = found.samples_needed
    assert needed is not None
    assert 0.8 <= block_power(needed, 0.08, 0.02, 0.0, 0.05) < 0.85


def test_samples_needed_to_pass() -> None:
    assert drop([1] * 100, [1] * 100, margin=0.02).samples_needed == 149
    found = drop(*pair(100, 2, 1), margin=0.05)
    assert found.verdict == "inconclusive"
    needed = found.samples_needed
    assert needed is not None
    assert 0.8 <= pass_power(needed, 0.02, 0.01, 0.05, 0.05) < 0.87


def test_samples_needed_where_there_are_none() -> None:
    assert drop([1] * 100, [1] * 100).samples_needed is None  # nothing passes at margin 0
    assert drop(*pair(100, 2, 4)).samples_needed is None
    assert drop(*pair(100, 2, 0), margin=0.02).samples_needed is None  # on the margin
    assert drop([1] * 200, [1] * 200, margin=0.02).samples_needed is None  # settled


def test_graded_and_clustered_sets_are_planned_by_the_formula() -> None:
    rng = np.random.default_rng(4)
    before = rng.integers(0, 5, 100) / 4
    after = np.clip(before + rng.choice([0.0, 0.25, -0.25], 100, p=[0.7, 0.14, 0.16]), 0, 1)
    graded = drop(before, after)
    assert graded.mde is not None
    assert 0.0 < graded.mde < 0.2
    binary_before, binary_after = pair(100, 8, 5)
    spread = [i % 50 for i in range(100)]
    clustered = drop(binary_before, binary_after, clusters=spread, margin=0.2)
    assert clustered.samples_needed is None or clustered.samples_needed > 100


def test_many_buckets_are_planned_by_the_formula() -> None:
    """Enumerating for each of a thousand buckets would take longer than the comparison."""
    before, after = pair(100, 5, 2)
    for buckets in (64, 65):
        found = compare(
            before * buckets, after * buckets, [i // 100 for i in range(100 * buckets)], margin=0.05
        )
        assert found.buckets[0].mde == pytest.approx(0.25, abs=0.06)
