"""Batch plans and shared prefixes: pure functions of lengths and tokens."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines.batching import common_prefix, plan, spread

LENGTHS = st.lists(st.integers(1, 60), max_size=40)
BUDGET = st.integers(1, 200)


def room(lengths: list[int], batch: tuple[int, ...], *, padded: bool) -> int:
    """Tokens that a batch takes."""
    taken = [lengths[i] for i in batch]
    return max(taken) * len(taken) if padded else sum(taken)


@pytest.mark.parametrize(
    ("lengths", "budget", "padded", "batches"),
    [
        ([], 8, False, ()),
        ([3], 1, False, ((0,),)),
        ([3, 5, 4], 9, False, ((1, 2), (0,))),
        ([3, 5, 4], 12, False, ((1, 2, 0),)),
        ([3, 5, 4], 12, True, ((1, 2), (0,))),
        ([3, 5, 4], 15, True, ((1, 2, 0),)),
        ([2, 2, 2], 4, True, ((0, 1), (2,))),
        ([9, 1, 1], 4, False, ((0,), (1, 2))),
    ],
)
def test_plan(
    lengths: list[int], budget: int, padded: bool, batches: tuple[tuple[int, ...], ...]
) -> None:
    assert plan(lengths, budget, padded=padded) == batches


@given(LENGTHS, BUDGET, st.booleans())
def test_every_request_once(lengths: list[int], budget: int, padded: bool) -> None:
    batches = plan(lengths, budget, padded=padded)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(batches)


@given(LENGTHS, BUDGET, st.booleans())
def test_budget_is_kept_and_used(lengths: list[int], budget: int, padded: bool) -> None:
    batches = plan(lengths, budget, padded=padded)
    for batch in batches:
        assert len(batch) == 1 or room(lengths, batch, padded=padded) <= budget
    for batch, following in itertools.pairwise(batches):
        together = (*batch, following[0])
        assert room(lengths, together, padded=padded) > budget, "there was room for one more"


@given(LENGTHS, BUDGET, st.booleans())
def test_longest_first(lengths: list[int], budget: int, padded: bool) -> None:
    order = [lengths[i] for batch in plan(lengths, budget, padded=padded) for i in batch]
    assert order == sorted(lengths, reverse=True)


@given(LENGTHS, BUDGET, st.booleans(), st.randoms(use_true_random=False))
def test_only_lengths_decide(lengths: list[int], budget: int, padded: bool, random: object) -> None:
    """Requests in another order are batched in the same sizes."""
    shuffled = list(lengths)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def sizes(of: list[int]) -> list[list[int]]:
        return [[of[i] for i in batch] for batch in plan(of, budget, padded=padded)]

    assert sizes(shuffled) == sizes(lengths)
    assert plan(tuple(lengths), budget, padded=padded) == plan(lengths, budget, padded=padded)


def test_spread() -> None:
    def order(n: int) -> list[int]:
        return [i for (i,) in spread([(k,) for k in range(n)])]

    assert order(0) == []
    assert order(1) == [0]
    assert order(8) == [0, 4, 2, 6, 1, 5, 3, 7]
    assert order(6) == [0, 4, 2, 1, 5, 3]
    for few in (4, 16, 50):
        assert sum(order(200)[:few]) / few == pytest.approx(99.5, rel=0.3), "they stand for all"


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=5))
def test_common_prefix(sequences: list[list[int]]) -> None:
    found = common_prefix(sequences)
    if not sequences:
        assert found == 0
        return
    columns = zip(*sequences, strict=False)
    shared = len(list(itertools.takewhile(lambda column: len(set(column)) == 1, columns)))
    assert found == min(shared, min(map(len, sequences)) - 1), "each keeps a token of its own"
    assert common_prefix([tuple(s) for s in sequences[::-1]]) == found
