"""Sequential comparisons: levels, stages, stopping, and what may not depend on anything."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from pytest_modellab.gate import (
    EmptyError,
    GateInputError,
    LabelError,
    LengthError,
    MissingScoresError,
    SettingError,
    Verdict,
    cut_stages,
    drop,
    floor_family,
    nominal_levels,
    sequential_drop,
    sequential_family,
    sequential_floor,
)
from pytest_modellab.gate._spending import spent

RANK = {"block": 0, "inconclusive": 1, "pass": 2}
QUARTERS = (0.25, 0.5, 0.75, 1.0)


# --- levels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "fractions", "bounds"),
    [
        # README of PharmCat/SeqBounds.jl, on a grid of its own: four digits
        (0.05, QUARTERS, (3.74955, 2.53993, 2.01604, 1.72014)),
        # gsDesign(k = 5, test.type = 1, alpha = 0.025, sfu = sfLDOF); Reboussin et al. (2000)
        (0.025, (0.2, 0.4, 0.6, 0.8, 1.0), (4.8769, 3.3570, 2.6803, 2.2898, 2.0310)),
    ],
)
def test_published_boundaries(
    alpha: float, fractions: tuple[float, ...], bounds: tuple[float, ...]
) -> None:
    found = norm.isf(nominal_levels(alpha, fractions))
    assert found == pytest.approx(bounds, abs=6e-5)


def test_one_look_has_all_of_alpha_and_the_first_what_is_spent() -> None:
    assert nominal_levels(0.05, (1.0,)) == pytest.approx((0.05,), rel=1e-9)
    first = nominal_levels(0.05, (0.3, 1.0))[0]
    assert first == pytest.approx(2.0 * norm.sf(norm.isf(0.025) / math.sqrt(0.3)), rel=1e-9)
    assert nominal_levels(0.001, (0.001, 1.0))[0] == 0.0, "below what a float can hold"


def test_brownian_paths_cross_as_often_as_was_spent() -> None:
    fractions = (0.15, 0.2, 0.5, 0.55, 0.9, 1.0)
    bounds = norm.isf(nominal_levels(0.05, fractions))
    rng = np.random.default_rng(7)
    steps = np.sqrt(np.diff((0.0, *fractions)))
    paths = np.cumsum(rng.standard_normal((400_000, 6)) * steps, axis=1)
    crossed = np.maximum.accumulate(paths / np.sqrt(fractions) >= bounds, axis=1).mean(axis=0)
    expected = spent(0.05, fractions)
    assert np.abs(crossed - expected).max() < 4.0 * np.sqrt(0.05 * 0.95 / len(paths))
    assert crossed[2] == pytest.approx(expected[2], rel=0.1)


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 1.0), (0.5, 0.4), (0.0, 1.0), (0.5, 1.1), ()])
def test_fractions_must_rise(fractions: tuple[float, ...]) -> None:
    with pytest.raises(SettingError, match=r"fractions must rise from above 0 to 1, but are \("):
        nominal_levels(0.05, fractions)


# --- stages --------------------------------------------------------------------------------------

STAGES = [3, 2, 0, 2, 0, 3, 3, 2, 1, 1, 0, 1]
STRATA = st.lists(st.sampled_from("abc"), min_size=1, max_size=80)


@given(STRATA, st.integers(1, 12), st.integers(0, 3))
def test_stages_are_a_partition_even_in_each_stratum(
    strata: list[str], looks: int, seed: int
) -> None:
    stages = cut_stages(range(len(strata)), strata=strata, looks=looks, seed=seed)
    number = int(stages.max()) + 1
    assert number <= looks
    assert (np.bincount(stages) > 0).all()
    if number == looks:  # else stages without samples have been closed up
        for label in set(strata):
            own = stages[np.array(strata) == label]
            counts = np.bincount(own, minlength=looks)
            assert counts.max() - counts.min() <= 1


@settings(max_examples=40)
@given(st.permutations(range(40)), st.sampled_from([("a", "b"), ("z", "m")]))
def test_stages_depend_on_keys_alone(order: list[int], names: tuple[str, str]) -> None:
    strata = [names[i % 2] for i in order]
    clusters = [i // 3 if i < 12 else None for i in order]
    found = cut_stages(order, strata=strata, clusters=clusters, looks=5)
    expected = cut_stages(
        range(40),
        strata=["a", "b"] * 20,
        clusters=[i // 3 if i < 12 else None for i in range(40)],
        looks=5,
    )
    if names == ("a", "b"):
        assert found.tolist() == expected[order].tolist()
    for cluster in range(4):
        own = [stage for stage, one in zip(found, clusters, strict=True) if one == cluster]
        assert len(set(own)) == 1


def test_stages_are_the_same_on_every_machine() -> None:
    keys = [f"sample-{i}" for i in range(12)]
    assert cut_stages(keys, looks=4).tolist() == STAGES
    assert cut_stages(keys, looks=4, seed=1).tolist() != STAGES


def test_stages_say_what_is_wrong() -> None:
    with pytest.raises(SettingError, match="looks is 0, but must be at least 1"):
        cut_stages("ab", looks=0)
    with pytest.raises(LabelError, match="keys: two samples have the same"):
        cut_stages("aba")
    with pytest.raises(LengthError, match="strata has 1 entries, but there are 2 keys"):
        cut_stages("ab", strata="x")


# --- one comparison ------------------------------------------------------------------------------


def plain(
    before: list[float], after: list[float], stages: list[int], margin: float, alpha: float
) -> tuple[Verdict, int]:
    """The rule without curtailment, from its parts: the verdict and the look that gave it."""
    stage = np.array(stages)
    looks = int(stage.max()) + 1
    fractions = tuple(float(np.mean(stage < k)) for k in range(1, looks + 1))
    for k, level in enumerate(nominal_levels(alpha, fractions), start=1):
        own = stage < k
        found = drop(np.array(before)[own], np.array(after)[own], margin=margin, alpha=0.5)
        if found.p_block <= level:
            return "block", k
        if margin > 0.0 and found.p_pass <= level:
            return "pass", k
    return "inconclusive", looks


@st.composite
def small(draw: st.DrawFn) -> tuple[list[float], list[float], float]:
    n = draw(st.integers(4, 12))
    score = st.sampled_from([0.0, 1.0]) if draw(st.booleans()) else st.sampled_from([0, 0.5, 1.0])
    before = draw(st.lists(score, min_size=n, max_size=n))
    after = draw(st.lists(score, min_size=n, max_size=n))
    return before, after, draw(st.sampled_from([0.0, 0.2, 0.5]))


@settings(max_examples=30)
@given(small(), st.integers(2, 4))
def test_stopping_is_the_rule_and_what_is_certain_is(
    data: tuple[list[float], list[float], float], looks: int
) -> None:
    before, after, margin = data
    stages = [i * looks // len(before) for i in range(len(before))]
    result = sequential_drop(before, after, margin=margin, alpha=0.2, stages=stages)
    verdict, look = plain(before, after, stages, margin, 0.2)
    assert result.verdict == verdict
    assert result.look <= look
    if not result.certain:
        assert result.look == look
        return
    left = [i for i, stage in enumerate(stages) if stage >= result.look]
    for scores in itertools.islice(itertools.product([0.0, 1.0], repeat=len(left)), 64):
        other = list(after)
        for i, score in zip(left, scores, strict=True):
            other[i] = score
        assert plain(before, other, stages, margin, 0.2)[0] == verdict


@settings(max_examples=40)
@given(small(), st.data())
def test_a_worse_candidate_never_gets_a_better_verdict(
    data: tuple[list[float], list[float], float], more: st.DataObject
) -> None:
    before, after, margin = data
    worse = [min(score, more.draw(st.sampled_from([0.0, 0.5, 1.0]))) for score in after]
    kept = sequential_drop(before, after, margin=margin, alpha=0.2, looks=4)
    lost = sequential_drop(before, worse, margin=margin, alpha=0.2, looks=4)
    assert RANK[lost.verdict] <= RANK[kept.verdict]


@settings(max_examples=40)
@given(small())
def test_one_look_is_the_fixed_size(data: tuple[list[float], list[float], float]) -> None:
    before, after, margin = data
    result = sequential_drop(before, after, margin=margin, looks=1, pass_alpha=0.1)
    expected = drop(before, after, margin=margin, pass_alpha=0.1)
    assert result.figures[0].verdict == result.verdict == expected.verdict
    assert result.figures[0].drop_low == pytest.approx(expected.drop_low, abs=1e-6)
    assert result.figures[0].p_pass == pytest.approx(expected.p_pass, abs=1e-9)
    assert (result.used, result.saved, result.certain) == (len(before), 0, False)
    assert result.explain() == f"all {len(before)} samples were needed"


def test_an_early_pass_and_its_figures() -> None:
    result = sequential_drop([1.0] * 500, [1.0] * 500, margin=0.05)
    (found,) = result.figures
    assert (result.verdict, result.look, result.used, result.saved) == ("pass", 4, 200, 300)
    assert result.explain() == "stopped at look 4 of 10, after 200 of 500 samples (300 saved, 60%)"
    level = nominal_levels(0.05, tuple((np.arange(1, 11) / 10).tolist()))[3]
    assert found.n == 200
    assert found.p_pass == pytest.approx(0.95**200 * 0.05 / level)
    assert found.p_pass <= found.pass_alpha == 0.05
    assert found.drop_high == pytest.approx(1.0 - level ** (1 / 200), abs=1e-6)
    assert found.level == pytest.approx(level)
    assert found.explain() == (
        "passed: the mean score stayed at 1.00 (n = 200); with 95% confidence the drop is "
        "at most 0.031, and 0.05 is allowed"
    )


def test_an_early_block_and_its_figures() -> None:
    rng = np.random.default_rng(3)
    before = np.ones(500)
    after = (rng.random(500) > 0.3) * 1.0
    result = sequential_drop(before, after)
    (found,) = result.figures
    assert (result.verdict, result.certain) == ("block", result.look == 1)
    assert found.p_block <= found.level < 0.05
    assert found.p_adjusted == pytest.approx(found.p_block * 0.05 / found.level)
    assert found.drop_low > 0.0
    assert found.alpha == 0.05


def test_losses_that_nothing_can_make_good_block_at_once() -> None:
    after = [0.0] * 12 + [1.0] * 48
    stages = [i // 12 for i in range(60)]
    result = sequential_drop([1.0] * 60, after, alpha=1e-3, stages=stages)
    assert (result.verdict, result.look, result.certain) == ("block", 1, True)
    assert result.figures[0].p_block == pytest.approx(0.5**13)
    assert result.figures[0].p_block <= result.figures[0].level
    assert result.explain().endswith("(48 saved, 80%): the others could not change the verdict")
    may_recover = sequential_drop([0.0, 1.0] * 30, [0.0] * 60, alpha=1e-3, stages=stages)
    assert may_recover.look > 1


def test_a_margin_of_zero_saves_next_to_nothing_when_nothing_changed() -> None:
    result = sequential_drop([1.0] * 100, [1.0] * 100)
    assert (result.verdict, result.used) == ("inconclusive", 100)


def test_no_more_is_asked_for_than_is_needed() -> None:
    asked = []
    stages = cut_stages(range(500))

    def answers(look: int) -> list[float]:
        asked.append(look)
        return [1.0 if stage < look else math.nan for stage in stages]

    result = sequential_drop([1.0] * 500, answers, margin=0.05, stages=stages)
    assert asked == [1, 2, 3, 4]
    assert result == sequential_drop([1.0] * 500, [1.0] * 500, margin=0.05, stages=stages)


def test_a_stage_without_samples_is_passed_over() -> None:
    asked = []

    def answers(look: int) -> list[float]:
        asked.append(look)
        return [1.0] * 40

    stages = [1 + 2 * (i // 20) for i in range(40)]
    result = sequential_drop([1.0] * 40, answers, margin=0.02, stages=stages)
    assert (asked, result.look, result.looks, result.used) == ([2, 4], 4, 4, 40)
    before = [math.nan] * 10 + [1.0] * 20 + [math.nan] * 10
    result = sequential_drop(before, [1.0] * 40, stages=[i // 10 for i in range(40)])
    assert (result.verdict, result.look, result.looks, result.used) == ("inconclusive", 3, 3, 30)


@settings(max_examples=25)
@given(st.permutations(range(30)))
def test_the_order_of_the_samples_is_nothing(order: list[int]) -> None:
    before = [1.0] * 20 + [0.0] * 10
    after = [1.0] * 9 + [0.0] * 11 + [0.0] * 10
    stages = [i % 5 for i in range(30)]
    found = sequential_drop(
        [before[i] for i in order], [after[i] for i in order], stages=[stages[i] for i in order]
    )
    assert found == sequential_drop(before, after, stages=stages)


# --- missing scores, clusters --------------------------------------------------------------------


def test_missing_scores() -> None:
    before = [math.nan, *[1.0] * 199]
    after = [1.0] * 30 + [math.nan] + [1.0] * 169
    stages = [i // 20 for i in range(200)]
    result = sequential_drop(before, after, margin=0.05, stages=stages)
    assert result.figures[0].dropped == (0,)
    assert result.figures[0].missing == (30,)
    whole = sequential_drop(before, [1.0] * 200, margin=0.05, stages=stages)
    assert result.used > whole.used, "a missing score counts as 0 for a pass"
    with pytest.raises(
        MissingScoresError,
        match=r"5 of 20 candidate scores are missing, and at most 2\.0% of all 200 samples may be",
    ):
        sequential_drop([1.0] * 200, [math.nan] * 5 + [1.0] * 195, stages=stages)


def test_clusters_stay_whole_and_count() -> None:
    clusters = [i // 5 for i in range(200)]
    before, after = [1.0] * 200, [0.0 if i // 5 % 4 == 0 else 1.0 for i in range(200)]
    result = sequential_drop(before, after, clusters=clusters)
    alone = sequential_drop(before, after)
    assert result.used > alone.used, "forty clusters show less than 200 samples"
    assert result.figures[0].clusters * 5 == result.figures[0].n
    with pytest.raises(LabelError, match="the cluster of the sample at index 1 lies in several"):
        sequential_drop(before, after, clusters=clusters, stages=[i % 2 for i in range(200)])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sequential_drop([], []), EmptyError, "there are no samples to compare"),
        (lambda: sequential_drop([math.nan], [1.0]), EmptyError, "all 1 baseline scores are"),
        (lambda: sequential_drop([1.0], [1.0, 0.0]), LengthError, "candidate_scores has 2 entries"),
        (lambda: sequential_drop([1.0], [1.0], stages=[0.5]), SettingError, "use cut_stages"),
        (lambda: sequential_drop([1.0], [1.0], stages=[0, 0]), LengthError, "stages has shape"),
        (
            lambda: sequential_family([1.0, math.nan], [1.0, 1.0], ["a", "b"]),
            EmptyError,
            "bucket 'b' has no samples to compare",
        ),
        (
            lambda: sequential_family([1.0], [1.0], ["a"], only="b"),
            LabelError,
            "only is 'b', which no sample is labelled with: the buckets are a",
        ),
    ],
)
def test_what_cannot_be_compared(call: object, error: type[GateInputError], message: str) -> None:
    assert callable(call)
    with pytest.raises(error, match=message):
        call()


# --- families ------------------------------------------------------------------------------------


def test_a_family_at_one_look_is_holm() -> None:
    before = np.ones(90)
    after = np.ones(90)
    names = np.repeat(["a", "b", "c"], 30)
    after[:7], after[30:36] = 0.0, 0.0  # p = 1/256 and 1/128
    result = sequential_family(before, after, names, alpha=0.02, looks=1)
    verdicts = {one.name: one.verdict for one in result.figures}
    assert verdicts == {"a": "block", "b": "block", "c": "inconclusive"}
    levels = [one.level for one in result.figures]
    assert levels == pytest.approx([0.02 / 3, 0.01, 0.02])


def test_a_bucket_alone_is_followed_to_its_own_end() -> None:
    rng = np.random.default_rng(5)
    names = np.repeat(["bad", "good"], 100)
    before = np.ones(200)
    after = np.where(names == "bad", rng.random(200) > 0.4, 1.0) * 1.0
    together = sequential_family(before, after, names, margin=0.1)
    assert together.verdict == "block"
    good = sequential_family(before, after, names, margin=0.1, only="good")
    assert (good.verdict, [one.name for one in good.figures]) == ("pass", ["good"])
    bad = sequential_family(before, after, names, margin=0.1, only="bad")
    assert bad.figures[0] == together.figures[0]
    assert together.used == bad.used, "the family stops at the first block"


def test_the_names_of_buckets_are_nothing() -> None:
    rng = np.random.default_rng(8)
    before = np.ones(160)
    after = (rng.random(160) > np.repeat([0.5, 0.4, 0.0, 0.0], 40)) * 1.0
    stages = cut_stages(range(160))
    one = sequential_family(before, after, np.repeat(list("abcd"), 40), stages=stages)
    two = sequential_family(before, after, np.repeat(list("zyxw"), 40), stages=stages)
    assert (one.verdict, one.look) == (two.verdict, two.look)
    levels = {f"{figure.level:.12g} {figure.p_block:.12g}" for figure in one.figures}
    assert levels == {f"{figure.level:.12g} {figure.p_block:.12g}" for figure in two.figures}


def test_a_bucket_without_a_sample_yet_is_left_out() -> None:
    names = ["early"] * 40 + ["late"] * 10
    stages = [i // 10 for i in range(50)]
    result = sequential_family([1.0] * 50, [0.0] * 50, names, alpha=0.2, stages=stages)
    assert (result.verdict, result.look) == ("block", 1)
    assert [one.name for one in result.figures] == ["early"]


# --- floors --------------------------------------------------------------------------------------


def test_a_bucket_waits_for_what_others_may_leave_it() -> None:
    """Four losses (p = 2^-5) block at 0.05, not at 0.025: only once the other bucket is blocked."""
    names, stages = ["a"] * 4 + ["b"] * 20, [0] * 5 + [1] * 19
    before = [1.0] * 24
    lost = sequential_family(before, [0.0] * 24, names, only="a", stages=stages)
    kept = sequential_family(before, [0.0] * 4 + [1.0] * 20, names, only="a", stages=stages)
    assert (lost.verdict, lost.look) == ("block", 2)
    assert (kept.verdict, kept.look) == ("inconclusive", 2)


@pytest.mark.parametrize("right", [0.1, 0.5, 0.9])
def test_a_floor_at_one_look_is_the_fixed_size(right: float) -> None:
    scores = (np.arange(80) % 10 < 10 * right) * 1.0
    names = np.repeat(["a", "b"], 40)
    result = sequential_floor(scores, names, floor=0.5, looks=1)
    expected = floor_family(scores, names, floor=0.5)
    for found, one in zip(result.figures, expected, strict=True):
        assert (found.verdict, found.name) == (one.verdict, one.name)
        assert found.p_block == pytest.approx(one.p_block)
        assert found.p_pass == pytest.approx(one.p_pass)


def test_a_floor_stops_early() -> None:
    rng = np.random.default_rng(2)
    names = np.repeat(["a", "b"], 100)
    high = sequential_floor((rng.random(200) < 0.9) * 1.0, names, floor=0.5)
    low = sequential_floor((rng.random(200) < 0.1) * 1.0, names, floor=0.5)
    graded = sequential_floor(0.5 + 0.5 * rng.random(200), names, floor=0.3)
    assert (high.verdict, low.verdict, graded.verdict) == ("pass", "block", "pass")
    assert max(high.look, low.look, graded.look) < 10
    with pytest.raises(MissingScoresError):
        sequential_floor([math.nan] * 200, names, floor=0.5)
