"""What is said of each assertion: one row each, and what an added one brings along."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.gate.ratios import RatioResult
from pytest_modellab.judging.assertions import ASSERTIONS
from pytest_modellab.judging.words import Words
from pytest_modellab.reports.advice import next_step
from pytest_modellab.reports.session import subject
from pytest_modellab.reports.text import markdown, table, terminal
from pytest_modellab.reports.words import COLUMNS, moved, urgency, words_of

Make = Callable[..., Any]
ADDED = Words("replies", "answered", "{variant} is silent, unlike {against}: {what}{task_sets}")


@pytest.mark.parametrize("name", [a.name for a in ASSERTIONS.values() if a.words is None])
def test_every_built_in_assertion_has_words(comparison: Make, name: str) -> None:
    for against in ("own baseline", "baseline of plain"):
        words = words_of(comparison("pass", assertion=name, against=against))
        assert words.heading in COLUMNS
        assert words.advise(variant="V", against="A", what="W", task_sets="").startswith("V ")


def test_an_added_assertion_has_its_own_words_everywhere(
    report: Make, comparison: Make, run: Make
) -> None:
    added = comparison(
        "block",
        assertion="still_replies",
        against="baseline of plain",
        capability=None,
        words=ADDED,
    )
    other = comparison("block")
    found = report(runs=(run(),), comparisons=(added, other))
    assert subject(added) == "replies"
    assert table.title(added).endswith("assistant_core_v2, replies: BLOCK")
    assert next_step(found)[-1] == (
        "nf4 is silent, unlike baseline of plain: arithmetic 0.62 -> 0.41 "
        "--task-set assistant_core_v2"
    ), "after what is built in"
    assert "| against own baseline | answered |" in markdown.render(found)
    assert any("BLOCK replies against baseline of plain" in t for t, _ in terminal.lines(found))


def test_added_assertions_come_last(comparison: Make) -> None:
    row = words_of(comparison("pass", assertion="no_slowdown"))
    assert sorted([ADDED, row], key=urgency) == [row, ADDED]


def test_a_ratio_is_called_by_its_name(
    report: Make, comparison: Make, run: Make, ratio: RatioResult
) -> None:
    length = dataclasses.replace(ratio, name="reply length", verdict="inconclusive")
    added = comparison(
        "inconclusive",
        assertion="no_longer_replies",
        capability=None,
        figures=(),
        ratio=length,
        words=dataclasses.replace(ADDED, subject="reply length"),
    )
    assert not added.timed
    assert "reference s" not in table.render_text(added)
    found = report(runs=(run(),), comparisons=(added,))
    assert any("reply length x" in step for step in next_step(found))
    assert not any("latency" in text for text, _ in terminal.lines(found))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.67, 0.59, "0.67 -> 0.59"),
        (0.551, 0.549, "0.5510 -> 0.5490"),
        (0.5, 0.5, "0.50 -> 0.50"),
        (0.0013, 0.0012, "0.0013 -> 0.0012"),
        (None, 0.25, "0.00 -> 0.25"),
    ],
)
def test_a_small_move_has_the_digits_that_show_it(
    before: float | None, after: float, words: str
) -> None:
    assert moved(before, after) == words
