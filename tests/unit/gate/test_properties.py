"""What must hold whatever the scores are."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.gate import compare, decide, drop, floor_family

ORDER = {"block": 0, "inconclusive": 1, "pass": 2}
SCALES = [[0.0, 1.0], [0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.05, 0.1, 0.9, 0.95, 1.0]]
MARGINS = [0.0, 0.02, 0.1, 0.3]

pytestmark = pytest.mark.filterwarnings("error")


@st.composite
def runs(draw: st.DrawFn, most: int = 60) -> tuple[list[float], list[float]]:
    """Baseline and candidate, leaning to one side so that all verdicts occur."""
    scale = draw(st.sampled_from(SCALES))
    size = draw(st.integers(2, most))
    score = st.sampled_from(scale)
    before = draw(st.lists(score, min_size=size, max_size=size))
    after = list(before)
    for i in draw(st.lists(st.integers(0, size - 1), max_size=size)):
        after[i] = draw(st.sampled_from(scale[: draw(st.integers(1, len(scale)))]))
    return before, after


@settings(max_examples=60)
@given(runs(), st.data())
def test_order_and_labels_do_not_matter(
    run: tuple[list[float], list[float]], data: st.DataObject
) -> None:
    before, after = run
    size = len(before)
    buckets = data.draw(st.lists(st.sampled_from("abc"), min_size=size, max_size=size))
    clusters = data.draw(st.lists(st.integers(0, size // 2), min_size=size, max_size=size))
    margin = data.draw(st.sampled_from(MARGINS))
    shuffled = list(range(size))
    data.draw(st.randoms(use_true_random=False)).shuffle(shuffled)
    renamed = {"a": "z", "b": "m", "c": "d"}
    there = compare(before, after, buckets, clusters, margin)
    back = compare(
        [before[i] for i in shuffled],
        [after[i] for i in shuffled],
        [renamed[buckets[i]] for i in shuffled],
        [f"cluster {size - clusters[i]}" for i in shuffled],
        margin,
    )
    assert there.verdict == back.verdict
    assert there.pooled == back.pooled
    by_name = {one.name: one for one in back.buckets}
    for one in there.buckets:
        other = by_name[renamed[one.name]]
        assert (one.p_block, one.p_adjusted, one.p_pass) == (
            other.p_block,
            other.p_adjusted,
            other.p_pass,
        )
        assert (one.drop, one.drop_low, one.drop_high) == (
            other.drop,
            other.drop_low,
            other.drop_high,
        )
    assert compare(before, after, buckets, clusters, margin) == there


@settings(max_examples=150)
@given(runs(), st.data())
def test_the_verdict_alone_is_that_of_all_figures(
    run: tuple[list[float], list[float]], data: st.DataObject
) -> None:
    before, after = run
    size = len(before)
    labels = st.lists(st.integers(0, 4), min_size=size, max_size=size)
    buckets = data.draw(st.none() | labels)
    clusters = data.draw(st.none() | labels)
    margin = data.draw(st.sampled_from(MARGINS))
    alpha = data.draw(st.sampled_from([0.01, 0.05, 0.4]))
    found = compare(before, after, buckets, clusters, margin, alpha)
    assert decide(before, after, buckets, clusters, margin, alpha) == found.verdict


@pytest.mark.parametrize("margin", [0.0, 0.01])
@pytest.mark.parametrize("seed", range(8))
def test_it_turns_at_the_same_alpha(seed: int, margin: float) -> None:
    rng = np.random.default_rng(seed)
    before, buckets = np.ones(120), np.arange(120) % 3
    after = 1.0 - rng.choice([0.0, 0.1, 0.4, 1.0], 120, p=[0.5, 0.4, 0.08, 0.02]) * rng.random(120)
    after[buckets > 0] = 1.0 - rng.choice([0.0, 0.3], np.count_nonzero(buckets), p=[0.97, 0.03])
    found = compare(before, after, buckets, margin=margin)
    turn = 2.0 * min(one.p_adjusted for one in (found.pooled, *found.buckets))
    assert decide(before, after, buckets, margin=margin, alpha=turn * (1.0 + 1e-9)) == "block"
    assert decide(before, after, buckets, margin=margin, alpha=turn * (1.0 - 1e-9)) != "block"


@settings(max_examples=60)
@given(runs(), st.randoms(use_true_random=False))
def test_nor_do_they_against_a_floor(
    run: tuple[list[float], list[float]], shuffler: random.Random
) -> None:
    _, scores = run
    order = list(range(len(scores)))
    shuffler.shuffle(order)
    there = floor_family(scores, [i % 3 for i in range(len(scores))], floor=0.4)
    back = floor_family([scores[i] for i in order], [-(i % 3) for i in order], floor=0.4)
    by_name = {one.name: one for one in back}
    for one in there:
        other = by_name[str(-int(one.name))]
        assert dataclasses.replace(other, name=one.name) == one


@settings(max_examples=300)
@given(runs(), st.data())
def test_a_lower_score_never_improves_the_verdict(
    run: tuple[list[float], list[float]], data: st.DataObject
) -> None:
    before, after = run
    i = data.draw(st.integers(0, len(after) - 1))
    margin = data.draw(st.sampled_from(MARGINS))
    alpha = data.draw(st.sampled_from([0.01, 0.05, 0.2]))
    clusters = data.draw(st.sampled_from([None, [k // 2 for k in range(len(after))]]))
    worse = list(after)
    worse[i] = data.draw(st.floats(0.0, after[i]))
    first = drop(before, after, margin=margin, alpha=alpha, clusters=clusters)
    second = drop(before, worse, margin=margin, alpha=alpha, clusters=clusters)
    assert ORDER[second.verdict] <= ORDER[first.verdict]
    assert second.p_pass >= first.p_pass * (1.0 - 1e-7)
    if first.p_block < 0.5:
        assert second.p_block <= first.p_block * (1.0 + 1e-4)


@given(runs(), st.data())
def test_nor_with_buckets_and_a_margin(
    run: tuple[list[float], list[float]], data: st.DataObject
) -> None:
    before, after = run
    size = len(before)
    buckets = data.draw(st.lists(st.sampled_from("abc"), min_size=size, max_size=size))
    i = data.draw(st.integers(0, size - 1))
    worse = list(after)
    worse[i] = data.draw(st.sampled_from([0.0, after[i] / 2]))
    for margin in (0.02, 0.3):
        first = decide(before, after, buckets, margin=margin, alpha=0.2)
        second = decide(before, worse, buckets, margin=margin, alpha=0.2)
        assert ORDER[second] <= ORDER[first]


@given(runs(), st.data())
def test_nor_against_a_floor(run: tuple[list[float], list[float]], data: st.DataObject) -> None:
    _, scores = run
    buckets = [i % 2 for i in range(len(scores))]
    i = data.draw(st.integers(0, len(scores) - 1))
    floor = data.draw(st.sampled_from([0.1, 0.5, 0.9]))
    worse = list(scores)
    worse[i] = data.draw(st.sampled_from([0.0, scores[i] / 2]))
    graded = [*scores[:-1], 0.5]  # a binary bucket that turns graded takes another rule
    graded_worse = [*worse[:-1], 0.5]
    for one, other in zip(
        floor_family(graded, None, floor=floor),
        floor_family(graded_worse, None, floor=floor),
        strict=True,
    ):
        assert ORDER[other.verdict] <= ORDER[one.verdict]
    assert len(floor_family(scores, buckets, floor=floor)) == min(2, len(scores))


@settings(max_examples=60)
@given(runs())
def test_swapping_roles_mirrors_the_drop(run: tuple[list[float], list[float]]) -> None:
    before, after = run
    there, back = drop(before, after), drop(after, before)
    assert there.drop == pytest.approx(-back.drop, abs=1e-15)
    assert (there.losses, there.gains) == (back.gains, back.losses)
    if {*before, *after} <= {0.0, 1.0}:
        assert there.p_block + back.p_block == pytest.approx(1.0, abs=1e-12)
    assert not there.verdict == back.verdict == "block"


@settings(max_examples=60)
@given(runs())
def test_p_values_are_probabilities_and_bounds_bracket_the_drop(
    run: tuple[list[float], list[float]],
) -> None:
    before, after = run
    for clusters in (None, [i // 3 for i in range(len(before))]):
        for margin in MARGINS:
            found = drop(before, after, margin=margin, clusters=clusters)
            for p in (found.p_block, found.p_adjusted, found.p_pass):
                assert 0.0 <= p <= 1.0
            assert -1.0 <= found.drop_low <= found.drop_high <= 1.0
            assert found.drop_high >= found.drop - 1e-9


def test_shuffles_of_a_borderline_run() -> None:
    """Sums in another order end in other bits; the figures must not."""
    rng = np.random.default_rng(11)
    before = rng.random(1000)
    after = np.clip(before - rng.normal(0.01, 0.1, 1000), 0.0, 1.0)
    first = drop(before, after)
    for seed in range(20):
        order = list(range(1000))
        random.Random(seed).shuffle(order)
        assert drop(before[order], after[order]) == first
