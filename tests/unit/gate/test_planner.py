"""Planned power against enumeration and against the gate itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.gate import (
    Figures,
    SettingError,
    any_power,
    compare,
    decide,
    detectable_drop,
    drop,
    effective_size,
    pass_size,
    power,
    samples_for,
)
from pytest_modellab.gate._rows import collapse
from pytest_modellab.gate.family import discrete_minp, holm
from pytest_modellab.gate.planner import (
    PLAN_UP_TO,
    block_power,
    normal_drop,
    normal_power,
    normal_size,
    pass_power,
)
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
    assert power(50, 0.05, churn=0.02) == pytest.approx(0.24, abs=0.005)
    formula = normal_power(50, 0.07 - 0.05**2, 0.05, 0.05)
    assert formula == pytest.approx(0.39, abs=0.005)
    assert normal_size(0.07 - 0.05**2, 0.05, 0.05, formula) == pytest.approx(50)


DROPS = st.floats(0.0, 0.4)
CHURNS = st.sampled_from([0.0, 0.02, 0.1, 0.25])
MARGINS = st.sampled_from([0.0, 0.02, 0.1])
LEVELS = st.floats(1e-4, 0.2)


@settings(max_examples=50)
@given(st.integers(1, 80), DROPS, DROPS, CHURNS, MARGINS, LEVELS, LEVELS, st.booleans())
def test_power_rises_with_drop_and_level(
    n: int,
    drop_a: float,
    drop_b: float,
    churn: float,
    margin: float,
    level_a: float,
    level_b: float,
    family: bool,
) -> None:
    known: dict[str, Any] = {"churn": churn, "margin": margin, "in_family": family}
    drops, levels = sorted([drop_a, drop_b]), sorted([level_a, level_b])
    least = power(n, drops[0], level=levels[0], **known)
    assert 0.0 <= least <= power(n, drops[1], level=levels[0], **known) + 1e-12
    assert least <= power(n, drops[0], level=levels[1], **known) + 1e-12


@settings(max_examples=50)
@given(st.integers(1, 120), st.floats(0.02, 0.4), CHURNS, LEVELS, st.booleans())
def test_power_rises_with_n(n: int, lost: float, churn: float, level: float, family: bool) -> None:
    known: dict[str, Any] = {"churn": churn, "level": level, "in_family": family}
    assert power(n, lost, **known) <= power(n + 1, lost, **known) + 1e-5
    # a margin makes a sawtooth of it, but not over four times as many samples
    beyond: dict[str, Any] = {**known, "margin": 0.5 * lost}
    assert power(n, lost, **beyond) <= power(4 * n, lost, **beyond) + 1e-12


@settings(max_examples=15)
@given(st.floats(0.1, 0.4), CHURNS, st.sampled_from([0.0, 0.02]), LEVELS, st.floats(0.3, 0.95))
def test_samples_for_is_where_the_power_is_reached(
    lost: float, churn: float, margin: float, level: float, asked: float
) -> None:
    known: dict[str, Any] = {"churn": churn, "margin": margin, "level": level}
    n = samples_for(lost, power=asked, **known)
    assert n is not None
    assert power(n, lost, **known) >= asked
    assert n == 1 or power(n - 1, lost, **known) < asked


def test_samples_for_is_the_least_number_at_margin_0() -> None:
    known: dict[str, Any] = {"churn": 0.02, "level": 0.025 / 8, "in_family": True}
    n = samples_for(0.2, **known)
    assert n is not None
    assert all(power(size, 0.2, **known) < 0.8 for size in range(1, n))
    assert samples_for(0.05, churn=0.02, power=0.24) == 50


def test_no_number_of_samples_shows_an_allowed_drop() -> None:
    assert samples_for(0.05, churn=0.02, margin=0.05) is None
    assert power(5000, 0.05, churn=0.02, margin=0.05) <= 0.055


def test_large_sets_are_planned_by_the_formula() -> None:
    n, lost = 4 * PLAN_UP_TO, 0.012
    formula = power(n, lost, churn=0.1, margin=0.01, level=0.01)
    assert formula == pytest.approx(normal_power(n, 0.112 - 0.012**2, 0.002, 0.01))
    exact = block_power(n, 0.05 + lost, 0.05, 0.01, 0.01)
    assert formula == pytest.approx(exact, abs=0.005)
    assert samples_for(0.011, churn=0.1, margin=0.01) == math.ceil(
        normal_size(0.111 - 0.011**2, 0.001, 0.05)
    )
    assert pass_size(churn=0.1, margin=0.002) == math.ceil(normal_size(0.1, 0.002, 0.05))


def test_pass_size() -> None:
    assert pass_size(churn=0.0, margin=0.02) == 149
    assert pass_size(churn=0.0, margin=0.05) == 59
    assert pass_size(churn=0.02, margin=0.0) is None
    n = pass_size(churn=0.02, margin=0.05, power=0.95)
    assert n is not None
    assert pass_power(n, 0.01, 0.01, 0.05, 0.05) >= 0.95 > pass_power(n - 1, 0.01, 0.01, 0.05, 0.05)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"n": 0}, "n is 0, but must be a whole number of samples, at least 1"),
        ({"n": 2.5}, "n is 2.5, but must be a whole number of samples, at least 1"),
        ({"churn": 1.01}, "churn is 1.01, but must lie between 0 and 1"),
        ({"churn": math.nan}, "churn is nan, but must lie between 0 and 1"),
        ({"drop": 0.95}, "drop is 0.95, but must lie between 0 and 0.9: it is the share of"),
        ({"margin": 1.0}, "margin is 1, but must be at least 0 and below 1"),
        ({"level": 0.0}, "level is 0, but must lie above 0 and below 1"),
    ],
)
def test_settings_out_of_range(settings_: dict[str, float], message: str) -> None:
    given_: dict[str, Any] = {"n": 50, "drop": 0.1, "churn": 0.1, **settings_}
    with pytest.raises(SettingError, match=message):
        power(given_.pop("n"), given_.pop("drop"), **given_)


def test_power_asked_out_of_range() -> None:
    with pytest.raises(SettingError, match="power is 1, but must lie above 0 and below 1"):
        samples_for(0.1, churn=0.1, power=1.0)
    with pytest.raises(SettingError, match="power is 0, but must lie above 0 and below 1"):
        pass_size(churn=0.1, margin=0.1, power=0.0)
    with pytest.raises(SettingError, match="power is 80, but must lie above 0 and below 1"):
        detectable_drop(50, churn=0.1, power=80)
    with pytest.raises(SettingError, match="churn is 5, but must lie between 0 and 1"):
        detectable_drop(50, churn=5)
    with pytest.raises(SettingError, match="n is -3, but must be a whole number"):
        detectable_drop(-3, churn=0.1)


def test_effective_size_of_clusters() -> None:
    assert effective_size([1] * 40) == 40
    assert effective_size([5] * 40) == 40
    assert effective_size([1, 1, 8]) == pytest.approx(100 / 66)
    assert effective_size([]) == 0
    with pytest.raises(SettingError, match=r"^sizes holds a cluster of 0 samples: leave it out$"):
        effective_size([3, 0])


@pytest.mark.parametrize(("sizes", "better"), [([3] * 30, 0.05), ([2] * 20 + [4] * 10, 0.1)])
def test_power_of_clusters_is_that_of_their_effective_size(sizes: list[int], better: float) -> None:
    """Whole clusters flip together; where sizes differ, the gate does a little better."""
    clusters = [i for i, size in enumerate(sizes) for _ in range(size)]
    rng = np.random.default_rng(11)
    blocked = 0
    for _ in range(300):
        u = np.repeat(rng.random(len(sizes)), sizes)
        before = np.where((u >= 0.30) & (u < 0.35), 0.0, 1.0)
        after = np.where(u < 0.30, 0.0, 1.0)
        blocked += decide(before, after, clusters=clusters) == "block"
    planned = power(int(effective_size(sizes)), 0.25, churn=0.1)
    assert planned - 0.05 <= blocked / 300 <= planned + better


def counts(rng: np.random.Generator, times: int, n: int, churn: float, lost: float) -> Any:
    chances = [0.5 * churn + lost, 0.5 * churn, 1.0 - churn - lost]
    return rng.multinomial(n, chances, times)[:, :2]


@pytest.mark.parametrize(
    ("n", "lost", "churn", "margin"), [(40, 0.2, 0.1, 0.0), (90, 0.15, 0.05, 0.05)]
)
def test_power_is_how_often_the_gate_blocks(
    n: int, lost: float, churn: float, margin: float
) -> None:
    drawn = counts(np.random.default_rng(5), 4000, n, churn, lost)
    pairs, times = np.unique(drawn, axis=0, return_counts=True)
    blocked = [decide(*pair(n, b, c), margin=margin) == "block" for b, c in pairs.tolist()]
    planned = power(n, lost, churn=churn, margin=margin)
    assert 0.3 < planned < 0.95
    assert float(times @ blocked) / 4000 == pytest.approx(planned, abs=0.025)  # 3 standard errors


def family_blocks(sizes: tuple[int, ...], drawn: Any, margin: float) -> bool:
    differences = [
        value
        for n, (b, c) in zip(sizes, drawn.tolist(), strict=True)
        for value in [-1] * b + [1] * c + [0] * (n - b - c)
    ]
    codes = np.repeat(np.arange(len(sizes)), sizes)
    rows = collapse(np.array(differences) * UNIT, codes, None, len(sizes))
    p = block_p(rows, np.full(len(sizes), margin))[0]
    if margin:
        return bool((holm(p) <= 0.05).any())
    return bool((discrete_minp(p, rows.losses + rows.gains, rows.binary, p) <= 0.05).any())


@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_power_of_a_family(margin: float) -> None:
    """Exact where Holm corrects; minP, at margin 0, blocks at least as often as planned."""
    sizes = (60, 60, 90)
    one = [power(n, 0.2, churn=0.1, margin=margin, level=0.05 / 3, in_family=True) for n in sizes]
    rng = np.random.default_rng(6)
    drawn = np.stack([counts(rng, 2000, n, 0.1, 0.2) for n in sizes], axis=1)
    blocked = sum(family_blocks(sizes, losses_and_gains, margin) for losses_and_gains in drawn)
    planned = any_power(one)
    assert max(one) < planned < 1.0
    assert blocked / 2000 >= planned - 0.03
    if margin:
        assert blocked / 2000 == pytest.approx(planned, abs=0.03)


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


def test_samples_needed_to_pass_count_missing_scores_as_zero() -> None:
    found = drop([1] * 300, [1] * 298 + [None] * 2, margin=0.02)
    assert found.verdict == "inconclusive"
    needed = found.samples_needed
    assert needed is not None
    assert 0.8 <= pass_power(needed, 2 / 300, 0.0, 0.02, 0.05) < 0.87
    never = drop([1] * 300, [1] * 292 + [None] * 8, margin=0.02, max_missing=0.1)
    assert (never.verdict, never.samples_needed) == ("inconclusive", None)


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_samples_needed_where_every_score_falls_alike(margin: float) -> None:
    """Without scatter it is the pseudo-sample that has to be outweighed."""

    def fall(n: int) -> Figures:
        return drop([0.5] * n, [0.499 - margin] * n, margin=margin)

    assert fall(100).verdict == "inconclusive"
    needed = fall(100).samples_needed
    assert needed is not None
    assert (fall(needed).verdict, fall(needed - 1).verdict) == ("block", "inconclusive")


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
