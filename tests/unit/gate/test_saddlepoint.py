"""T(x) against closed forms, partial fractions and Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from pytest_modellab.gate import _saddlepoint
from pytest_modellab.gate._saddlepoint import Floats, tail


def one(x: list[float] | Floats, extra: float, counts: list[float] | None = None) -> float:
    values = np.asarray(x, dtype=np.float64)
    weights = np.ones_like(values) if counts is None else np.asarray(counts, dtype=np.float64)
    return float(tail(values, weights, np.array([0]), np.array([extra]))[0])


def partial_fractions(x: list[float]) -> float:
    """P(sum G_i x_i >= 0) for distinct values."""
    exact = [Fraction(value) for value in x]
    total = Fraction(0)
    for i, top in enumerate(exact):
        if top > 0:
            term = Fraction(1)
            for j, other in enumerate(exact):
                if i != j:
                    term *= top / (top - other)
            total += term
    return float(total)


@pytest.mark.parametrize("losses", range(9))
@pytest.mark.parametrize("gains", range(9))
def test_two_distinct_values_are_a_binomial_probability(losses: int, gains: int) -> None:
    total = losses + gains
    expected = sum(math.comb(total, k) for k in range(gains + 1)) / 2**total
    found = one([-1.0, 1.0], 1.0, [losses, gains]) if losses and gains else None
    if losses and not gains:
        found = one([-1.0], 1.0, [losses])
    if found is not None:
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.25, 1.0), (3.0, 0.01)])
def test_two_terms(a: float, b: float) -> None:
    assert one([a], -b) == pytest.approx(a / (a + b), rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_few_distinct_values_are_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.normal(0.0, 0.3), 0.5, size=int(rng.integers(4, 9)))
    assert one(x[1:], float(x[0])) == pytest.approx(partial_fractions(x.tolist()), rel=1e-7)


@pytest.mark.parametrize("seed", range(20))
def test_lugannani_rice_alone_is_close(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(-0.1, 0.5, size=14)
    exact = one(x[1:], float(x[0]))
    monkeypatch.setattr(_saddlepoint, "INVERT_UP_TO", 0)
    assert one(x[1:], float(x[0])) == pytest.approx(exact, rel=0.03)


POPULATIONS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.normal(-0.1, 0.25, n),
    "quarter steps": lambda rng, n: rng.choice([-0.5, -0.25, 0, 0.25], n, p=[0.1, 0.25, 0.5, 0.15]),
    "skewed down": lambda rng, n: 0.1 - rng.exponential(0.2, n),
    "skewed up": lambda rng, n: rng.exponential(0.2, n) - 0.25,
    "mostly unchanged": lambda rng, n: np.where(rng.random(n) < 0.4, rng.normal(-0.15, 0.3, n), 0),
    "one outlier": lambda rng, n: np.append(rng.normal(-0.02, 0.1, n - 1), -1.0),
}


@pytest.mark.parametrize("size", [10, 30])
@pytest.mark.parametrize("name", POPULATIONS)
def test_a_million_draws(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 3 % and three standard errors of the draws, where these are 1,000 or more."""
    rng = np.random.default_rng([size, len(name)])
    x = POPULATIONS[name](rng, size)
    pseudo = max(0.25, float(np.abs(x).max()))
    compared = 0
    for extra in (pseudo, -pseudo):
        hits = 0
        for _ in range(20):
            draws = rng.standard_exponential((50_000, size + 1), dtype=np.float32)
            hits += int(np.count_nonzero(draws @ np.append(x, extra) >= 0.0))
        if hits < 1000:
            continue
        compared += 1
        p = hits / 1e6
        tolerance = 0.03 * p + 3.0 * math.sqrt(p * (1.0 - p) / 1e6)
        for invert_up_to in (64, 0):  # 0: the formula of Lugannani and Rice alone
            monkeypatch.setattr(_saddlepoint, "INVERT_UP_TO", invert_up_to)
            assert one(x, extra) == pytest.approx(p, abs=tolerance)
    assert compared


def test_near_the_mean() -> None:
    """The saddlepoint lies at 0, where Lugannani and Rice's formula is 0/0."""
    x = np.linspace(-1.0, 1.0, 201)
    assert one(x, 0.0) == pytest.approx(0.5, abs=1e-9)
    shifted = [one(x + shift, 0.0) for shift in np.linspace(-1e-3, 1e-3, 41)]
    assert np.all(np.diff(shifted) > 0.0)


def test_one_sided_and_empty_of_evidence() -> None:
    assert one([0.0, 0.5], 0.0) == 1.0
    assert one([0.0, 0.0], 0.0) == 1.0
    assert one([0.0, 0.0], -1.0) == 0.0
    assert one([-0.5], -1.0) == 0.0


def test_large_counts() -> None:
    p = one([0.02, -0.98, 1.02], 0.3, [999_000.0, 700.0, 300.0])
    assert p == 1.0
    p = one([0.0, -1.0, 1.0], 1.0, [9e5, 50_600.0, 50_000.0])
    assert p == pytest.approx(0.0292, rel=0.01)  # Phi(-600 / sqrt(100600)) = 0.0293


def test_rows_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(5)
    lengths = rng.integers(1, 100, size=300)
    starts = np.cumsum(lengths) - lengths
    x = rng.normal(-0.02, 0.3, size=int(lengths.sum()))
    extra = rng.normal(0.0, 0.5, size=300)
    counts = np.ones_like(x)
    together = tail(x, counts, starts, extra)
    alone = [
        one(x[start : start + length], float(value))
        for start, length, value in zip(starts, lengths, extra, strict=True)
    ]
    assert together.tolist() == alone


def test_sets_of_extras_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(7)
    x, starts = rng.normal(-0.01, 0.3, 400), np.array([0, 2, 5, 200])
    extra = np.array([[0.5, 0.5, 0.5, 0.5], [-0.5, 0.0, -2.0, -0.1]])
    together = tail(x, np.ones_like(x), starts, extra)
    assert together.tolist() == [tail(x, np.ones_like(x), starts, one).tolist() for one in extra]


def test_long_rows_are_cut_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(-0.01, 0.3, size=1000)
    starts = np.arange(0, 1000, 100)
    whole = tail(x, np.ones_like(x), starts, np.full(10, 0.4))
    monkeypatch.setattr(_saddlepoint, "_CHUNK", 150)
    cut = tail(x, np.ones_like(x), starts, np.full(10, 0.4))
    assert cut.tolist() == whole.tolist()
