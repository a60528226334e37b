"""Reduced distributions against whole ones, by enumeration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.runs.distributions import ABSENT, divergences, reduced, rest


def logprobs(seed: int, places: int = 3, vocabulary: int = 7, spread: float = 3.0) -> Any:
    logits = np.random.default_rng(seed).normal(0.0, spread, (places, vocabulary))
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def whole(p: Any, q: Any) -> Any:
    """What llama.cpp's ``--kl-divergence`` sums up, in double precision."""
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    return (np.exp(p) * (p - q)).sum(axis=1)


def test_the_largest_and_the_rest_are_kept() -> None:
    rows = np.log(np.array([[0.1, 0.4, 0.05, 0.25, 0.2], [0.2, 0.2, 0.2, 0.2, 0.2]], np.float32))
    found = reduced(rows, 2)
    assert np.exp(found[:, :2]) == pytest.approx(np.array([[0.4, 0.25], [0.2, 0.2]]))
    assert found[0, 2:4].tolist() == [1, 3]
    assert found[1, 2] < found[1, 3], "of equal ones the lower id comes first"
    assert rest(found) == pytest.approx([0.35, 0.6])


def test_a_small_vocabulary_is_kept_whole() -> None:
    found = reduced(logprobs(0, vocabulary=3), 5)
    assert found.shape == (3, 11)
    assert found[:, 8:10].tolist() == [[ABSENT, ABSENT]] * 3
    assert rest(found).tolist() == [0.0, 0.0, 0.0]


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), vocabulary=st.integers(2, 20))
def test_fewer_cells_bound_the_divergence_from_below(seed: int, vocabulary: int) -> None:
    p, q = logprobs(seed, 4, vocabulary), logprobs(seed + 1, 4, vocabulary)
    exact = whole(p, q)
    before = np.zeros(4)
    for kept in range(1, vocabulary + 1):
        found, fewer, same = divergences(reduced(p, kept), q)
        half = divergences(reduced(p, (kept + 1) // 2), q).nats
        assert fewer == pytest.approx(half, abs=1e-5), "half as many, without reading again"
        assert (found >= before - 1e-5).all(), "more cells see more"
        assert (found <= exact + 1e-5).all()
        assert same.tolist() == (p.argmax(axis=1) == q.argmax(axis=1)).tolist()
        before = found
    assert before == pytest.approx(exact, abs=1e-5)
    assert divergences(reduced(p, vocabulary + 3), q)[0] == pytest.approx(exact, abs=1e-5)


def test_by_hand() -> None:
    p = np.log(np.array([[0.5, 0.25, 0.125, 0.125]], np.float32))
    q = np.log(np.array([[0.25, 0.5, 0.2, 0.05]], np.float32))
    found, _, same = divergences(reduced(p, 1), q)
    assert found[0] == pytest.approx(0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75))
    assert not same[0]


def test_equal_distributions_do_not_diverge() -> None:
    p = logprobs(3, 50, 500)
    found, _, same = divergences(reduced(p, 8), p)
    assert found == pytest.approx(np.zeros(50), abs=1e-6)
    assert (found >= 0).all()
    assert same.all()


def test_what_has_no_probability_in_the_base_counts_nothing() -> None:
    p = np.log(np.array([[0.5, 0.5, 1.0]], np.float32))
    p[0, 2] = -np.inf
    q = np.log(np.array([[0.4, 0.4, 0.2]], np.float32))
    for kept in (1, 2, 3):
        assert divergences(reduced(p, kept), q)[0][0] == pytest.approx(
            np.log(0.5 / 0.4) if kept > 1 else 0.5 * np.log(0.5 / 0.4) + 0.5 * np.log(0.5 / 0.6)
        )


def test_what_has_none_in_the_candidate_diverges_without_bound() -> None:
    p = np.log(np.array([[0.5, 0.3, 0.2]], np.float32))
    q = p.copy()
    q[0, 1] = -np.inf
    assert divergences(reduced(p, 2), q)[0][0] == np.inf


@pytest.mark.parametrize("whose", ["base", "candidate"])
def test_nan_stays_nan(whose: str) -> None:
    p, q = logprobs(1), logprobs(2)
    (p if whose == "base" else q)[1, 4] = np.nan
    found = divergences(reduced(p, 3), q)
    assert np.isnan(found.nats).tolist() == [False, True, False]
    assert np.isnan(found.fewer).tolist() == [False, True, False]
