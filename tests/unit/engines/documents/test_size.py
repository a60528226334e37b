"""Pages that no detection should be given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines.documents.size import LONGEST, MOST, problem


@pytest.mark.parametrize(
    ("width", "height"),
    [(1, 1), (20, 20), (480, 300), (2480, 3508), (7000, 7000), (2000, 31), (300, 3000)],
)
def test_usual_pages(width: int, height: int) -> None:
    assert problem(width, height, 64) == ""
    assert problem(width, height, 736) == ""


def test_threads() -> None:
    said = (
        "30000 × 20 pixels: with its longer side reduced to 2000, as it is read, nothing is left "
        "of the other; cut it into several"
    )
    assert problem(30_000, 20, 64) == said
    assert problem(20, 30_000, 64) == said.replace("30000 × 20", "20 × 30000")


def test_a_strip_that_is_enlarged_beyond_measure() -> None:
    assert problem(31, 2000, 64) == ""
    assert problem(31, 2000, 736) == (
        "31 × 2000 pixels become 736 × 47484 with the shorter side enlarged to limit_side_len = "
        "736, and a detection is given at most 8 million; cut it into several, or declare a "
        "smaller limit_side_len"
    )


@given(st.integers(1, 32_768), st.integers(1, 32_768), st.integers(1, 4000))
def test_what_is_read_is_bounded(width: int, height: int, limit: int) -> None:
    if problem(width, height, limit):
        return
    reduced = min(1.0, LONGEST / max(width, height))
    enlarged = max(1.0, limit / (max(width, height) * reduced))
    assert width * height * (reduced * enlarged) ** 2 <= MOST
