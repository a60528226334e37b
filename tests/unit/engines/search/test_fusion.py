"""Reciprocal rank fusion against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines.search.fusion import reciprocal_rank
from pytest_modellab.engines.search.hits import Hits


def hits(*rows: int) -> Hits:
    return Hits(rows, tuple(-float(rank) for rank in range(len(rows))))


rankings = st.lists(st.integers(0, 200), unique=True, max_size=150).map(lambda rows: hits(*rows))


@given(rankings, rankings, st.sampled_from([0, 1, 60]), st.integers(1, 200))
def test_the_order_is_that_of_exact_sums(one: Hits, other: Hits, k: int, depth: int) -> None:
    sums: dict[int, Fraction] = {}
    best: dict[int, int] = {}
    for ranking in (one, other):
        for rank, row in enumerate(ranking.rows, start=1):
            sums[row] = sums.get(row, Fraction(0)) + Fraction(1, k + rank)
            best[row] = min(best.get(row, rank), rank)
    order = sorted(sums, key=lambda row: (-sums[row], best[row], row))[:depth]

    fused = reciprocal_rank([one, other], depth=depth, k=k)
    assert fused.rows == tuple(order)
    assert fused.scores == pytest.approx([float(sums[row]) for row in order], abs=1e-13)


@given(st.lists(rankings, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_the_rankings_does_not_matter(found: list[Hits], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert reciprocal_rank(shuffled, depth=50) == reciprocal_rank(found, depth=50)


def test_one_ranking_keeps_its_order() -> None:
    fused = reciprocal_rank([hits(7, 3, 9)], depth=2)
    assert fused == Hits((7, 3), (round(1 / 61, 14), round(1 / 62, 14)))


def test_equal_sums_are_ordered_by_the_best_rank_and_then_by_row() -> None:
    # with k = 0 row 5 has 1, row 4 has 1/2 + 1/2; rows 8 and 2 have 1/3 each
    assert reciprocal_rank([hits(5, 4, 8)], depth=9, k=0).rows == (5, 4, 8)
    assert reciprocal_rank([hits(5, 4, 8), hits(6, 4, 2)], depth=9, k=0).rows == (5, 6, 4, 2, 8)


def test_sums_that_floats_tell_apart_tie() -> None:
    # 1/63 + 1/126 = 1/84 + 1/84: row 1 at ranks 3 and 66, row 0 at rank 24 twice
    one = hits(100, 101, 1, *range(200, 220), 0)
    other = hits(*range(300, 323), 0, *range(400, 441), 1)
    assert (one.rows.index(0), other.rows.index(0), other.rows.index(1)) == (23, 23, 65)
    fused = reciprocal_rank([one, other], depth=200)
    assert fused.rows.index(1) == fused.rows.index(0) - 1


def test_nothing_found() -> None:
    assert reciprocal_rank([hits(), hits()], depth=10) == Hits((), ())
    assert reciprocal_rank([], depth=10) == Hits((), ())
