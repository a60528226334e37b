"""How long a cluster takes, by what its parts are expected to take."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.lab.work import Piece, wall_time


def pieces(*seconds: float) -> list[Piece]:
    return [Piece("v", f"t{k}", parts=(1,), seconds=one) for k, one in enumerate(seconds)]


def test_the_longest_part_comes_first() -> None:
    assert wall_time(pieces(2, 3, 4, 5), 2) == 7
    assert wall_time([Piece("v", "t", 900, parts=(300, 300, 300), seconds=9.0)], 2) == 6
    assert wall_time([], 3) == 0


def test_what_is_stored_or_unknown_takes_no_time() -> None:
    stored = Piece("v", "t", parts=(1,), seconds=50.0, stored=True)
    unknown = Piece("v", "t", parts=(1,))
    served = Piece("v", "t", parts=(1,), seconds=4.0, stored=None)
    assert wall_time([stored, unknown, served], 1) == 4


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 3))
def test_it_is_near_the_best_there_is(seconds: list[int], workers: int) -> None:
    best = min(
        max(sum(s for s, on in zip(seconds, places, strict=True) if on == k) for k in places)
        for places in itertools.product(range(workers), repeat=len(seconds))
    )
    found = wall_time(pieces(*seconds), workers)
    assert best - 1e-9 <= found <= 4 / 3 * best + 1e-9
