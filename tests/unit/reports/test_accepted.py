"""A drop that update mode accepted is named, and is neither a pass nor a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.reports import json_file
from pytest_modellab.reports.advice import next_step
from pytest_modellab.reports.session import acceptances, headline, variant_verdict
from pytest_modellab.reports.text import github, markdown, terminal
from pytest_modellab.reports.text.table import reason, title
from pytest_modellab.reports.tracking import runs

Make = Callable[..., Any]


def test_it_is_the_verdict_unless_something_blocks(report: Make, comparison: Make) -> None:
    passed, dropped = comparison("pass"), comparison("block", accepted="drop")
    assert dropped.outcome == "accepted"
    found = report(comparisons=(passed, dropped))
    assert found.verdict == variant_verdict(found, "nf4") == "accepted"
    words = "accepted a drop: nf4 on assistant_core_v2: arithmetic 0.62 -> 0.41"
    assert acceptances(found) == (words,)
    assert headline(found) == f"ACCEPTED: {words}."
    assert next_step(found) == (), "nothing is to be accepted any more"
    blocked = report(comparisons=(dropped, comparison("block", capability="code")))
    assert blocked.verdict == "block"
    assert headline(blocked) == f"BLOCK: 1 of 2 comparisons: nf4 (code); {words}."
    undecided = report(comparisons=(dropped, comparison("inconclusive")), complete=False)
    assert headline(undecided) == f"ACCEPTED: {words}; the run did not complete."


def test_every_report_shows_it(report: Make, comparison: Make, run: Make) -> None:
    dropped = comparison("block", accepted="drop")
    recorded = run(recorded="baselines/nf4.json", replaced=0.75)
    found = report(runs=(recorded,), comparisons=(dropped,))
    shown = [text for text, _ in terminal.lines(found)]
    assert shown[0].endswith("-> ACCEPTED, baseline recorded (success was 0.75)")
    assert shown[1].startswith("  ACCEPTED arithmetic against own baseline: arithmetic fell from ")
    assert shown[2] == "accepted a drop: nf4 on assistant_core_v2: arithmetic 0.62 -> 0.41"
    text = markdown.render(found)
    assert "| **ACCEPTED**, baseline recorded (success was 0.75) |" in text
    assert "accepted, drop +0.21" in text
    assert "### Accepted" in text
    assert "### Blocked" not in text
    assert title(dropped).endswith("arithmetic: ACCEPTED")
    (annotation,) = github.annotate(found, {})
    assert annotation.startswith("::warning title=modellab%3A nf4 against own baseline")
    data = json_file.to_dict(found)
    assert data["verdict"] == "accepted"
    assert data["accepted"] == [shown[2]]
    parent = runs.of_session(found).parent
    assert parent.metrics["comparisons/accepted"] == 1
    assert parent.metrics["comparisons/block"] == 0
    assert Comparison.from_json(dropped.to_json()) == dropped


def test_what_was_not_judged_says_why(report: Make, comparison: Make) -> None:
    why = "not judged against the run accepted before: the task set changed"
    unjudged = comparison("pass", accepted="unjudged", notes=(why,))
    assert reason(unjudged) == why
    assert headline(report(comparisons=(unjudged,))) == (
        "ACCEPTED: accepted unjudged: nf4 on assistant_core_v2."
    )
