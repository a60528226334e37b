"""A session says in one line that what decides is weaker than where its branch began."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pull_requests import change, git

from pytest_modellab.review.against import BASE, TARGETS


def notes(project: pytest.Pytester) -> list[str]:
    """What the report notes of the bar; the session passes."""
    options = ("-k", "overall and plain", "--modellab-json=report.json")
    result = project.runpytest_inprocess(*options)
    assert result.ret == 0, result.stdout.str()
    found = json.loads((project.path / "report.json").read_text())["notes"]
    said = [note for note in found if note.startswith("bar: ")]
    assert all(note in result.stdout.str() for note in said)
    return said


def test_a_weaker_rule_is_said_and_an_acknowledged_one_with_its_reason(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*TARGETS, BASE):  # of the change that runs this test
        monkeypatch.delenv(name, raising=False)
    project.runpytest_inprocess("--modellab-update", "-k", "overall and plain")
    git(project.path, "init", "-q", "-b", "main")
    git(project.path, "add", "modellab.toml", "test_suite.py", "words", "baselines")
    git(project.path, "commit", "-q", "-m", "a gate")
    git(project.path, "checkout", "-q", "-b", "pull-request")
    toml = Path(project.path / "modellab.toml")
    change(toml, "\nmargin = 0.1", "\nmargin = 0.2")
    commit = git(project.path, "rev-parse", "--short=7", "main")
    weaker = "task_sets.words.margin 0.1 -> 0.2"
    assert notes(project) == [
        f"bar: 1 rule is weaker than at {commit} (merge base with main): {weaker}; modellab review "
        "fails until it is said why"
    ]
    with toml.open("a") as file:
        file.write(f'\n[acknowledged]\n"{weaker}" = "agreed with all"\n')
    assert notes(project) == [f"bar: acknowledged: {weaker}: agreed with all"]
