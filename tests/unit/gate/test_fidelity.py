"""Divergence and agreement against their limits: closed forms, order, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fidelity import own
from pytest_modellab import gate
from pytest_modellab.gate.fidelity import AGREEMENT, BEYOND, KL
from pytest_modellab.gate.results import UNBOUNDED

TOKENS = [30.0, 50.0, 40.0, 60.0, 20.0, 40.0, 30.0, 50.0]
NATS = [0.3, 1.1, 0.2, 2.0, 0.1, 0.6, 0.5, 0.9]
SAME = [29.0, 45.0, 39.0, 50.0, 20.0, 38.0, 29.0, 48.0]


def judged(
    nats: Any = NATS, same: Any = SAME, tokens: Any = TOKENS, **asked: Any
) -> tuple[gate.Figures, ...]:
    return gate.fidelity(nats, same, tokens, **asked)


def one(**asked: Any) -> gate.Figures:
    (found,) = judged(**asked)
    return found


samples = st.lists(
    st.tuples(st.integers(1, 80), st.floats(0.0, 0.5), st.floats(0.0, 1.0)), min_size=2, max_size=30
)


def columns(found: list[tuple[int, float, float]]) -> tuple[list[float], list[float], list[int]]:
    tokens = [n for n, _, _ in found]
    nats = [n * y for n, y, _ in found]
    return nats, [float(round(n * share)) for n, _, share in found], tokens


@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize("y", [0.01, 0.02, 0.05])
def test_equal_samples_have_a_closed_form(n: int, y: float) -> None:
    """Of n equal terms and one guard the tail is a power: Gamma(n) against an exponential."""
    limit = 0.02
    found = one(nats=[y * 40] * n, same=[40] * n, tokens=[40] * n, kl=limit)
    assert found.candidate == pytest.approx(y)
    if y > limit:
        assert found.p_block == pytest.approx((limit / y) ** n, rel=1e-6)
    if y < limit:
        most = BEYOND * limit - limit
        assert found.p_pass == pytest.approx((most / (most + limit - y)) ** n, rel=1e-6)


@pytest.mark.parametrize("n", [10, 148, 149])
def test_full_agreement_passes_where_an_unchanged_score_does(n: int) -> None:
    found = one(nats=[0] * n, same=[9] * n, tokens=[9] * n, agreement=0.98)
    assert found.p_pass == pytest.approx(0.98**n, rel=1e-6)
    assert found.verdict == ("pass" if n >= 149 else "inconclusive")


def test_a_sample_more_that_no_token_differs_in_cannot_block() -> None:
    found = one(nats=[0] * 9, same=[4] * 9, tokens=[4] * 9, agreement=0.9, kl=None)
    assert found.p_block == 1.0


def test_the_mean_is_over_tokens_and_not_over_samples() -> None:
    divergence, agreement = judged(kl=0.05, agreement=0.9)
    assert divergence.candidate == pytest.approx(sum(NATS) / sum(TOKENS))
    assert agreement.candidate == pytest.approx(sum(SAME) / sum(TOKENS))
    assert (divergence.name, agreement.name) == (KL, AGREEMENT)
    assert divergence.distance
    assert not agreement.distance


@settings(max_examples=20)
@given(found=samples, limit=st.floats(0.001, 0.4))
def test_verdict_and_bounds_agree(found: list[tuple[int, float, float]], limit: float) -> None:
    nats, same, tokens = columns(found)
    for figures in judged(nats, same, tokens, kl=limit, agreement=1.0 - limit):
        low, high = figures.drop_low, figures.drop_high
        if figures.verdict == "block":
            assert figures.p_adjusted <= figures.alpha
            assert low >= figures.margin - 1e-9
        elif low > figures.margin + 1e-9:
            assert figures.p_adjusted <= figures.alpha + 1e-9
        if figures.verdict == "pass":
            assert high <= figures.margin + 1e-9
        elif figures.verdict == "inconclusive":
            assert high >= figures.margin - 1e-9
        assert low <= figures.drop + 1e-9 <= high + 2e-9


@settings(max_examples=20)
@given(found=samples, worse=st.integers(0, 29), by=st.floats(0.0, 3.0))
def test_a_worse_candidate_never_gets_a_better_verdict(
    found: list[tuple[int, float, float]], worse: int, by: float
) -> None:
    nats, same, tokens = columns(found)
    before = judged(nats, same, tokens, kl=0.1, agreement=0.9)
    nats[worse % len(nats)] += by
    same[worse % len(same)] = max(0.0, same[worse % len(same)] - round(by))
    after = judged(nats, same, tokens, kl=0.1, agreement=0.9)
    for first, second in zip(before, after, strict=True):
        assert second.p_block <= first.p_block + 1e-9
        assert second.p_pass >= first.p_pass - 1e-9


@settings(max_examples=20)
@given(found=samples, seed=st.integers(0, 99))
def test_order_and_units_do_not_matter(found: list[tuple[int, float, float]], seed: int) -> None:
    nats, same, tokens = columns(found)
    first = one(nats=nats, same=same, tokens=tokens, kl=0.1)
    order = np.random.default_rng(seed).permutation(len(nats))
    mixed = [np.array(column)[order] for column in (nats, same, tokens)]
    again = one(nats=mixed[0] * 7.0, same=mixed[1], tokens=mixed[2], kl=0.7)
    assert again.p_block == pytest.approx(first.p_block, rel=1e-6, abs=1e-12)
    assert again.p_pass == pytest.approx(first.p_pass, rel=1e-6, abs=1e-12)


def test_a_cluster_is_one_sample_of_all_its_tokens() -> None:
    labels = ["a", "a", "b", "b", "c", "c", None, "d"]
    found = judged(kl=0.02, agreement=0.95, clusters=labels)
    sums = [[x[0] + x[1], x[2] + x[3], x[4] + x[5], x[6], x[7]] for x in (NATS, SAME, TOKENS)]
    plain = judged(*sums, kl=0.02, agreement=0.95)
    assert [(f.p_block, f.p_pass) for f in found] == [(f.p_block, f.p_pass) for f in plain]
    assert [(f.n, f.clusters) for f in found] == [(8, 5), (8, 5)]


def test_one_cluster_shows_nothing() -> None:
    found = one(kl=1e-9, clusters=["a"] * 8)
    assert (found.verdict, found.p_block, found.p_pass) == ("inconclusive", 1.0, 1.0)
    assert found.drop_high == UNBOUNDED
    assert "one sample or cluster alone shows nothing" in found.explain()


def test_both_share_the_risk_of_a_false_block() -> None:
    alone = one(kl=0.0075, alpha=0.05)
    divergence, agreement = judged(kl=0.0075, agreement=0.5, alpha=0.05)
    assert divergence.p_block == alone.p_block
    assert divergence.p_adjusted == pytest.approx(2.0 * alone.p_block)
    assert divergence.level == pytest.approx(0.025)
    assert agreement.level == pytest.approx(0.05)
    assert divergence.p_pass == alone.p_pass


def test_the_instrument_measures_this_rule() -> None:
    blocks, passes = own(np.array([NATS]), np.array([TOKENS]), 0.02)
    found = one(kl=0.02)
    assert (found.p_block, found.p_pass) == pytest.approx((blocks[0], passes[0]), rel=1e-12)


def test_a_missing_sample_is_no_evidence_to_block_and_the_worst_for_passing() -> None:
    nats = [*NATS, float("nan")]
    same, tokens = [*SAME, 0.0], [*TOKENS, 40.0]
    found = judged(nats, same, tokens, kl=0.05, agreement=0.9, max_missing=0.2)
    plain = judged(kl=0.05, agreement=0.9)
    for with_it, without in zip(found, plain, strict=True):
        assert with_it.missing == (8,)
        assert with_it.n == 9
        assert with_it.p_block == without.p_block
        assert with_it.p_pass > without.p_pass
    assert found[0].explain().endswith("(1 candidate score is missing)")


def test_the_words() -> None:
    assert one(
        kl=0.001, nats=[y * 40 for y in (0.02, 0.03)] * 9, same=[40] * 18, tokens=[40] * 18
    ).explain() == (
        "blocked: KL is 0.025 nats a token (n = 18), and 0.001 is allowed; a mean this high "
        "happens by chance in fewer than 1 of 1000000 runs of a model at the limit; the allowed "
        "risk here is 1 in 20"
    )
    passed = one(kl=0.5)
    assert passed.explain() == (
        f"passed: KL is 0.0178 nats a token (n = 8); with 95% confidence it is at most "
        f"{passed.drop_high:.3g}, and 0.5 is allowed"
    )
    assert repr(passed) == (
        f"<pass: KL 0.0178, n = 8, at most {passed.drop_high:.3g} (allowed 0.5)>"
    )
    open_ = one(kl=0.02)
    assert open_.explain().startswith(
        "undecided: KL is 0.0178 nats a token (n = 8), 0.02 is allowed; with this many samples "
    )
    assert "above it is noticed in 4 of 5 runs; about " in open_.explain()


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({}, gate.SettingError, "nothing to judge by: set kl, agreement or both"),
        (
            {"kl": 0.0},
            gate.SettingError,
            "kl is 0, but must lie above 0: it is the largest mean divergence from the base that "
            "is allowed, in nats a token; rounding to bfloat16 alone gives about 1e-4",
        ),
        ({"kl": float("nan")}, gate.SettingError, "kl is nan, but must lie above 0"),
        ({"kl": float("inf")}, gate.SettingError, "kl is inf, but must lie above 0"),
        ({"kl": "much"}, gate.SettingError, "kl is 'much', but must be a number"),
        (
            {"agreement": 1.0},
            gate.SettingError,
            "agreement is 1, but must lie above 0 and below 1: it is the least share of tokens at "
            "which candidate and base have the same first choice; write 0.98",
        ),
        ({"agreement": 0.0}, gate.SettingError, "agreement is 0, but must lie above 0"),
        (
            {"kl": 1.0, "nats": [], "same": [], "tokens": []},
            gate.EmptyError,
            "there are no samples",
        ),
        ({"kl": 1.0, "nats": [-1.0, *NATS[1:]]}, gate.MeasurementError, "nats: 1 value missing, "),
        (
            {"kl": 1.0, "same": [31.0, *SAME[1:]]},
            gate.MeasurementError,
            "same: sample 0 has 31 of 30 tokens, but no sample has more of the same first choice",
        ),
        (
            {"kl": 1.0, "tokens": [0] * 8, "same": [0] * 8},
            gate.MeasurementError,
            "tokens are all 0: there is nothing to compare",
        ),
        ({"kl": 1.0, "tokens": TOKENS[1:]}, gate.LengthError, "tokens has shape (7,), nats (8,)"),
        (
            {"kl": 1.0, "nats": [float("nan"), *NATS[1:]]},
            gate.MissingScoresError,
            "1 of 8 candidate scores are missing (12.5%, allowed 2.0%)",
        ),
    ],
)
def test_what_cannot_be_judged(asked: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        judged(**asked)
    assert said in str(caught.value)
