"""A model of several parts: what each brings back, in every report."""

from __future__ import annotations

import dataclasses
import re

from pytest_modellab.records.diagnosis import (
    SCHEMA,
    UNCHANGED,
    Answers,
    Blame,
    Diagnosis,
    Finding,
    PutBack,
    Side,
)
from pytest_modellab.reports import blamed, diagnosed
from pytest_modellab.reports.page import diagnosis as page
from pytest_modellab.reports.text import diagnosis as words

LIKELY = "media are prepared otherwise: sample_rate: 8000 here, 16000 there"
BLAME = Blame(
    lost=10,
    of=40,
    before=0.91,
    after=0.35,
    parts=(
        PutBack("preprocessing", 9, 0.85, 8),
        PutBack("encoder", 2, 0.40),
        PutBack("decoder", why="as the base's, not put back"),
    ),
    whole=PutBack("all parts", 10, 0.91),
)
NAMED = Diagnosis(
    schema=SCHEMA,
    base=Side("tiny"),
    candidate=Side("tiny_8k"),
    level="parts",
    culprit="preprocessing",
    fault="part",
    headline="the preprocessing accounts for 9 of 10 lost answers",
    damage=None,
    tokens=0,
    restored=0.89,
    findings=(Finding("preprocessing", "part", "seen", None, 0.89, LIKELY),),
    answers=Answers(10, 9),
    blame=BLAME,
)
NONE = dataclasses.replace(
    NAMED,
    culprit=None,
    fault="together",
    headline="no part alone",
    answers=None,
    findings=(),
    blame=dataclasses.replace(BLAME, parts=(PutBack("encoder", 2, 0.4), PutBack("ear", 3, 0.5))),
)


def test_a_message_ends_with_both_numbers_and_what_differs() -> None:
    assert diagnosed.one_line(NAMED) == (
        "diagnosis: the preprocessing accounts for 9 of 10 lost answers (of 40 in all; alone in "
        f"the base, it loses 8 of 10); {LIKELY}"
    )
    assert diagnosed.one_line(NONE) == "diagnosis: no part alone"


def test_every_part_has_its_line() -> None:
    assert words.text(NAMED).splitlines() == [
        "[Diagnosis] tiny_8k against tiny: the preprocessing accounts for 9 of 10 lost answers",
        "  lost           10 of 40 lost answers asked again; their mean score: 0.91 -> 0.35",
        "  preprocessing  put back, 9 of 10 right again (mean score: 0.35 -> 0.85); alone in the "
        "base, the candidate's loses 8",
        "  encoder        put back, 2 of 10 right again (mean score: 0.35 -> 0.40)",
        "  decoder        as the base's, not put back",
        "  all parts      put back, 10 of 10 right again (mean score: 0.35 -> 0.91)",
        f"  likely         {LIKELY}",
    ]
    markdown = words.markdown(NAMED)
    assert "- encoder: put back, 2 of 10 right again (mean score: 0.35 -> 0.40)\n" in markdown
    assert "| place |" not in markdown, "the lines have said it"


def test_a_page_draws_what_came_back_and_what_was_lost() -> None:
    text = page.render(NAMED)
    assert (
        "tiny_8k is made of 3 parts. tiny&#x27;s were put into it one at a time, and 10 answers "
        "asked again that tiny_8k had lost, of 40. With the preprocessing put back, 9 are right "
        "again; the other way round, tiny with tiny_8k&#x27;s preprocessing loses 8." in text
    )
    assert re.findall(r"\d+ of 10(?=</span>)", text) == [
        "9 of 10",
        "2 of 10",
        "10 of 10",
        "8 of 10",
    ]
    assert LIKELY[1:] in text


def test_a_page_without_a_name_says_so() -> None:
    text = page.render(NONE)
    assert "No part alone brings most of them back: none is named." in text
    assert "What to do" not in text


def test_a_page_says_why_none_is_named() -> None:
    def lede(*parts: PutBack) -> str:
        found = dataclasses.replace(BLAME, parts=parts, whole=None)
        return blamed.lede(found, None, ("tiny_8k", "tiny"))

    same, unfit = PutBack("decoder", why=UNCHANGED), PutBack("encoder", why="384 wide here")
    back, little = PutBack("ear", 9, 0.85, 1), PutBack("mouth", 1, 0.4, 1)
    assert lede(back, back).endswith(
        "Several bring most of them back, each by itself, so that they act together: none is named."
    )
    assert lede(same, same) == (
        "tiny_8k is made of 2 parts, all as tiny's: what it lost lies in none of them."
    )
    assert "No part that differs could be put back: none is named." in lede(same, unfit)
    assert "No part that could be put back brings most of them back (encoder not)" in (
        lede(little, unfit)
    )


def test_a_part_of_another_page_has_the_bars() -> None:
    assert "9 of 10</span>" in str(page.section(NAMED, "why"))


def test_the_only_part_that_differs_is_said_to_be() -> None:
    parts = (PutBack("preprocessing", 10, 0.91), PutBack("encoder", why=UNCHANGED))
    only = dataclasses.replace(NAMED, blame=dataclasses.replace(BLAME, parts=parts))
    assert "lost answers (of 40 in all; no other part differs); media are" in diagnosed.one_line(
        only
    )
    assert "put back, 10 are right again; no other part differs." in page.render(only)
