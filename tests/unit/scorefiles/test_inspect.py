"""Logs of inspect_ai, of runs that went well and of runs that did not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from score_files import Write, message, scores

from pytest_modellab import scorefiles
from pytest_modellab.scorefiles.rows import Wanted

DATA = Path(__file__).parents[2] / "data" / "scorefiles"


def test_log_of_inspect() -> None:
    pytest.importorskip("inspect_ai")
    file = scorefiles.read(
        DATA / "inspect_base.eval", Wanted(score=("match",), by=("metadata.level",))
    )
    assert file.kind == "log of inspect_ai, task doubling"
    assert [(row.id, row.score, row.bucket) for row in file.rows] == [
        ("d0", 1.0, "easy"),
        ("d1", 1.0, "easy"),
        ("d2", 1.0, "hard"),
        ("d3", 0.0, "hard"),
    ]
    assert file.notes == (
        "id from 'id', score from 'match', content from 'content_hash'",
        "8 rows averaged to 4 samples",
    )
    candidate = scorefiles.read(DATA / "inspect_candidate.eval", Wanted(score=("pair.right",)))
    # d1 failed in both epochs, d2 was right in one of two
    assert {row.id: row.score for row in candidate.rows} == {
        "d0": 1.0,
        "d1": None,
        "d2": 0.5,
        "d3": 0.0,
    }
    assert candidate.notes[0] == "2 samples failed, without a score"
    assert [row.hash for row in candidate.rows] == [row.hash for row in file.rows]


def test_log_of_inspect_in_json(tmp_path: Path) -> None:
    logs = pytest.importorskip("inspect_ai.log")
    path = DATA / "inspect_base.eval"
    logs.write_eval_log(logs.read_eval_log(str(path)), str(tmp_path / "a.json"))
    wanted = Wanted(score=("match",), by=("metadata.level",))
    again = scorefiles.read(tmp_path / "a.json", wanted)
    assert again.rows == scorefiles.read(path, wanted).rows


def test_errors_of_inspect(write: Write) -> None:
    pytest.importorskip("inspect_ai")
    path = DATA / "inspect_base.eval"
    assert message(path) == (
        "which column holds the score? Name it: --score NAME. Known: match, pair.brief, pair.right"
    )
    assert message(path, score=("macth",)) == (
        "--score: no column 'macth'; did you mean 'match'? Known: match, pair.brief, pair.right"
    )
    for content in (b"hello", path.read_bytes()[:4000]):
        assert message(write("a.eval", content)).startswith("not a log that inspect_ai 0.3.")


def test_inspect_says_what_to_install(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    monkeypatch.setitem(__import__("sys").modules, "inspect_ai.log", None)
    assert message(write("a.eval", b"x")) == (
        "logs of inspect need inspect_ai: pip install 'pytest-modellab[inspect]'"
    )


def changed(path: Path, tmp_path: Path, change: Callable[[Any], None]) -> Path:
    """The log in JSON, with a change."""
    logs = pytest.importorskip("inspect_ai.log")
    target = tmp_path / "changed.json"
    logs.write_eval_log(logs.read_eval_log(str(path)), str(target))
    log = json.loads(target.read_text())
    change(log)
    target.write_text(json.dumps(log))
    return target


def test_a_log_without_the_list_of_its_samples(tmp_path: Path) -> None:
    path = DATA / "inspect_base.eval"
    old = changed(path, tmp_path, lambda log: log["eval"]["dataset"].pop("sample_ids"))
    wanted = Wanted(score=("match",))
    assert scorefiles.read(old, wanted).rows == scorefiles.read(path, wanted).rows


ERROR = {
    "message": "RuntimeError('the server is down')\nmore",
    "traceback": "",
    "traceback_ansi": "",
}


def test_a_run_that_failed_as_a_whole(tmp_path: Path) -> None:
    path = DATA / "inspect_base.eval"

    def fail(log: Any) -> None:
        for sample in log["samples"]:
            sample["error"], sample["scores"] = ERROR, None

    def stop(log: Any) -> None:
        log["samples"], log["status"], log["error"] = [], "error", ERROR

    def leave(log: Any) -> None:
        for sample in log["samples"]:
            sample["scores"] = None

    for wanted in ({}, {"score": ("match",)}):
        assert message(changed(path, tmp_path, fail), **wanted) == (
            "all 8 samples failed, none has a score; the first: RuntimeError('the server is "
            "down'); mend that, and run it again"
        )
    assert message(changed(path, tmp_path, stop)) == (
        "holds no sample; the run's status is 'error': RuntimeError('the server is down'); run it "
        "again"
    )
    assert message(changed(path, tmp_path, leave)) == (
        "none of 8 samples was scored (status 'success'); score the log: inspect score changed.json"
    )


def test_a_grade_that_is_no_number(tmp_path: Path) -> None:
    def grade(log: Any) -> None:
        log["samples"][0]["scores"]["match"]["value"] = [1, 0]

    path = changed(DATA / "inspect_base.eval", tmp_path, grade)
    assert message(path, score=("match",)) == (
        "sample 'd0', epoch 1: sample 'd0': match: '[1, 0]' is no grade that inspect turns into a "
        "number; choose another scorer (--score NAME), or make this one return a number"
    )
    assert scores(path, score=("pair.right",))["d0"] == 1.0


def test_an_old_inspect_is_told(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    pytest.importorskip("inspect_ai")
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.3.69")
    assert message(write("a.eval", b"x")) == (
        "logs of inspect need inspect_ai 0.3.200 or newer, and 0.3.69 is installed: "
        "pip install -U 'pytest-modellab[inspect]'"
    )


def test_a_sample_that_failed_but_was_scored_counts_as_it_does_for_inspect(tmp_path: Path) -> None:
    def fail(log: Any) -> None:
        log["samples"][0]["error"] = ERROR

    path = DATA / "inspect_base.eval"
    file = scorefiles.read(changed(path, tmp_path, fail), Wanted(score=("match",)))
    assert file.rows == scorefiles.read(path, Wanted(score=("match",))).rows
    assert file.notes[0] == "1 sample failed but scored"
