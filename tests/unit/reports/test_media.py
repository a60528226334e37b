"""What a flipped sample shows is named where it cannot be seen."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.media import Media
from pytest_modellab.reports import json_file, media
from pytest_modellab.reports.allure_report.running import flips_csv
from pytest_modellab.reports.text.table import render_markdown, render_text

Make = Callable[..., Any]

CHART = Media("image", "a" * 64, "/set/media/chart.png", "png", width=96, height=48)
HELLO = Media("audio", "b" * 64, "/set/hello.wav", "wav", seconds=3.2, sample_rate=16000)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (CHART, "chart.png, 96×48 png"),
        (HELLO, "hello.wav, 3.2 s wav"),
        (Media("audio", "c" * 64, ""), "cccccccccccc, audio"),
        (dataclasses.replace(CHART, path="a\x1b[2J\u202e.png"), r"a\x1b[2J\u202e.png, 96×48 png"),
    ],
)
def test_a_medium_in_words(one: Media, said: str) -> None:
    assert media.named(one) == said


def test_a_file_of_its_samples_name_is_not_named_again() -> None:
    assert media.named(CHART, "chart") == "96×48 png"
    made = dataclasses.replace(CHART, path=f"/cache/{CHART.sha256}.png")
    assert media.named(made) == "96×48 png"
    assert media.told([CHART, HELLO], "chart") == "96×48 png; hello.wav, 3.2 s wav"


def test_a_long_name_is_cut_and_many_are_counted() -> None:
    long = dataclasses.replace(CHART, path="x" * 300)
    assert len(media.named(long)) < 90
    assert media.told([CHART, HELLO, CHART, HELLO, HELLO]) == (
        "chart.png, 96×48 png; hello.wav, 3.2 s wav; chart.png, 96×48 png; and 2 more"
    )


@pytest.fixture
def blocked(comparison: Make, flip: Make) -> Comparison:
    found: Comparison = comparison("block", flips=(flip(media=(CHART,)), flip(id="b")))
    return found


def test_it_stands_beside_the_flipped_replies(blocked: Comparison) -> None:
    assert render_text(blocked).splitlines()[7:] == [
        "  sample               score   shows                 own baseline       nf4",
        "  arithmetic-hard-003  1 -> 0  chart.png, 96×48 png  The answer is 12.  The answer is 11.",
        "  b                    1 -> 0                        The answer is 12.  The answer is 11.",
    ]
    assert render_markdown(blocked).splitlines()[-2:] == [
        "| arithmetic-hard-003 | 1 -> 0 | chart.png, 96×48 png | <code>The answer is 12.</code> | "
        "<code>The answer is 11.</code> |",
        "| b | 1 -> 0 |  | <code>The answer is 12.</code> | <code>The answer is 11.</code> |",
    ]
    rows = list(csv.reader(flips_csv(blocked).splitlines()))
    assert [row[3] for row in rows] == ["shows", "chart.png, 96×48 png", ""]


def test_an_empty_reply_is_no_blank_cell(comparison: Make, flip: Make) -> None:
    silent = comparison("block", flips=(flip(after_output=" \n"), flip(before_output="")))
    first, second = render_text(silent).splitlines()[-2:]
    assert first.endswith("  The answer is 12.  (empty)")
    assert second.endswith("  (empty)            The answer is 11.")


def test_json_has_the_files_name_and_not_where_it_lies(blocked: Comparison, report: Make) -> None:
    found = json_file.to_dict(report(comparisons=(blocked,)))["comparisons"][0]["flips"]
    assert found[0]["media"][0]["path"] == "chart.png"
    assert found[0]["media"][0]["sha256"] == "a" * 64
    assert "media" not in found[1]
    assert json.loads(blocked.to_json())["flips"][0]["media"][0]["path"] == CHART.path
    assert Comparison.from_json(blocked.to_json()) == blocked
