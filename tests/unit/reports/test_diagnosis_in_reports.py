"""A blocked variant's diagnosis in what the session writes."""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diagnoses import head_is_zeroed, rounded_everywhere

from pytest_modellab.records.diagnosed import from_json, to_json
from pytest_modellab.records.diagnosis import Diagnosis
from pytest_modellab.reports import allure_report, json_file
from pytest_modellab.reports.session import SessionReport
from pytest_modellab.reports.text import github, markdown, terminal

Make = Callable[..., Any]


def _found(make: Callable[[], Diagnosis]) -> Diagnosis:
    return from_json(to_json(make()))


@pytest.fixture
def blocked(report: Make, comparison: Make, run: Make) -> SessionReport:
    """A session that blocks nf4, which was diagnosed."""
    made: SessionReport = report(
        runs=(run(),),
        comparisons=(comparison("block"),),
        diagnoses={"nf4": _found(rounded_everywhere)},
    )
    return made


def test_the_terminal_says_why_and_what_to_paste(blocked: SessionReport) -> None:
    texts = [text for text, _ in terminal.lines(blocked)]
    at = next(i for i, text in enumerate(texts) if text.startswith("  diagnosis: "))
    assert texts[at - 1].startswith("  BLOCK ")
    assert texts[at] == (
        "  diagnosis: it is rounded everywhere as 4 bits are; no single part is to blame (0.26 "
        "nats a token); keep 4 modules in full precision: 41 % of the damage is gone for 10.2 MB "
        "more"
    )
    assert texts[at + 1 : at + 3] == ["    [variants.nf4]", "    skip_modules = ["]


def test_of_a_long_list_the_terminal_says_where_it_is(blocked: SessionReport) -> None:
    diagnosis = blocked.diagnoses["nf4"]
    assert diagnosis.remedy is not None
    long = dataclasses.replace(diagnosis.remedy, paste="\n".join(f"a{i} = 1" for i in range(30)))
    report = dataclasses.replace(
        blocked, diagnoses={"nf4": dataclasses.replace(diagnosis, remedy=long)}
    )
    texts = [text for text, _ in terminal.lines(report)]
    assert "    modellab diagnose prompting nf4 prints the 30 lines to paste" in texts
    assert "a29 = 1" in markdown.render(report)


def test_markdown_says_why(blocked: SessionReport) -> None:
    text = html.unescape(markdown.render(blocked))
    assert "\n### Why\n\n**nf4 against prompting: it is rounded everywhere as 4 bits are; " in text
    assert text.index("### Blocked") < text.index("### Why")
    both = dataclasses.replace(
        blocked, diagnoses={**blocked.diagnoses, "broken": _found(head_is_zeroed)}
    )
    text = html.unescape(markdown.render(both))
    assert "<summary>broken: layer.8.attention.head.3 is zeroed</summary>" in text
    assert text.index("<summary>broken: ") < text.index("<summary>nf4: it is rounded")


def test_json_keeps_it_and_its_times_apart(blocked: SessionReport, tmp_path: Path) -> None:
    data = json_file.to_dict(blocked)
    assert data["diagnoses"]["nf4"]["headline"].startswith("it is rounded everywhere")
    assert "seconds" not in data["diagnoses"]["nf4"]
    assert data["measured"]["diagnoses"] == {"nf4": {"base run": 4.0}}
    json_file.write([blocked], tmp_path / "r.json")
    assert json_file.read(tmp_path / "r.json") == (blocked,)
    del data["diagnoses"], data["measured"]["diagnoses"]  # as before there were any
    (tmp_path / "old.json").write_text(json.dumps(data))
    (old,) = json_file.read(tmp_path / "old.json")
    assert old.diagnoses == {}


def test_an_annotation_ends_with_it(blocked: SessionReport) -> None:
    (line,) = github.annotate(blocked, {})
    assert line.startswith("::error title=modellab%3A nf4")
    assert "%0Adiagnosis: it is rounded everywhere as 4 bits are; " in line


def _result(folder: Path, name: str, *, verdict: str) -> Path:
    path = folder / f"{name}-result.json"
    labels = {"nodeid": f"t.py::{name}", "variant": "nf4", "verdict": verdict}
    values = {
        "uuid": name,
        "status": "failed",
        "description": "The table.",
        "labels": [{"name": k, "value": v} for k, v in labels.items()],
    }
    path.write_text(json.dumps(values))
    return path


def test_allure_attaches_the_page_to_every_test_that_blocks(
    blocked: SessionReport, tmp_path: Path
) -> None:
    paths = [_result(tmp_path, name, verdict="block") for name in ("one", "two")]
    passed = _result(tmp_path, "three", verdict="pass")
    before = passed.read_text()
    for _ in range(2):  # a second time changes nothing
        allure_report.write_session(tmp_path, [blocked])
    sources = set()
    for path in paths:
        data = json.loads(path.read_text())
        (attached,) = data["attachments"]
        assert attached["name"] == (
            "Diagnosis: it is rounded everywhere as 4 bits are; no single part is to blame"
        )
        assert attached["type"] == "text/html"
        sources.add(attached["source"])
        text = html.unescape(data["description"])
        assert text.startswith("The table.\n**nf4 against prompting: it is rounded everywhere")
        assert "<sub>" not in text
        assert "\n```toml\n[variants.nf4]\n" in text
    (source,) = sources
    assert (tmp_path / source).read_text().startswith("<!DOCTYPE html>")
    assert passed.read_text() == before
