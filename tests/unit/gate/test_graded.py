"""Graded scores are planned by how they scatter."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from pytest_modellab import gate
from pytest_modellab.gate import Spread, graded_drop, graded_pass_size, graded_power, graded_size
from pytest_modellab.gate._rows import collapse
from pytest_modellab.gate.single import block_p, pass_p
from pytest_modellab.gate.validate import UNIT

RNG = np.random.default_rng(17)
SKEWED = (0.02 - RNG.exponential(0.06, 300)).clip(-1.0, 1.0)
WIDE = RNG.normal(-0.03, 0.2, 300).clip(-1.0, 1.0)


def test_without_scatter_the_pseudo_sample_has_to_be_outweighed() -> None:
    """p = (1 + (drop - m) / (M + m))^-n / 2 for a pseudo-sample of M = 0.25."""
    still = Spread.of([0.0, 0.0])
    assert (still.n, still.drop, still.sd) == (2, 0.0, 0.0)
    for n, margin in ((60, 0.01), (200, 0.02)):
        expected = margin + (0.25 + margin) * ((0.5 / 0.01) ** (1 / n) - 1)
        assert graded_drop(n, still, margin=margin, level=0.01) == pytest.approx(expected, abs=1e-4)
    assert graded_pass_size(still, margin=0.02) == 149
    assert graded_pass_size(still, margin=0.05) == 59


@pytest.mark.parametrize("differences", [SKEWED, WIDE])
def test_many_samples_follow_the_normal_formula(differences: np.ndarray) -> None:
    spread = Spread.of(differences)
    assert spread.sd == pytest.approx(differences.std())
    assert spread.drop == pytest.approx(-differences.mean())
    z = float(ndtri(0.95) + ndtri(0.8))
    n = 20_000
    expected = 0.01 + spread.sd * z / math.sqrt(n)
    assert graded_drop(n, spread, margin=0.01) == pytest.approx(expected, rel=0.02)
    formula = (spread.sd * z / (expected - 0.01)) ** 2
    assert graded_size(expected, spread, margin=0.01) == pytest.approx(formula, rel=0.05)


@pytest.mark.parametrize(("n", "level"), [(60, 0.05), (60, 0.001), (300, 0.01)])
@pytest.mark.parametrize("differences", [SKEWED, WIDE])
def test_the_power_is_what_the_rule_has(differences: np.ndarray, n: int, level: float) -> None:
    """The rule itself, on samples drawn from the differences, moved to the drop planned."""
    spread, margin, draws = Spread.of(differences), 0.02, 300
    drop = graded_drop(n, spread, margin=margin, level=level)
    assert drop is not None
    assert graded_power(n, drop, spread, margin=margin, level=level) == pytest.approx(0.8, abs=0.01)
    pool = (differences + spread.drop - drop).clip(-1.0, 1.0)
    seen = np.random.default_rng(5).choice(pool, size=(draws, n))
    rows = collapse(
        np.rint(seen.ravel() * UNIT).astype(np.int64), np.repeat(np.arange(draws), n), None, draws
    )
    p = block_p(rows, np.full(draws, margin), (level, level))[0]
    blocked = float((p <= level).mean())
    assert blocked > 0.72
    if n == 300:
        assert blocked < 0.88  # of few samples it may be more than was promised


def test_the_size_of_a_pass_is_what_the_rule_takes() -> None:
    spread, margin = Spread.of(WIDE), 0.05
    n = graded_pass_size(spread, margin=margin, drop=0.01)
    assert n is not None
    assert n > 59
    seen = np.random.default_rng(6).choice(WIDE + spread.drop - 0.01, size=(400, n)).clip(-1, 1)
    rows = collapse(
        np.rint(seen.ravel() * UNIT).astype(np.int64), np.repeat(np.arange(400), n), None, 400
    )
    passed = float((pass_p(rows, np.full(400, margin)) <= 0.05).mean())
    assert passed == pytest.approx(0.8, abs=0.06)
    assert graded_pass_size(spread, margin=margin, drop=0.05) is None
    assert graded_pass_size(spread, margin=0.0) is None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=30),
    st.integers(2, 500),
    st.floats(0.0, 0.5),
    st.sampled_from([0.01, 0.05]),
)
def test_power_rises_with_the_drop(
    differences: list[float], n: int, drop: float, margin: float
) -> None:
    spread = Spread.of(differences)
    low = graded_power(n, drop, spread, margin=margin)
    high = graded_power(n, drop + 0.1, spread, margin=margin)
    assert 0.0 <= low <= high <= 1.0


def test_the_size_is_the_least() -> None:
    spread = Spread.of(WIDE)
    n = graded_size(0.08, spread, margin=0.02, level=0.01)
    assert n is not None
    assert graded_power(n, 0.08, spread, margin=0.02, level=0.01) >= 0.8
    assert graded_power(n - 1, 0.08, spread, margin=0.02, level=0.01) < 0.8
    assert graded_size(0.02, spread, margin=0.02) is None
    assert graded_drop(1, spread) is None
    assert graded_power(1, 0.5, spread) == 0.0
    assert graded_drop(2, spread, level=1e-9) is None


def test_an_assumed_spread_scatters_normally() -> None:
    assumed = Spread.normal(0.1)
    assert (assumed.n, assumed.drop, assumed.sd) == (0, 0.0, 0.1)
    measured = Spread.of(np.random.default_rng(3).normal(0, 0.1, 400))
    found, expected = (graded_drop(100, one, margin=0.01) for one in (assumed, measured))
    assert found == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Spread.of([0.1]), "at least 2 differences, and there are 1"),
        (lambda: Spread.of([0.1, 1.5]), r"a value that is no number in \[-1, 1\]"),
        (lambda: Spread.of([0.1, math.nan]), "a value that is no number"),
        (lambda: Spread.normal(0.7), "sd is 0.7, but must lie between 0 and 0.5"),
        (lambda: graded_size(0.1, Spread.normal(0.1), power=1.0), "power is 1, but must lie above"),
        (lambda: graded_drop(50, Spread.normal(0.1), level=0.0), "level is 0, but must lie above"),
        (lambda: graded_power(50, 0.1, Spread.normal(0.1), margin=1.0), "margin is 1, but must"),
    ],
)
def test_what_cannot_be_planned(make: Callable[[], object], message: str) -> None:
    with pytest.raises(gate.GateInputError, match=message):
        make()


def test_what_an_undecided_comparison_reports_is_its_own_spread() -> None:
    """The same samples scatter a third as far by the other metric, and notice a third as much."""
    rng = np.random.default_rng(8)
    before, moves = rng.uniform(0.4, 0.6, 400), rng.normal(0, 0.1, 400).clip(-0.4, 0.4)
    wide = gate.drop(before, before + moves, margin=0.01)
    close = gate.drop(before, before + moves / 3, margin=0.01)
    assert wide.mde is not None
    assert close.mde is not None
    assert (wide.mde - 0.01) / (close.mde - 0.01) == pytest.approx(3, rel=0.15)
    assert wide.mde == pytest.approx(graded_drop(400, Spread.of(moves), margin=0.01), abs=2e-3)


def test_samples_needed_have_the_power() -> None:
    """Few samples take more than the normal formula says: the pseudo-sample weighs there."""
    rng = np.random.default_rng(9)
    moves = rng.normal(-0.1, 0.12, 30).clip(-0.5, 0.5)
    found = gate.drop(np.full(30, 0.5), 0.5 + moves, margin=0.02, alpha=0.001)
    assert found.verdict == "inconclusive"
    spread = Spread.of(moves)
    assert found.samples_needed is not None
    power = graded_power(found.samples_needed, spread.drop, spread, margin=0.02, level=0.001)
    assert 0.8 <= power < 0.93


@pytest.mark.parametrize("alpha", [1e-128, 1e-305])
def test_at_hardly_any_risk_nothing_shows(alpha: float) -> None:
    for moves in (np.zeros(40), np.full(40, 0.01), RNG.normal(0, 0.05, 40).clip(-0.3, 0.3)):
        found = gate.drop(np.full(40, 0.5), 0.5 + moves, margin=0.02, alpha=alpha, pass_alpha=0.05)
        assert found.mde is None or found.mde > 0.4
