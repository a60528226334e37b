"""One comparison against enumeration and closed forms."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from pytest_modellab.gate import drop
from pytest_modellab.gate._rows import Rows, collapse
from pytest_modellab.gate.single import block_p, block_p_at, drop_high, pass_p
from pytest_modellab.gate.validate import UNIT


def binary(n: int, losses: int, gains: int) -> tuple[list[int], list[int]]:
    same = n - losses - gains
    return [1] * losses + [0] * gains + [1] * same, [0] * losses + [1] * gains + [1] * same


def rows(differences: list[float], clusters: list[int] | None = None) -> Rows:
    units = np.rint(np.array(differences) * UNIT).astype(np.int64)
    groups = None if clusters is None else np.array(clusters, dtype=np.int64)
    return collapse(units, np.zeros(units.size, dtype=np.int64), groups, 1)


def mid_p(losses: int, gains: int) -> float:
    total = losses + gains
    ways = [math.comb(total, k) for k in range(gains + 1)]
    return float((Fraction(sum(ways)) - Fraction(ways[-1], 2)) / 2**total)


@pytest.mark.parametrize("n", range(2, 13))
def test_binary_at_margin_zero_is_mid_p_mcnemar(n: int) -> None:
    for losses in range(n + 1):
        for gains in range(n + 1 - losses):
            found = drop(*binary(n, losses, gains))
            assert found.p_block == pytest.approx(mid_p(losses, gains), rel=1e-12)
            assert (found.losses, found.gains) == (losses, gains)
            assert (found.verdict == "block") == (mid_p(losses, gains) <= 0.05)


@pytest.mark.parametrize(("losses", "gains"), [(5, 0), (0, 5), (6, 1), (9, 4), (40, 20), (1, 1)])
def test_general_formula_gives_mid_p_too(losses: int, gains: int) -> None:
    differences = [-1.0] * losses + [1.0] * gains + [0.0] * 3
    p = block_p_at(rows(differences), np.zeros(1), np.ones(1))[0]
    assert p == pytest.approx(mid_p(losses, gains), rel=1e-8)


def test_ties_never_block() -> None:
    assert drop([0.5] * 30, [0.5] * 30).p_block == 0.5
    assert drop([1] * 30, [1] * 30, alpha=0.4).verdict == "inconclusive"


@pytest.mark.parametrize("n", [3, 10, 100, 5000])
@pytest.mark.parametrize("losses", [1, 2, 3])
def test_three_losses_never_block(n: int, losses: int) -> None:
    found = drop(*binary(n, losses, 0))
    assert found.p_block == 0.5 ** (losses + 1)
    assert found.verdict == "inconclusive"


@pytest.mark.parametrize(
    ("n", "margin", "verdict"),
    [
        (149, 0.02, "pass"),
        (148, 0.02, "inconclusive"),
        (59, 0.05, "pass"),
        (58, 0.05, "inconclusive"),
    ],
)
def test_passing_without_discordance(n: int, margin: float, verdict: str) -> None:
    found = drop([1] * n, [1] * n, margin=margin)
    assert found.p_pass == pytest.approx((1.0 - margin) ** n, rel=1e-10)
    assert found.verdict == verdict


@pytest.mark.parametrize(("n", "losses"), [(100, 1), (100, 4), (250, 2)])
def test_pass_of_losses_alone_is_clopper_pearson(n: int, losses: int) -> None:
    margin = 0.05
    chance = sum(math.comb(n, k) * margin**k * (1 - margin) ** (n - k) for k in range(losses + 1))
    found = drop(*binary(n, losses, 0), margin=margin)
    assert found.p_pass == pytest.approx(chance, rel=1e-8)


def test_roles_are_symmetric_at_margin_zero() -> None:
    for losses in range(8):
        for gains in range(8):
            before, after = binary(20, losses, gains)
            there, back = drop(before, after), drop(after, before)
            assert there.p_block + back.p_block == pytest.approx(1.0, abs=1e-12)
            assert there.drop == pytest.approx(-back.drop, abs=1e-15)


def test_bounds_are_where_the_p_values_equal_their_levels() -> None:
    rng = np.random.default_rng(3)
    before = rng.integers(0, 5, 80) / 4
    after = np.clip(before - rng.choice([0.0, 0.25, -0.25], 80, p=[0.7, 0.2, 0.1]), 0.0, 1.0)
    found = drop(before, after, alpha=0.03, pass_alpha=0.1)
    part = rows((after - before).tolist())
    _, size = block_p(part, np.zeros(1))
    low = block_p_at(part, np.array([found.drop_low]), size)[0]
    high = pass_p(part, np.array([found.drop_high]))[0]
    assert low == pytest.approx(0.03, rel=1e-5)
    assert high == pytest.approx(0.1, rel=1e-5)
    assert found.drop_low < found.drop < found.drop_high


@pytest.mark.parametrize("level", [0.2, 0.03125, 0.01, 1e-4])
@pytest.mark.parametrize("scores", [[0.0, 0.5], [0.0, 1.0], [0.2, 0.2, 0.5], [0.0] * 6 + [0.2]])
def test_bounds_are_found_where_p_falls_to_zero(scores: list[float], level: float) -> None:
    """Against a floor of 0.5 no p_pass is above 0 once the margin passes it."""
    part, worst = rows([score - 0.5 for score in scores]), np.array([-0.5])
    high = drop_high(part, np.array([level]), worst)
    step = np.array([1e-7])
    assert pass_p(part, high - step, worst) >= level >= pass_p(part, high + step, worst)


@pytest.mark.parametrize("seed", range(30))
def test_a_bound_beyond_the_margin_is_a_block(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = (rng.random(60) < 0.8).astype(float)
    after = np.where(rng.random(60) < 0.2, before * rng.random(60), before)
    for margin in (0.0, 0.05):
        found = drop(before, after, margin=margin)
        assert (found.verdict == "block") == (found.drop_low >= margin)
        if margin:
            assert (found.p_pass <= 0.05) == (found.drop_high <= margin)


def test_one_catastrophic_sample_more_does_not_hide_a_drop() -> None:
    """The pseudo-sample grows with the largest difference; the rule must not weaken with it."""
    before = [0.5] * 60
    mild = [0.4] * 20 + [0.5] * 40
    worse = [0.0] + [0.4] * 19 + [0.5] * 40
    assert drop(before, worse).p_block <= drop(before, mild).p_block
    assert drop(before, worse, alpha=0.001).verdict == "block"


def damaged(seed: int) -> Rows:
    """Many small gains and long-tailed losses: the least p lies at an end or between."""
    rng = np.random.default_rng(seed)
    return rows([-0.9, *np.maximum(0.08 - rng.exponential(0.12, 60), -0.9).tolist()])


@pytest.mark.parametrize("seed", range(8))
def test_no_pseudo_size_has_a_lower_p(seed: int) -> None:
    part = damaged(seed)
    p, size = block_p(part, np.zeros(1))
    coarse = np.linspace(0.25, 0.9, 60)
    fine = np.clip(size + np.linspace(-0.01, 0.01, 40), 0.25, 0.9)
    elsewhere = [block_p_at(part, np.zeros(1), np.array([one])) for one in [*coarse, *fine]]
    assert p[0] <= np.min(elsewhere) * (1.0 + 1e-6)
    assert p[0] == pytest.approx(block_p_at(part, np.zeros(1), size)[0], rel=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_p_values_are_exact_between_two_levels(seed: int) -> None:
    part = damaged(seed)
    exact, _ = block_p(part, np.zeros(1))
    assert block_p(part, np.zeros(1), (exact[0] / 2, exact[0] * 2))[0] == exact
    assert block_p(part, np.zeros(1), (0.0, exact[0] / 2))[0] > exact / 2
    assert block_p(part, np.zeros(1), (exact[0] * 2, 1.0))[0] <= exact * 2


def test_equal_shift_of_all_samples_blocks() -> None:
    found = drop([0.6] * 20, [0.5] * 20)
    assert found.verdict == "block"
    assert found.drop == pytest.approx(0.1, abs=1e-12)


def test_clusters_count_and_not_their_samples() -> None:
    before = [1] * 40
    after = [0] * 8 + [1] * 32
    one_cluster_fell = [i // 8 for i in range(40)]
    spread = [i % 5 for i in range(40)]
    assert drop(before, after).verdict == "block"
    assert drop(before, after, clusters=one_cluster_fell).verdict == "inconclusive"
    assert drop(before, after, clusters=spread).clusters == 5
    assert drop(before, after, clusters=[None] * 40).verdict == "block"


def test_clusters_are_weighted_by_their_size() -> None:
    differences = [-0.5, -0.5, -0.5, 0.1, 0.2, -0.1, 0.0]
    part = rows(differences, [0, 0, 0, 1, 1, 2, 3])
    assert sorted(part.weights.tolist()) == pytest.approx([4 / 7, 4 / 7, 8 / 7, 12 / 7])
    assert part.mean[0] == pytest.approx(np.mean(differences))
    assert float(np.sum(part.weights * part.values * part.counts)) / 4 == pytest.approx(
        part.mean[0]
    )


def test_clusters_of_one_sample_change_nothing() -> None:
    before, after = binary(30, 7, 2)
    assert drop(before, after, clusters=list(range(30))) == drop(before, after)


@pytest.mark.parametrize("clusters", [None, [0, 0, 0]])
def test_one_sample_or_cluster_shows_nothing(clusters: list[int] | None) -> None:
    size = 1 if clusters is None else 3
    for margin, level in ((0.0, 0.9), (0.97, 0.9)):
        found = drop([1.0] * size, [0.0] * size, clusters=clusters, margin=margin, alpha=level)
        assert found.verdict == "inconclusive"
        assert (found.p_block, found.p_pass) == (1.0, 1.0)
        assert (found.drop_low, found.drop_high) == (-1.0, 1.0)
        assert found.mde is None
        assert "one sample or cluster alone shows nothing" in found.explain()


def test_missing_candidate_scores() -> None:
    before, after = [1.0] * 200, [1.0] * 197 + [math.nan] * 3
    found = drop(before, after, margin=0.05)
    assert found.missing == (197, 198, 199)
    assert found.p_block == drop(before, [1.0] * 200, margin=0.05).p_block
    assert found.p_pass == drop(before, [1.0] * 197 + [0.0] * 3, margin=0.05).p_pass
    assert found.n == 200
    assert "(3 candidate scores are missing)" in found.explain()


def test_missing_baseline_scores_are_dropped_and_listed() -> None:
    before = [None, 1.0, 1.0, math.nan, 0.0]
    after = [1.0, 1.0, 0.0, math.nan, 0.0]
    found = drop(before, after)
    assert found.dropped == (0, 3)
    assert (found.n, found.losses, found.gains) == (3, 1, 0)
    assert "(2 samples without a baseline score left out)" in found.explain()
