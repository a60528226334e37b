"""A difference of preprocessing is told before any score, wherever there is one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.preprocessing import Unlike
from pytest_modellab.records.runs import RunSummary
from pytest_modellab.reports import json_file
from pytest_modellab.reports.advice import next_step
from pytest_modellab.reports.session import SessionReport
from pytest_modellab.reports.text import github, markdown, terminal
from pytest_modellab.reports.text.table import render_markdown, render_text

Make = Callable[..., Any]

MEAN = Unlike("baseline of sight", ("image_mean: [0.5, 0.5, 0.5] here, [0.48, 0.46, 0.41] there",))
SIZE = Unlike("its base sight", ("size.height: 48 here, 96 there",))
SAID = (
    "preprocessing is not that of baseline of sight: "
    "image_mean: [0.5, 0.5, 0.5] here, [0.48, 0.46, 0.41] there"
)


@pytest.fixture
def changed(report: Make, run: Make, comparison: Make) -> SessionReport:
    judged = comparison("block", preprocessing=(MEAN,))
    found: SessionReport = report(runs=(run(preprocessing=(SIZE,)),), comparisons=(judged,))
    return found


def test_a_message_begins_with_it(comparison: Make) -> None:
    first, second, *_ = render_text(comparison("block", preprocessing=(MEAN,))).splitlines()
    assert first == SAID
    assert second.startswith("blocked: arithmetic fell from 0.62 to 0.41")


def test_markdown_begins_with_it(comparison: Make) -> None:
    first, blank, second, *_ = render_markdown(
        comparison("block", preprocessing=(MEAN,))
    ).splitlines()
    assert first.startswith("**preprocessing is not that of baseline of sight: image_mean: ")
    assert (blank, second[:18]) == ("", "blocked: arithmeti")


def test_the_terminal_tells_it_before_the_variants_score(changed: SessionReport) -> None:
    found = [text for text, _ in terminal.lines(changed)]
    assert found[:2] == [
        f"nf4: {SAID}",
        "nf4: preprocessing is not that of its base sight: size.height: 48 here, 96 there",
    ]
    assert found[2].startswith("[Quantized] nf4  success=0.61")


def test_the_terminal_still_names_a_variant_that_was_only_judged(
    report: Make, comparison: Make
) -> None:
    judged = comparison("inconclusive", preprocessing=(MEAN,))
    found = [text for text, _ in terminal.lines(report(comparisons=(judged,)))]
    assert found[0] == f"nf4: {SAID}"
    assert found[1] == "nf4  -> INCONCLUSIVE"


def test_the_reports_markdown_tells_it_before_any_score(changed: SessionReport) -> None:
    text = markdown.render(changed)
    first = text.index("- **nf4: preprocessing is not that of baseline of sight")
    second = text.index("- **nf4: preprocessing is not that of its base sight")
    assert first < second < text.index("0.62")


def test_what_to_do_begins_with_it(changed: SessionReport, report: Make, comparison: Make) -> None:
    first, second = next_step(changed)
    assert first == (
        "nf4: decide first whether its other preprocessing is wanted: a model reads images and "
        "recordings as it was trained to"
    )
    assert second.startswith("nf4 fell: arithmetic 0.62 -> 0.41")
    assert next_step(report(comparisons=(comparison("pass", preprocessing=(MEAN,)),))) == ()


def test_github_marks_the_test_with_it(changed: SessionReport) -> None:
    (command,) = github.annotate(changed, {})
    assert f"BLOCK::{SAID}%0Ablocked: " in command


def test_json_has_it_with_the_run_and_the_comparison(
    changed: SessionReport, tmp_path: Path
) -> None:
    found = json_file.to_dict(changed)
    assert found["runs"][0]["preprocessing"] == [dataclasses.asdict(SIZE)]
    assert found["comparisons"][0]["preprocessing"] == [
        {"other": MEAN.other, "changed": [*MEAN.changed]}
    ]
    json_file.write([changed], tmp_path / "report.json")
    assert json_file.read(tmp_path / "report.json") == (changed,)


def test_what_prepares_nothing_is_stored_as_ever(run: Make, comparison: Make) -> None:
    assert "preprocessing" not in json.loads(run().to_json())
    assert "preprocessing" not in json.loads(comparison("block").to_json())
    told = run(preprocessing=(SIZE,)), comparison("block", preprocessing=(MEAN, SIZE))
    assert RunSummary.from_json(told[0].to_json()) == told[0]
    assert Comparison.from_json(told[1].to_json()) == told[1]


def test_a_hostile_setting_is_only_seen(comparison: Make) -> None:
    hostile = Unlike("x\n::error::y", ('"a\x1b[2J": 1 here',))
    first = render_text(comparison("block", preprocessing=(hostile,))).splitlines()[0]
    assert first == r'preprocessing is not that of x\n::error::y: "a\x1b[2J": 1 here'
