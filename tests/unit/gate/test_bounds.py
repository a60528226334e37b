"""Bounds by themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_modellab.gate import AlignmentError, SettingError, drop, drop_bounds, score_bounds

SCORES = st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0]), min_size=2, max_size=40)


def test_drop_bounds_are_the_margins_at_which_the_verdict_turns() -> None:
    before, after = [1] * 200, [0] * 20 + [1] * 180
    low, high = drop_bounds(before, after, confidence=0.9)
    assert 0.0 < low < 0.1 < high
    for margin, verdict in (
        (low - 1e-6, "block"),
        (low + 1e-6, "inconclusive"),
        (high - 1e-6, "inconclusive"),
        (high + 1e-6, "pass"),
    ):
        assert drop(before, after, margin=margin, alpha=0.1).verdict == verdict


@pytest.mark.parametrize("n", [2, 7, 30])
def test_score_bounds_are_clopper_pearson(n: int) -> None:
    for right in range(n + 1):
        low, high = score_bounds([1] * right + [0] * (n - right), confidence=0.9)
        exact = stats.binomtest(right, n).proportion_ci(0.8, method="exact")
        assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-7)


@settings(max_examples=60)
@given(SCORES, st.floats(0.6, 0.999))
def test_score_bounds_hold_the_mean_and_mirror(scores: list[float], confidence: float) -> None:
    low, high = score_bounds(scores, confidence=confidence)
    assert 0.0 <= low <= np.mean(scores) + 1e-9
    assert np.mean(scores) - 1e-9 <= high <= 1.0
    mirrored = score_bounds([1.0 - score for score in scores], confidence=confidence)
    assert mirrored == pytest.approx((1.0 - high, 1.0 - low), abs=1e-9)
    wider = score_bounds(scores, confidence=0.9999)
    assert wider[0] <= low + 1e-9
    assert wider[1] >= high - 1e-9


def test_missing_scores_widen() -> None:
    scores = [1.0] * 30 + [0.0] * 10
    low, high = score_bounds([*scores, math.nan])
    assert low == pytest.approx(score_bounds([*scores, 0.0])[0])
    assert high == pytest.approx(score_bounds([*scores, 1.0])[1])


def test_clusters_widen_and_one_alone_shows_nothing() -> None:
    scores = [1.0] * 30 + [0.0] * 30
    together = [i // 10 for i in range(60)]
    alone, clustered = score_bounds(scores), score_bounds(scores, clusters=together)
    assert clustered[0] < alone[0]
    assert clustered[1] > alone[1]
    assert score_bounds(scores, clusters=[0] * 60) == (0.0, 1.0)
    assert drop_bounds(scores, scores, clusters=[0] * 60) == (-1.0, 1.0)


def test_errors() -> None:
    words = "confidence is 1, but must lie above 0 and below 1; 0.95 is usual"
    with pytest.raises(SettingError, match=words):
        score_bounds([1], confidence=1)
    with pytest.raises(SettingError, match=words):
        drop_bounds([1], [1], confidence=1)
    pandas = pytest.importorskip("pandas")
    with pytest.raises(AlignmentError, match="scores and clusters are Series"):
        score_bounds(pandas.Series([1, 0]), clusters=pandas.Series([1, 0], index=[1, 0]))
