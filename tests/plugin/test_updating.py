"""Update mode judges by the run accepted before, names what it gives up, and is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("warmed")

FELL = "all samples 1.00 -> 0.*"


def baseline_of(project: pytest.Pytester, variant: str) -> Path:
    return project.path / "baselines" / "words" / f"{variant}.json"


def report_of(project: pytest.Pytester) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.path / "report.json").read_text())
    return found


@pytest.fixture
def dropped(
    project: pytest.Pytester, update: Callable[..., None], raise_baseline: Callable[[str], None]
) -> pytest.Pytester:
    """The project after a drop of both variants."""
    update()
    for variant in ("plain", "rounded"):
        raise_baseline(variant)
    return project


def test_an_accepted_drop_is_judged_named_and_recorded(
    dropped: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    dropped.makeini("[pytest]\nmodellab_update = true\n")
    result = dropped.runpytest_inprocess(
        "-k",
        "overall and plain",
        "--modellab-json=report.json",
        "--modellab-markdown=report.md",
        "--junitxml=junit.xml",
    )
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "*plain*-> ACCEPTED, baseline recorded (success was 1.00)",
            "  ACCEPTED all samples against own baseline: the mean score fell from 1.00 to 0.*",
            f"accepted a drop: plain on words: {FELL}",
            f"ACCEPTED: accepted a drop: plain on words: {FELL}.",
            "*review and commit the recorded baseline: *plain.json",
            "::warning file=*title=modellab%3A plain against own baseline*ACCEPTED::accepted: *",
        ]
    )
    result.stdout.no_fnmatch_line("*modellab accept plain*")
    report = report_of(dropped)
    assert report["verdict"] == "accepted"
    (accepted,) = report["accepted"]
    assert accepted.startswith("accepted a drop: plain on words: all samples 1.00 -> 0.")
    assert [(c["verdict"], c["accepted"]) for c in report["comparisons"]] == [("block", "drop")]
    assert report["runs"][0]["replaced"] == 1.0
    markdown = (dropped.path / "report.md").read_text()
    assert markdown.startswith("## Model gate: ACCEPTED\n\naccepted a drop: plain on words: all ")
    assert "### Accepted" in markdown
    assert "### Blocked" not in markdown
    junit = (dropped.path / "junit.xml").read_text()
    assert '<property name="modellab_verdict" value="block" />' in junit
    assert '<property name="modellab_accepted" value="drop" />' in junit
    dropped.makeini("[pytest]\n")
    again = dropped.runpytest_inprocess("-k", "overall and plain")
    again.stdout.fnmatch_lines(["PASS: the comparison of 1 variant passed."])


@pytest.mark.parametrize("workers", [["-n2"], ["-n2", "--dist=each"], ["-n2", "--dist=loadscope"]])
def test_workers_judge_by_what_was_there_when_the_session_began(
    dropped: pytest.Pytester, workers: list[str]
) -> None:
    result = dropped.runpytest_inprocess(
        *workers, "--modellab-update", "--modellab-json=report.json"
    )
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "accepted a drop: plain on words: all samples 1.00 -> 0.*alpha 1.00 -> 0.*",
            "accepted a drop: rounded on words: all samples 1.00 -> 0.*alpha 1.00 -> 0.*",
            "ACCEPTED: *",
        ]
    )


def test_a_floor_that_is_not_met_blocks_in_update_mode_too(dropped: pytest.Pytester) -> None:
    (dropped.path / "test_suite.py").write_text(
        "import pytest\n"
        "pytestmark = pytest.mark.variants('plain')\n"
        "def test_overall(candidate, gate):\n"
        "    gate.no_regression(candidate)\n"
        "def test_floor(candidate, gate):\n"
        "    gate.worst_bucket(candidate, floor=0.9)\n"
    )
    result = dropped.runpytest_inprocess("--modellab-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "BLOCK: 1 of 2 comparisons: plain (worst bucket); "
            f"accepted a drop: plain on words: {FELL}; overridden: floor 0.9 instead of 0.02 *"
        ]
    )


def test_a_replaced_baseline_that_no_test_compares_with_is_seen(dropped: pytest.Pytester) -> None:
    result = dropped.runpytest_inprocess("--modellab-update", "-k", "worst_bucket and plain")
    result.stdout.fnmatch_lines(["*plain*baseline recorded (success was 1.00)"])


def test_what_cannot_be_compared_is_accepted_unjudged(project: pytest.Pytester) -> None:
    project.runpytest_inprocess("--modellab-update", "-k", "overall and plain")
    path = project.path / "words" / "samples.jsonl"
    path.write_text(path.read_text().replace('"input": "', '"input": "now: '))
    result = project.runpytest_inprocess(
        "--modellab-update", "-k", "overall and plain", "--modellab-json=report.json"
    )
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "  ACCEPTED all samples against own baseline: not judged against the run accepted "
            "before: *",
            "ACCEPTED: accepted unjudged: plain on words.",
        ]
    )
    assert report_of(project)["comparisons"][0]["accepted"] == "unjudged"


@pytest.mark.parametrize("ci", ["true", "1", "yes"])
@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_ci_refuses_an_update_that_the_command_line_does_not_ask_for(
    dropped: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, workers: list[str]
) -> None:
    monkeypatch.setenv("CI", ci)
    dropped.makeini("[pytest]\nmodellab_update = true\n")
    before = baseline_of(dropped, "plain").read_bytes()
    result = dropped.runpytest_inprocess(*workers, "-k", "overall and plain")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            f"ERROR: ini setting modellab_update: refused in CI (CI={ci}), where it would make "
            "every candidate its own baseline; take it out, or ask for it on the command line: "
            "pytest --modellab-update"
        ]
    )
    assert baseline_of(dropped, "plain").read_bytes() == before


def test_ci_refuses_addopts_and_takes_the_command_line(
    dropped: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--modellab-update")
    result = dropped.runpytest_inprocess("-k", "overall and plain")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --modellab-update in addopts or PYTEST_ADDOPTS: refused in CI (CI=true)*"]
    )
    monkeypatch.delenv("PYTEST_ADDOPTS")
    asked = dropped.runpytest_inprocess("-n2", "-k", "overall and plain", "--modellab-update")
    assert asked.ret == pytest.ExitCode.OK
    asked.stdout.fnmatch_lines([f"accepted a drop: plain on words: {FELL}"])


@pytest.mark.parametrize("ci", ["", "0", "false", "False"])
def test_elsewhere_the_ini_file_may_ask(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    project.makeini("[pytest]\nmodellab_update = true\n")
    assert project.runpytest_inprocess("-k", "overall and plain").ret == pytest.ExitCode.OK
