"""Families against enumeration and statsmodels."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.gate import (
    EmptyError,
    LengthError,
    SettingError,
    combine,
    compare,
    decide,
    drop,
    drop_family,
    split_alpha,
    weighted_holm,
)
from pytest_modellab.gate.family import attainable, discrete_minp, holm


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_holm_is_statsmodels(p: list[float]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    expected = multitest.multipletests(p, method="holm")[1]
    assert np.minimum(holm(np.array(p)), 1.0).tolist() == pytest.approx(expected.tolist())
    assert weighted_holm(p, [0.3] * len(p)) == pytest.approx(expected.tolist())


P_AND_WEIGHT = st.tuples(st.floats(0.0, 1.0), st.floats(0.01, 100.0))


@given(st.lists(P_AND_WEIGHT, min_size=1, max_size=6))
def test_weighted_holm_is_closed_weighted_bonferroni(pairs: list[tuple[float, float]]) -> None:
    """An adjusted p is the largest over all sets of assertions that hold this one."""
    p, weights = zip(*pairs, strict=True)
    every = range(len(pairs))
    expected = [0.0] * len(pairs)
    for size in range(1, len(pairs) + 1):
        for chosen in itertools.combinations(every, size):
            total = sum(weights[i] for i in chosen)
            least = min(p[i] * total / weights[i] for i in chosen)
            for i in chosen:
                expected[i] = max(expected[i], min(least, 1.0))
    assert weighted_holm(p, weights) == pytest.approx(expected, rel=1e-9)


@given(st.lists(P_AND_WEIGHT, min_size=1, max_size=8), st.floats(0.001, 0.2))
def test_the_split_blocks_the_runs_that_weighted_holm_blocks(
    pairs: list[tuple[float, float]], alpha: float
) -> None:
    p, weights = zip(*pairs, strict=True)
    shares = split_alpha(alpha, {str(i): weight for i, weight in enumerate(weights)})
    nearest = min(one / shares[str(i)] for i, one in enumerate(p))
    if abs(nearest - 1.0) > 1e-9:
        assert (nearest < 1.0) == (min(weighted_holm(p, weights)) < alpha)


WEIGHTS = st.dictionaries(st.text(), st.floats(1e-6, 1e6), min_size=1, max_size=40)


@given(WEIGHTS, st.floats(1e-6, 0.999), st.randoms(use_true_random=False))
def test_shares_sum_to_alpha(weights: dict[str, float], alpha: float, random: Any) -> None:
    shares = split_alpha(alpha, weights)
    assert list(shares) == list(weights)
    assert all(share > 0.0 for share in shares.values())
    assert math.fsum(shares.values()) == pytest.approx(alpha, rel=1e-14)
    for one, other in itertools.pairwise(weights):
        assert (weights[one] <= weights[other]) == (shares[one] <= shares[other]) or (
            shares[one] == shares[other]
        )
    names = list(weights)
    random.shuffle(names)
    assert split_alpha(alpha, {name: weights[name] for name in names}) == shares
    equal = split_alpha(alpha, dict.fromkeys(weights, 3.0))
    assert set(equal.values()) == {alpha * 3.0 / (3.0 * len(weights))}


def test_settings_of_splits() -> None:
    with pytest.raises(SettingError, match="the weight of 'a' is 0, but must lie above 0"):
        split_alpha(0.05, {"a": 0.0})
    with pytest.raises(SettingError, match="alpha is 1, but must lie above 0 and below 1"):
        split_alpha(1.0, {"a": 1.0})
    with pytest.raises(EmptyError, match="there are no assertions to divide alpha among"):
        split_alpha(0.05, {})
    with pytest.raises(SettingError, match=r"p is \[nan\], but must lie between 0 and 1"):
        weighted_holm([math.nan], [1.0])
    with pytest.raises(SettingError, match="the weight of an assertion is inf, but"):
        weighted_holm([0.1], [math.inf])
    with pytest.raises(LengthError, match=r"weights has shape \(1,\), p \(2,\): both must hold"):
        weighted_holm([0.1, 0.2], [1.0])


def enumerated(total: int, t: float) -> float:
    """P(mid-p <= t) by going through all outcomes."""
    mid, reached, below = 0.0, 0.0, 0.0
    for k in range(total + 1):
        chance = math.comb(total, k) / 2**total
        mid = below + 0.5 * chance
        if mid <= t:
            reached += chance
        below += chance
    return reached


@pytest.mark.parametrize("total", [0, 1, 3, 6, 11, 20])
def test_attainable_is_the_enumerated_probability(total: int) -> None:
    t = np.array([1e-6, 0.004, 0.0079, 0.03, 0.06, 0.2, 0.5, 0.9, 1.0])
    expected = [enumerated(total, value) for value in t]
    assert attainable(total, t).tolist() == pytest.approx(expected, abs=1e-12)


def test_minp_of_one_binary_bucket_is_exact() -> None:
    p = np.array([0.5**7])  # six losses
    found = discrete_minp(p, np.array([6]), np.array([True]), np.ones(1))
    assert found[0] == pytest.approx(0.5**6)


def test_buckets_that_cannot_reject_cost_nothing() -> None:
    p = np.array([0.5**8, 0.5, 0.25, 0.5])
    discordant = np.array([7, 2, 1, 0])
    found = discrete_minp(p, discordant, np.ones(4, dtype=bool), np.ones(4))
    assert found[0] == pytest.approx(0.5**7)


def test_minp_steps_down_and_stays_monotone() -> None:
    p = np.array([0.5**8, 0.5**7, 0.5**7, 0.4])
    discordant = np.array([7, 6, 6, 9])
    found = discrete_minp(p, discordant, np.ones(4, dtype=bool), np.ones(4))
    first = enumerated(7, 0.5**8) + 2 * enumerated(6, 0.5**8) + enumerated(9, 0.5**8)
    second = 2 * enumerated(6, 0.5**7) + enumerated(9, 0.5**7)
    assert found.tolist()[:3] == pytest.approx([first, max(first, second), max(first, second)])
    assert found[3] >= found[2]


def test_graded_buckets_pay_their_p_value_where_they_could_reach_it() -> None:
    p = np.array([0.01, 0.3, 0.2])
    least = np.array([0.001, 0.005, 0.02])
    found = discrete_minp(p, np.array([9, 9, 2]), np.zeros(3, dtype=bool), least)
    assert found[0] == pytest.approx(0.02)  # the third bucket cannot reach 0.01


@pytest.mark.parametrize("size", [4, 5, 6])
def test_minp_holds_its_level_exactly(size: int) -> None:
    """Three buckets of 4 to 6 discordant samples: enumerate all outcomes."""
    totals = (size, 5, 6)
    for level in (0.025, 0.05, 0.1):
        false_block = 0.0
        for b in np.ndindex(*(total + 1 for total in totals)):
            chance, p = 1.0, []
            for losses, total in zip(b, totals, strict=True):
                chance *= math.comb(total, losses) / 2**total
                gains = total - losses
                below = sum(math.comb(total, k) for k in range(gains)) / 2**total
                p.append(below + 0.5 * math.comb(total, gains) / 2**total)
            adjusted = discrete_minp(
                np.array(p), np.array(totals), np.ones(3, dtype=bool), np.ones(3)
            )
            false_block += chance * bool(adjusted.min() <= level)
        assert false_block <= level + 1e-12


def buckets_of(
    spec: dict[str, tuple[int, int, int]],
) -> tuple[list[int], list[int], list[str]]:
    before: list[int] = []
    after: list[int] = []
    names: list[str] = []
    for name, (n, losses, gains) in spec.items():
        same = n - losses - gains
        before += [1] * losses + [0] * gains + [1] * same
        after += [0] * losses + [1] * gains + [1] * same
        names += [name] * n
    return before, after, names


def test_family_names_the_bucket_and_the_others_stay_open() -> None:
    data = buckets_of({"z/hard": (50, 12, 0), "a/easy": (50, 1, 1), "m": (50, 0, 1)})
    found = drop_family(*data, alpha=0.025)
    assert [one.name for one in found] == ["a/easy", "m", "z/hard"]
    assert [one.verdict for one in found] == ["inconclusive", "inconclusive", "block"]
    assert found[2].p_adjusted == pytest.approx(0.5**12)
    assert found[2].p_block <= found[2].level
    assert found[0].p_block > found[0].level


def test_family_with_a_margin_is_holm() -> None:
    data = buckets_of({"a": (60, 12, 1), "b": (60, 8, 1), "c": (60, 2, 2)})
    found = drop_family(*data, margin=0.05, alpha=0.05)
    p = np.array([one.p_block for one in found])
    assert [one.p_adjusted for one in found] == pytest.approx(np.minimum(holm(p), 1.0).tolist())
    for one, alone in zip(found, (12, 8, 2), strict=True):
        assert one.losses == alone


def test_bucket_figures_equal_those_of_the_bucket_alone() -> None:
    data = buckets_of({"a": (60, 12, 1), "b": (70, 8, 3)})
    found = drop_family(*data, margin=0.05)
    before, after = np.array(data[0]), np.array(data[1])
    inside = np.array(data[2]) == "b"
    alone = drop(before[inside], after[inside], margin=0.05)
    assert found[1].p_block == pytest.approx(alone.p_block, rel=1e-9)
    assert found[1].p_pass == pytest.approx(alone.p_pass, rel=1e-9)
    assert found[1].drop_high == pytest.approx(alone.drop_high, abs=1e-8)


def test_compare_splits_the_risk_between_pool_and_buckets() -> None:
    data = buckets_of({"a": (100, 3, 0), "b": (100, 2, 0)})
    # five losses in all: p = 2^-6 = 0.0156 is below 0.05 and below half of it
    found = compare(*data)
    assert (found.pooled.alpha, found.pooled.pass_alpha, found.alpha) == (0.025, 0.05, 0.05)
    assert found.verdict == "block"
    assert compare(*data, alpha=0.03).verdict == "inconclusive"
    assert compare(*data[:2], alpha=0.03).verdict == "block"
    assert {one.alpha for one in found.buckets} == {0.025}


def test_compare_passes_only_where_every_bucket_passes() -> None:
    wide = buckets_of({"a": (149, 0, 0), "b": (149, 0, 0)})
    assert compare(*wide, margin=0.02).verdict == "pass"
    narrow = buckets_of({"a": (149, 0, 0), "b": (148, 0, 0)})
    found = compare(*narrow, margin=0.02)
    assert found.verdict == "inconclusive"
    assert [one.verdict for one in found.buckets] == ["pass", "inconclusive"]
    assert compare(*narrow, margin=0.02, bucket_margin=0.03).verdict == "pass"


def test_decide_is_compare() -> None:
    rng = np.random.default_rng(8)
    seen = set()
    for _ in range(60):
        n = int(rng.integers(20, 400))
        before = rng.integers(0, 3, n) / 2
        change = rng.choice([0.0, -0.5, 0.5], n, p=[0.9, *rng.permutation([0.1, 0.0])])
        after = np.clip(before + change, 0.0, 1.0)
        buckets = rng.integers(0, 3, n)
        margin = float(rng.choice([0.0, 0.1, 0.3]))
        found = compare(before, after, buckets, margin=margin)
        assert decide(before, after, buckets, margin=margin) == found.verdict
        assert combine((found.pooled, *found.buckets)) == found.verdict
        seen.add(found.verdict)
    assert seen == {"block", "pass", "inconclusive"}


def test_the_worst_bucket_is_reported() -> None:
    found = compare(*buckets_of({"a": (30, 1, 0), "b": (30, 4, 0), "c": (30, 0, 2)}))
    assert found.worst is not None
    assert found.worst.name == "b"
    assert compare([1, 0], [1, 0]).worst is None
