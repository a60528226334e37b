"""What is usual among peers: by their sorted changes alone, whatever their order and unit."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.observatory.usual import (
    STANDS_OUT,
    by_kind,
    enough_rows,
    kinds_that_stand_out,
    layers_that_stand_out,
    rows_beyond,
    usual,
)

CHANGES = st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=30)


@given(CHANGES, st.randoms(use_true_random=False))
def test_the_order_of_peers_does_not_matter(changes: Any, random: Any) -> None:
    shuffled = changes.copy()
    random.shuffle(shuffled)
    assert usual(shuffled) == usual(changes)


@given(CHANGES, st.floats(1.0, 100.0), st.floats(1e-3, 1.0))
def test_a_factor_on_all_changes_moves_nobody(changes: Any, factor: Any, one: Any) -> None:
    found = usual([factor * change for change in changes]).z(factor * one)
    assert found == pytest.approx(usual(changes).z(one), abs=1e-6)


@given(st.integers(2, 20), st.integers(1, 20), st.floats(0.01, 1.0))
def test_damage_stands_out_of_unchanged_peers_even_as_a_majority(
    unchanged: Any, damaged: Any, size: Any
) -> None:
    unchanged = max(unchanged, math.ceil((unchanged + damaged) / 10))
    found = usual([0.0] * unchanged + [size] * damaged)
    assert found.relative == 0.0
    assert found.stands_out(size)
    assert not found.stands_out(0.0)


@given(st.floats(0.005, 0.1), st.lists(st.floats(0.8, 1.25), min_size=8, max_size=40))
def test_only_what_is_well_beyond_a_rounding_stands_out_of_it(size: Any, noise: Any) -> None:
    found = usual([size * one for one in noise])
    assert not any(found.stands_out(size * one) for one in noise)
    assert found.stands_out(5 * size)


def test_what_is_not_finite_stands_out_and_peers_are_not_moved_by_it() -> None:
    found = usual([0.01] * 6 + [math.inf, math.nan])
    assert found.relative == pytest.approx(0.01)
    assert found.z(math.inf) == math.inf
    assert found.z(math.nan) > STANDS_OUT


def test_one_alone_and_none_have_nothing_beyond() -> None:
    assert usual([0.5]).z(0.5) == 0.0
    assert usual([]).stands_out(0.1)


def test_a_kind_of_few_is_judged_by_all_kinds() -> None:
    found = by_kind({"q_proj": [0.01] * 5, "gate": [0.5, 0.01]})
    assert found["gate"].relative == pytest.approx(0.01)
    assert found["gate"].stands_out(0.5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"q": [1.4] * 4, "k": [1.4] * 4, "v": [0.0] * 4, "o": [0.0] * 4}, ("q", "k")),
        ({"q": [0.5] * 4, "k": [0.09] * 4, "v": [0.1] * 4, "o": [0.09] * 4}, ("q",)),
        ({"q": [0.1] * 4, "k": [0.09] * 4, "v": [0.11] * 4}, ()),
        ({"q": [0.5] * 4}, ()),
    ],
)
def test_kinds_far_beyond_the_usual_kind(changes: Any, expected: Any) -> None:
    assert kinds_that_stand_out(changes) == expected


def test_rows_stand_out_from_their_median_and_from_the_leaves() -> None:
    assert rows_beyond(0.01, 0.0) == pytest.approx(0.04)
    assert rows_beyond(0.0, 0.1) == pytest.approx(0.4)
    assert enough_rows(3)
    assert not enough_rows(2)


def test_a_layer_is_beyond_the_others_where_each_of_its_projections_is_a_little() -> None:
    calm = {layer: [0.8 + 0.05 * layer, 1.0, 1.1, 0.9] for layer in range(5)}
    assert layers_that_stand_out(calm) == frozenset()
    assert layers_that_stand_out({**calm, 5: [2.4, 2.2, 2.6, 1.0]}) == {5}
    assert layers_that_stand_out({**calm, 5: [90.0, 1.0, 1.1, 0.9]}) == frozenset()
