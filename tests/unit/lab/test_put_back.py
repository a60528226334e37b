"""Which part is named, from what each brings back and what each costs."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.lab import put_back
from pytest_modellab.records import diagnosed
from pytest_modellab.records.diagnosis import SCHEMA, Blame, Diagnosis, PutBack, Side

counts = st.integers(0, 10)
tried = st.builds(lambda right, alone: (right, alone), st.none() | counts, st.none() | counts)


def blame(*parts: tuple[int | None, int | None], whole: int | None = None, lost: int = 10) -> Blame:
    found = tuple(
        PutBack(f"part{i}", right, None if right is None else right / lost, alone)
        for i, (right, alone) in enumerate(parts)
    )
    all_ = None if whole is None else PutBack("all parts", whole, whole / lost)
    return Blame(lost, lost, 1.0, 0.0, found, all_)


@given(st.lists(tried, min_size=1, max_size=4), counts)
def test_one_is_named_only_where_most_come_back_with_it_and_fewer_with_any_other(
    parts: list[tuple[int | None, int | None]], whole: int
) -> None:
    found = blame(*parts, whole=whole)
    culprit, fault, headline = put_back.named(found)
    assert (culprit is not None) == (fault == "part")
    if culprit is None:
        return
    order = {one.part: (one.right_again or 0, one.lost_alone or 0) for one in found.parts}
    own = order.pop(culprit)
    assert own[0] > 5
    assert all(own > other for other in order.values())
    assert own[1] > 5 or all(other[0] <= 5 for other in order.values())
    assert headline == f"the {culprit} accounts for {own[0]} of 10 lost answers"


def test_where_two_bring_back_as_many_the_one_that_costs_more_alone_is_named() -> None:
    assert put_back.named(blame((9, 8), (9, 2)))[0] == "part0"
    assert put_back.named(blame((9, 2), (9, 2)))[:2] == (None, "together")


def test_a_part_is_not_named_where_another_one_mends_most_as_well() -> None:
    assert put_back.named(blame((10, 1), (9, 0))) == (
        None,
        "together",
        "part0 or part1 put back brings back at least 9 of 10 lost answers: they act together",
    )
    assert put_back.named(blame((10, None), (9, None)))[:2] == (None, "together")
    assert put_back.named(blame((9, 8), (7, 2)))[0] == "part0"
    assert put_back.named(blame((9, 8), (7, 6)))[0] is None


def test_what_could_not_be_put_back_is_not_called_innocent() -> None:
    found = blame((None, None), (2, 1), (0, 0))
    parts = (PutBack("part0", why="384 wide here, 512 in the base's"), *found.parts[1:])
    assert put_back.named(dataclasses.replace(found, parts=parts)) == (
        None,
        "unexplained",
        "no part that could be put back accounts for the 10 lost answers; the part0 could not be",
    )


def test_nothing_that_comes_back_is_called_most() -> None:
    assert put_back.named(blame((0, 0), (0, 0)))[2] == (
        "no part alone accounts for any of the 10 lost answers"
    )


def test_a_rest_that_lies_in_no_part_is_said() -> None:
    assert put_back.named(blame((2, 1), (0, 0), whole=3)) == (
        None,
        "elsewhere",
        "with all parts put back, 3 of 10 lost answers are right again: the other 7 lie in none of "
        "them",
    )
    assert put_back.named(blame((0, 0), (0, 0), whole=0))[2] == (
        "with all parts put back, 0 of 10 lost answers are right again: what was lost lies in none "
        "of them"
    )


def test_answers_that_come_back_with_all_parts_alone_lie_in_several() -> None:
    assert put_back.named(blame((3, 1), (4, 0), whole=10)) == (
        None,
        "together",
        "no part alone accounts for the 10 lost answers: most come back with the part1, 4",
    )


def test_one_answer_is_one() -> None:
    assert put_back.named(blame((1, 1), lost=1))[2] == "the part0 accounts for 1 of 1 lost answer"


def test_the_share_of_the_lost_score_that_is_back() -> None:
    found = Blame(2, 2, 0.9, 0.5, (PutBack("ear", 1, 0.7),))
    assert put_back.restored(found, found.parts[0]) is not None
    assert abs((put_back.restored(found, found.parts[0]) or 0) - 0.5) < 1e-12
    assert put_back.restored(found, PutBack("mouth")) is None


@given(st.lists(tried, min_size=1, max_size=4))
def test_it_is_read_back_as_it_was_written(parts: list[tuple[int | None, int | None]]) -> None:
    found = blame(*parts, whole=4)
    culprit, fault, headline = put_back.named(found)
    whole = Diagnosis(
        SCHEMA, Side("a"), Side("b"), "parts", culprit, fault, headline, None, 0, blame=found
    )
    assert diagnosed.from_json(diagnosed.to_json(whole)) == whole
