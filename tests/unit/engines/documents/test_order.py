"""The order in which texts of a page are read."""

from __future__ import annotations

import dataclasses
import math
import random

from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines.documents.order import Found, page


def box(text: str, left: float, top: float, width: float = 40, height: float = 20) -> Found:
    right, bottom = left + width, top + height
    return Found(text, ((left, top), (right, top), (right, bottom), (left, bottom)))


def test_rows_then_columns() -> None:
    cells = [
        box("3", 300, 58),
        box("Total", 10, 100),
        box("Item", 10, 10),
        box("Blue", 10, 60),
        box("Price", 300, 12),
        box("9.50", 300, 103),
    ]
    assert page(cells) == "Item Price\nBlue 3\nTotal 9.50"
    assert page([]) == ""


def test_a_text_beside_two_lines_is_in_the_row_that_its_middle_is_next_to() -> None:
    tall = box("tall", 200, 10, height=60)  # its middle is at 40
    assert page([tall, box("up", 10, 10), box("down", 10, 50)]) == "up\ntall\ndown"
    assert page([tall, box("up", 10, 10), box("beside", 10, 32)]) == "up\nbeside tall"


def test_a_small_step_from_text_to_text_does_not_join_lines() -> None:
    steps = [box(str(i), 50 * i, 4 * i) for i in range(8)]  # each within reach of the one before
    rows = page(steps).split("\n")
    assert len(rows) > 1
    assert " ".join(rows).split() == [str(i) for i in range(8)]


def turned(one: Found, degrees: float) -> Found:
    sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return dataclasses.replace(
        one, corners=tuple((x * cos - y * sin, x * sin + y * cos) for x, y in one.corners)
    )


@given(st.floats(-44, 44))
def test_a_page_askew_is_read_as_if_it_lay_straight(degrees: float) -> None:
    cells = [box("a long first line", 10, 10, 300), box("short", 10, 40, 60), box("3", 280, 42, 20)]
    assert page([turned(one, degrees) for one in cells]) == "a long first line\nshort 3"


BOXES = st.lists(
    st.tuples(
        st.text("abc", min_size=1, max_size=3),
        *(st.integers(0, 400), st.integers(0, 400), st.integers(5, 90), st.integers(5, 60)),
    ),
    max_size=9,
)


@given(BOXES, st.randoms(use_true_random=False), st.integers(-99, 99), st.integers(-99, 99))
def test_every_text_once_wherever_it_stands(
    drawn: list[tuple[str, int, int, int, int]], shuffle: random.Random, right: int, down: int
) -> None:
    boxes = [box(*one) for one in drawn]
    said = page(boxes)
    assert sorted(said.split()) == sorted(text for text, *_ in drawn)
    mixed = list(boxes)
    shuffle.shuffle(mixed)
    assert page(mixed) == said
    moved = [box(text, x + right, y + down, w, h) for text, x, y, w, h in drawn]
    assert page(moved) == said


@given(BOXES)
def test_texts_further_apart_than_their_heights_are_rows_from_top_to_bottom(
    drawn: list[tuple[str, int, int, int, int]],
) -> None:
    apart = [box(text, x, 200 * k, w, h) for k, (text, x, _, w, h) in enumerate(drawn)]
    assert page(apart) == "\n".join(text for text, *_ in drawn)
