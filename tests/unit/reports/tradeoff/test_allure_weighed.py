from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.errors import ModellabError
from pytest_modellab.reports import allure_report, page
from pytest_modellab.reports.allure_report import weighed

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, bool]]:
    """Stands for the page, which takes long and needs matplotlib; keeps what it was given."""
    given: list[tuple[Any, bool]] = []

    def render(tradeoffs: Any, *, interactive: bool = False, diagnoses: Any = None) -> str:
        assert diagnoses == {}
        given.append((tradeoffs, interactive))
        return "<!doctype html><p>the page"

    monkeypatch.setattr(page, "render", render)
    return given


def read(folder: Path, pattern: str) -> Any:
    (path,) = folder.glob(pattern)
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_recommendation_is_a_test_that_comes_first(tmp_path: Path, tradeoff: Make) -> None:
    given = tradeoff()
    assert weighed.write(tmp_path, {"core_v2": given}, 1000, 2000) == ()
    result = read(tmp_path, "*-result.json")
    assert re.match(r"Recommendation on core_v2: choose \w+ for ", result["name"])
    assert result["status"] == "skipped", "green beside a block would look like a pass"
    assert "statusDetails" not in result, "Allure would call it an error"
    assert (result["start"], result["stop"]) == (999, 999)
    assert {label["name"]: label["value"] for label in result["labels"]} == {
        "feature": "Recommendation",
        "story": "core_v2",
        "suite": "Recommendation",
        "severity": "critical",
        "framework": "pytest",
    }
    text = result["description"]
    assert text.startswith("### Recommendation: choose ")
    assert "| variant&emsp; | success&emsp; | cost&emsp; |" in text
    assert "<" not in text
    assert text.endswith(
        "With charts: *Trade-off* under *Global Attachments* (in Allure 2: *Run*).\n"
    )


def test_who_it_is_does_not_depend_on_what_is_chosen(tradeoff: Make) -> None:
    first = weighed.recommendation("core_v2", tradeoff(), 1000)
    second = weighed.recommendation("core_v2", "the store is empty", 5000)
    other = weighed.recommendation("other_v1", tradeoff(), 1000)
    for key in ("uuid", "historyId", "testCaseId", "fullName"):
        assert first[key] == second[key] != other[key]


def test_where_there_is_no_trade_off_it_says_why(
    tmp_path: Path, tradeoff: Make, rendered: list[tuple[Any, bool]]
) -> None:
    weighed.write(tmp_path, {"core_v2": tradeoff()}, 1000, 2000)
    weighed.write(tmp_path, {"core_v2": "the reference 'plain' has no stored run"}, 3000, 4000)
    result = read(tmp_path, "*-result.json")
    assert (result["name"], result["status"]) == ("Recommendation on core_v2: none", "skipped")
    assert result["statusDetails"]["message"] == (
        "no trade-off of core_v2: the reference 'plain' has no stored run; modellab compare "
        "--task-set core_v2 runs what is missing"
    )
    assert read(tmp_path, "performance.json") == []
    assert len(list(tmp_path.iterdir())) == 2  # the page of the session before is gone
    assert len(rendered) == 1


def test_the_page_belongs_to_the_whole_report(
    tmp_path: Path, tradeoff: Make, rendered: list[tuple[Any, bool]]
) -> None:
    first, second = tradeoff(), tradeoff()
    for _ in range(2):  # writing again adds no file
        weighed.write(tmp_path, {"a_v1": first, "b_v1": second}, 1000, 2000)
    assert rendered == [((first, second), False)] * 2
    (attachment,) = read(tmp_path, "*-globals.json")["attachments"]
    assert (attachment["name"], attachment["type"]) == ("Trade-off", "text/html")
    assert (tmp_path / attachment["source"]).read_text() == "<!doctype html><p>the page"
    assert attachment["source"].endswith("-attachment.html")
    assert len(list(tmp_path.iterdir())) == 5


