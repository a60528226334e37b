"""Ratios of times and costs against scipy's t test."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_modellab.gate import (
    AlignmentError,
    EmptyError,
    GateInputError,
    LengthError,
    MeasurementError,
    RatioResult,
    SettingError,
    cost_ratio,
    latency_ratio,
)

ORDER = {"block": 0, "inconclusive": 1, "pass": 2}


def timed(ratio: float, rounds: int = 8, seed: int = 1) -> tuple[Any, Any]:
    """A slow machine in some rounds, and noise of a tenth in every measurement."""
    rng = np.random.default_rng(seed)
    busy = rng.lognormal(-2.0, 0.5, (rounds, 1))
    prompts = rng.lognormal(0.0, 0.5, (1, 20))
    reference = busy * prompts * rng.lognormal(0.0, 0.1, (rounds, 20))
    return ratio * busy * prompts * rng.lognormal(0.0, 0.1, (rounds, 20)), reference


def priced(ratio: float, n: int = 60, seed: int = 1) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    reference = rng.lognormal(3.0, 0.6, n)
    return ratio * reference * rng.lognormal(0.0, 0.3, n), reference


@pytest.mark.parametrize("limit", [1.0, 1.2, 1.3])
def test_latency_is_a_t_test_over_rounds(limit: float) -> None:
    candidate, reference = timed(1.2)
    found = latency_ratio(candidate, reference, limit=limit)
    rounds = np.log(candidate / reference).mean(axis=1)
    test = stats.ttest_1samp(rounds, np.log(limit), alternative="greater")
    assert found.p_block == pytest.approx(test.pvalue, rel=1e-9)
    assert found.p_pass == pytest.approx(1.0 - test.pvalue, rel=1e-9)
    low, high = test.confidence_interval(0.95).low, np.inf
    assert found.ratio_low == pytest.approx(np.exp(low), rel=1e-9)
    assert found.ratio == pytest.approx(np.exp(rounds.mean()))
    assert found.candidate / found.reference == pytest.approx(found.ratio)
    assert found.candidate_p95 == pytest.approx(np.percentile(candidate, 95))
    assert high > (found.ratio_high or 0.0) > found.ratio


@pytest.mark.parametrize(
    ("true", "verdict"), [(1.5, "block"), (1.2, "inconclusive"), (1.0, "pass")]
)
def test_verdicts(true: float, verdict: str) -> None:
    assert latency_ratio(*timed(true), limit=1.2).verdict == verdict
    assert cost_ratio(*priced(true), limit=1.2).verdict == verdict


@pytest.mark.parametrize("limit", [0.9, 1.1, 1.3])
def test_cost_is_a_t_test_over_samples(limit: float) -> None:
    candidate, reference = priced(1.1)
    found = cost_ratio(candidate, reference, limit=limit)
    test = stats.ttest_1samp(candidate - limit * reference, 0.0, alternative="greater")
    assert found.p_block == pytest.approx(test.pvalue, rel=1e-9)
    assert found.ratio == pytest.approx(candidate.mean() / reference.mean())


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.4, 0.7])
@pytest.mark.parametrize("call", [latency_ratio, cost_ratio])
def test_bounds_are_the_limits_at_which_the_p_values_equal_alpha(call: Any, alpha: float) -> None:
    data = timed(1.1) if call is latency_ratio else priced(1.1)
    found = call(*data, limit=1.1, alpha=alpha, pass_alpha=0.02)
    assert call(*data, limit=found.ratio_low).p_block == pytest.approx(alpha, rel=1e-6)
    assert call(*data, limit=found.ratio_high).p_pass == pytest.approx(0.02, rel=1e-6)


def test_a_cluster_is_one_observation() -> None:
    candidate, reference = priced(1.1, n=60)
    clusters = np.arange(60) % 20
    found = cost_ratio(candidate, reference, limit=1.0, clusters=clusters.tolist())
    sums = [
        np.array([values[clusters == k].sum() for k in range(20)])
        for values in (candidate, reference)
    ]
    alone = cost_ratio(*sums, limit=1.0)
    assert (found.n, found.unit) == (20, "clusters")
    assert found.p_block == pytest.approx(alone.p_block, rel=1e-9)
    assert found.ratio == pytest.approx(alone.ratio)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0.1, 9.0), st.floats(0.1, 9.0)), min_size=5, max_size=12),
    st.integers(0, 4),
    st.floats(1.0, 2.0),
)
def test_neither_order_nor_unit_matters(
    pairs: list[tuple[float, float]], position: int, factor: float
) -> None:
    candidate, reference = np.array(pairs).T
    turned = np.roll(np.arange(len(pairs)), position)
    for call, shape in ((cost_ratio, (-1,)), (latency_ratio, (-1, 1))):
        there = call(candidate.reshape(shape), reference.reshape(shape), limit=1.1)
        back = call(
            factor * candidate[turned].reshape(shape),
            factor * reference[turned].reshape(shape),
            limit=1.1,
        )
        assert back.p_block == pytest.approx(there.p_block, rel=1e-6, abs=1e-9)
        assert back.ratio == pytest.approx(there.ratio)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0.5, 2.0), st.floats(0.5, 2.0)), min_size=5, max_size=12),
    st.floats(1.0, 1.5),
    st.floats(1.0, 1.5),
)
def test_a_lower_limit_never_gives_a_better_verdict(
    pairs: list[tuple[float, float]], limit: float, looser: float
) -> None:
    candidate, reference = np.array(pairs).T
    for call, shape in ((cost_ratio, (-1,)), (latency_ratio, (-1, 1))):
        data = candidate.reshape(shape), reference.reshape(shape)
        strict, loose = call(*data, limit=limit), call(*data, limit=limit * looser)
        assert ORDER[strict.verdict] <= ORDER[loose.verdict]


def test_the_level_of_latency_is_kept() -> None:
    """2,000 runs at the limit; three standard errors above 0.05 are 0.065."""
    verdicts = [
        latency_ratio(*timed(1.1, rounds=5, seed=seed), limit=1.1).verdict for seed in range(2000)
    ]
    assert 0.035 <= verdicts.count("block") / 2000 <= 0.065
    assert 0.035 <= verdicts.count("pass") / 2000 <= 0.065


def test_too_few_rounds() -> None:
    found = latency_ratio(*timed(9.0, rounds=4), limit=1.2)
    assert (found.verdict, found.p_block, found.p_pass, found.needed) == ("inconclusive", 1, 1, 5)
    assert (found.ratio_low, found.ratio_high, found.mde) == (None, None, None)
    assert found.explain().endswith("; a verdict needs at least 5 rounds")
    one = latency_ratio([[1.0, 2.0]], [[1.0, 2.0]], limit=1.2)
    assert (one.verdict, one.ratio) == ("inconclusive", 1.0)
    assert cost_ratio([1] * 4, [1] * 4, limit=9).reason == "a verdict needs at least 5 samples"


def test_no_scatter() -> None:
    reason = "the rounds do not scatter, so that there is nothing to judge chance by"
    for ratio in (1.0, 5.0):
        found = latency_ratio([[ratio, ratio]] * 6, [[1.0, 1.0]] * 6, limit=1.2)
        assert (found.verdict, found.reason) == ("inconclusive", reason)
    assert cost_ratio([3] * 9, [3] * 9, limit=1).verdict == "inconclusive"
    assert cost_ratio(range(1, 9), range(1, 9), limit=1.2).verdict == "pass"


def test_a_reference_that_is_mostly_free() -> None:
    found = cost_ratio([1, 2, 3, 4, 5], [0, 0, 0, 0, 9], limit=1)
    assert found.verdict == "inconclusive"
    assert found.reason == "the reference scatters so much that its mean cannot be told from 0"


def every_result() -> list[RatioResult]:
    return [
        latency_ratio(*timed(1.5), limit=1.2),
        latency_ratio(*timed(1.0), limit=1.2),
        latency_ratio(*timed(1.2), limit=1.2),
        latency_ratio(*timed(1.2, rounds=2), limit=1.2),
        cost_ratio(*priced(1.2), limit=1.2, clusters=[i // 3 for i in range(60)]),
    ]


def test_built_in_types_only() -> None:
    for one in every_result():
        for value in dataclasses.asdict(one).values():
            assert type(value) in {float, int, str, type(None)}
        json.dumps(dataclasses.asdict(one), allow_nan=False)
        assert not hasattr(one, "__dict__")


def test_in_words() -> None:
    blocked, passed, open_, *_ = every_result()
    seen = "(8 rounds; 0.134 -> 0.2, 95th percentile 0.302 -> 0.428)"
    assert blocked.explain() == (
        f"blocked: latency is 1.48 times the reference's {seen}; a ratio this far above the "
        "allowed 1.2 happens by chance in fewer than 1 of 1000000 runs; the allowed risk here is "
        "1 in 20"
    )
    assert passed.explain().endswith("with 95% confidence it is at most 1.001, and 1.2 is allowed")
    assert open_.explain().endswith(
        "with this many rounds a ratio of 1.22 is noticed in 4 of 5 runs; about 17 rounds would "
        "settle it"
    )
    assert repr(blocked) == (
        "<block: latency 1.48 x the reference's, limit 1.2, n = 8 rounds, p = 2.4e-09 "
        "(allowed 0.05)>"
    )


def message(kind: type[GateInputError], call: Any, *args: Any, **changed: Any) -> str:
    with pytest.raises(kind) as caught:
        call(*args, **{"limit": 1.2, **changed})
    return str(caught.value)


def test_errors() -> None:
    assert message(SettingError, cost_ratio, [1], [1], limit=0) == (
        "limit is 0, but must lie above 0: it is the largest ratio to the reference that is "
        "allowed; 1.2 allows a fifth more"
    )
    assert message(SettingError, latency_ratio, [[1]], [[1]], alpha=1).startswith("alpha is 1,")
    assert message(SettingError, cost_ratio, [1], [1], pass_alpha=0).startswith("pass_alpha is 0,")
    assert message(LengthError, latency_ratio, [1, 2], [1, 2]) == (
        "candidate_seconds has shape (2,), but must have shape (rounds, prompts)"
    )
    assert message(LengthError, latency_ratio, [[1, 2]], [[1], [2]]) == (
        "candidate_seconds has shape (1, 2), reference_seconds (2, 1): both must hold the same "
        "measurements in the same order"
    )
    assert message(EmptyError, cost_ratio, [], []) == (
        "candidate_costs is empty: there is nothing to compare"
    )
    assert message(MeasurementError, latency_ratio, [[1, 0], [1, np.nan]], [[1, 1]] * 2) == (
        "candidate_seconds: 2 values missing, infinite or not above 0, first at round 0, "
        "prompt 1: measure again, or leave the prompt out on both sides"
    )
    assert message(MeasurementError, cost_ratio, [0, 1], [-1, None]) == (
        "reference_costs: 2 values missing, infinite or below 0, first at sample 0: measure "
        "again, or leave the sample out on both sides"
    )
    assert message(MeasurementError, cost_ratio, ["free"], [1]) == (
        "candidate_costs must be numbers of shape (samples), but could not be read as such: "
        "['free']"
    )
    assert message(MeasurementError, cost_ratio, [1, 2], [0, 0]) == (
        "reference_costs are all 0: there is no ratio to them; compare the costs with a limit"
    )
    assert message(LengthError, cost_ratio, [1, 2], [1, 2], clusters=["a"]).startswith("clusters")
    pandas = pytest.importorskip("pandas")
    one, other = pandas.Series([1, 2]), pandas.Series([1, 2], index=[1, 0])
    assert message(AlignmentError, cost_ratio, one, other).startswith(
        "candidate_costs and reference_costs are Series with different indexes"
    )
