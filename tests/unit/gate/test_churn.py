"""Flips between two runs of one model."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.gate import AlignmentError, Churn, EmptyError, LengthError, abnormal, churn

SCORES = st.sampled_from([0.0, 0.5, 1.0, math.nan])


def test_a_flip_is_a_score_that_differs() -> None:
    found = churn([1, 0, 0.5, 0.5], [1, 1, 0.5, 0.25])
    assert found == Churn(flips=2, n=4)
    assert found.rate == 0.5
    assert churn([0.1 + 0.2], [0.3]).flips == 0  # the same score, summed in another order


def test_a_score_missing_once_is_a_flip() -> None:
    assert churn([math.nan, None, 1, None], [math.nan, 1, math.nan, None]).flips == 2


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1))
def test_neither_run_comes_first(pairs: list[tuple[float, float]]) -> None:
    first, second = zip(*pairs, strict=True)
    assert churn(first, second) == churn(second, first)
    assert churn(first, first).flips == 0


@pytest.mark.parametrize(
    ("flips", "baseline", "found"),
    [(6, 2, False), (7, 2, True), (3, 0, False), (4, 0, True), (3, 1, False), (0, 0, False)],
)
def test_abnormal_is_more_than_three_times(flips: int, baseline: int, found: bool) -> None:
    assert abnormal(Churn(flips, 100), Churn(baseline, 100)) is found
    assert abnormal(Churn(2 * flips, 200), Churn(baseline, 100)) is found


def test_in_words() -> None:
    assert Churn(7, 700).explain() == "7 of 700 samples (1.0%) flipped though nothing changed"
    assert Churn(7, 700).explain(Churn(3, 600)) == (
        "7 of 700 samples (1.0%) flipped though nothing changed; 3 of 600 (0.5%) when it was "
        "accepted"
    )
    assert Churn(70, 700).explain(Churn(3, 600)) == (
        "70 of 700 samples (10.0%) flipped though nothing changed, more than 3 times the 3 of 600 "
        "(0.5%) when it was accepted: look for what differs between two runs of it (sampling, "
        "batch size, kernels)"
    )


def test_errors() -> None:
    with pytest.raises(LengthError, match="second_scores has 1 entries, first_scores 2: both must"):
        churn([1, 0], [1])
    with pytest.raises(EmptyError, match="no samples to compare: both arrays are empty"):
        churn([], [])
    pandas = pytest.importorskip("pandas")
    with pytest.raises(AlignmentError, match="first_scores and second_scores are Series with"):
        churn(pandas.Series([1, 0]), pandas.Series([1, 0], index=[1, 0]))