def test_without_matplotlib_there_is_a_note(
    tmp_path: Path, tradeoff: Make, monkeypatch: pytest.MonkeyPatch, report: Make
) -> None:
    def render(*_: Any, **__: Any) -> str:
        raise ModellabError("matplotlib is not installed: pip install 'pytest-modellab[report]'")

    monkeypatch.setattr(page, "render", render)
    notes = allure_report.write_session(tmp_path, report(), {"core_v2": tradeoff()})
    assert notes == (
        "--alluredir: no trade-off page: matplotlib is not installed: "
        "pip install 'pytest-modellab[report]'",
    )
    assert list(tmp_path.glob("*-globals.json")) == []
    name = weighed.recommendation("core_v2", tradeoff(), 0)["uuid"]
    assert read(tmp_path, f"{name}-result.json")["status"] == "skipped"


def test_the_metrics(tmp_path: Path, tradeoff: Make) -> None:
    given = tradeoff()
    weighed.write(tmp_path, {"core_v2": given}, 1000, 2000)
    found = {one["key"]: one for one in read(tmp_path, "performance.json")}
    name = given.reference
    profile = given.profile(name)
    p95 = found.pop(f"core_v2.{name}.latency_ms_p95")
    assert p95.pop("value") == pytest.approx(1000 * profile.latency.p95.value, rel=1e-3)
    assert len({one["id"] for one in found.values()} | {p95.pop("id")}) == len(found) + 1
    assert p95 == {
        "key": f"core_v2.{name}.latency_ms_p95",
        "start": 1000,
        "stop": 2000,
        "title": name,
        "unit": "ms",
        "better": "lower",
        "group": "core_v2.latency_ms_p95",
        "groupTitle": "Latency, 95th percentile, core_v2",
    }
    assert found[f"core_v2.{name}.success"]["better"] == "higher"
    assert len(found) + 1 == 6 * len(given.profiles)


def test_only_what_was_measured_is_a_metric(tradeoff: Make) -> None:
    (profile, *_) = tradeoff(timed=False).profiles
    assert list(weighed.metrics(profile)) == ["success", "risk"]


def test_the_times_are_those_of_our_tests(tmp_path: Path, tradeoff: Make, report: Make) -> None:
    for number, label in enumerate(("nodeid", "nodeid", "suite")):
        text = {"start": 5000 - 10 * number, "stop": 6000 + number, "uuid": str(number)}
        labels = {"labels": [{"name": label, "value": "t.py::test"}]}
        (tmp_path / f"{number}-result.json").write_text(json.dumps(text | labels))
    allure_report.write_session(tmp_path, report(), {"core_v2": tradeoff()})
    (metric, *_) = read(tmp_path, "performance.json")
    assert (metric["start"], metric["stop"]) == (4990, 6001)


def test_metrics_and_a_search_are_drawn_too(tmp_path: Path, tradeoff: Make, search: Make) -> None:
    run, given = search(), tradeoff(only=["prompting"])
    (profile,) = given.profiles
    profile = dataclasses.replace(profile, metrics=run.metrics, probes=run.probes)
    weighed.write(tmp_path, {"fiqa": dataclasses.replace(given, profiles=(profile,))}, 1000, 2000)
    found = {
        one["key"].removeprefix("fiqa.prompting."): (
            one["value"],
            one["unit"],
            one["better"],
            one["groupTitle"],
        )
        for one in read(tmp_path, "performance.json")
    }
    expected = {
        "recall@100": (0.7, "", "higher", "recall@100, fiqa"),
        "index_recall@10": (
            0.97,
            "",
            "higher",
            "index recall@10 (the index's, not the model's), fiqa",
        ),
        "exact:ndcg@10": (0.29, "", "higher", "ndcg@10 of exact search, fiqa"),
        "index_bytes_per_document": (1536.0, "B/doc", "lower", "Index, fiqa"),
        "documents_per_second": (43.2, "docs/s", "higher", "Encoding, fiqa"),
        "query_ms_p50": (9.0, "ms", "lower", "Query p50, fiqa"),
        "query_ms_p95": (14.1, "ms", "lower", "Query p95, fiqa"),
        "usd_per_million_documents": (0.65, "$", "lower", "Per million documents, fiqa"),
    }
    assert {key: found[key] for key in expected} == expected
    text = read(tmp_path, "*-result.json")["description"]
    assert "- prompting: index: recall&#64;10 0.97 of exact search; exact search over" in text
    assert "| index recall&#64;10 (the index's, not the model's)&emsp; |" in text
