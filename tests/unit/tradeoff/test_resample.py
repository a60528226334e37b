"""Draws: their mean and spread, pairing, clusters, and weighted quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.tradeoff import resample


def test_the_draws_are_about_the_mean_with_the_standard_error() -> None:
    rng = np.random.default_rng(0)
    scores = (rng.random((400, 1)) < 0.7).astype(float)
    drawn = resample.scores(scores, range(400), {"all": range(400)})["all"][:, 0]
    assert drawn.mean() == pytest.approx(scores.mean(), abs=0.003)
    assert drawn.std() == pytest.approx(scores.std() / 20, rel=0.1)


def test_what_is_hard_for_both_cancels() -> None:
    rng = np.random.default_rng(0)
    hard = (rng.random((400, 1)) < 0.5).astype(float)
    drawn = resample.scores(np.hstack([hard, hard]), range(400), {"all": range(400)})["all"]
    assert np.ptp(drawn[:, 0] - drawn[:, 1]) < 1e-12


def test_clusters_move_together() -> None:
    scores = np.repeat([[0.0], [1.0]] * 20, 10, axis=0)
    alone = resample.scores(scores, range(400), {"all": range(400)})["all"].std()
    together = resample.scores(scores, [i // 10 for i in range(400)], {"all": range(400)})
    assert together["all"].std() == pytest.approx(alone * 10**0.5, rel=0.15)


def test_chunks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).random((50, 2))
    whole = resample.scores(scores, range(50), {"all": range(50)}, resamples=40)["all"]
    monkeypatch.setattr(resample, "_CELLS", 500)
    parts = resample.scores(scores, range(50), {"all": range(50)}, resamples=40)["all"]
    assert np.allclose(whole, parts, atol=1e-12)


def test_quantiles_are_measured_values_about_the_sample_quantile() -> None:
    values = np.arange(1.0, 31.0).reshape(5, 6)
    drawn = resample.quantiles(values, (0.5, 0.95))
    assert drawn.shape == (2, resample.RESAMPLES)
    assert set(drawn.ravel()) <= set(values.ravel())
    assert np.median(drawn[0]) == pytest.approx(15.5, abs=2.0)
    assert (drawn[0] <= drawn[1]).all()


def test_a_factor_between_variants_stays_where_rounds_do_not_differ() -> None:
    values = np.tile(np.arange(1.0, 7.0), (5, 1))
    one = resample.quantiles(values, (0.5,), stream=0)
    two = resample.quantiles(2 * values, (0.5,), stream=0)
    assert np.allclose(two, 2 * one)


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=8))
def test_means_stay_within_the_rounds(rounds: list[float]) -> None:
    drawn = resample.means(np.array(rounds), resamples=50)
    assert (drawn >= min(rounds) - 1e-9).all()
    assert (drawn <= max(rounds) + 1e-9).all()
