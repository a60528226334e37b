from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.reports import allure_report
from pytest_modellab.reports.allure_report import entries, settings
from pytest_modellab.reports.session import TestError, headline

Make = Callable[..., Any]


def result(folder: Path, name: str, **changes: Any) -> Path:
    path = folder / f"{name}-result.json"
    values = {
        "uuid": name,
        "status": "passed",
        "labels": [
            {
                "name": "nodeid",
                "value": "suites/test_quantized.py::test_capability[nf4-arithmetic]",
            },
            {"name": "variant", "value": "nf4"},
            {"name": "variant", "value": "nf4"},
        ],
    }
    path.write_text(json.dumps({**values, **changes}))
    return path


def test_what_the_session_writes(report: Make, run: Make, tmp_path: Path) -> None:
    result(tmp_path, "earlier", labels=[{"name": "variant", "value": "fp4"}])
    runs = (
        run(environment={"python": "3.11.2", "device": "cpu", "plan": {"a": 1}}),
        run(variant="int8", environment={"python": "3.11.2", "device": "cuda:0\n\u00e9"}),
    )
    for _ in range(2):  # writing again adds no file
        allure_report.write_session(tmp_path, [report(runs=runs)])
    verdict = entries.verdict(report(runs=runs), 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{verdict['uuid']}-result.json",
        "allurerc.mjs",
        "categories.json",
        "earlier-result.json",
        "environment.properties",
    ]
    assert (tmp_path / "environment.properties").read_text() == (
        "alpha = 0.05\n"
        "assertions = 10\n"
        "device = cpu, cuda:0\\\\n\\u00e9\n"
        "on_inconclusive = warn\n"
        "python = 3.11.2\n"
        "verdict = inconclusive\n"
    )
    config = (tmp_path / "allurerc.mjs").read_text()
    for variant in ("fp4", "int8", "nf4"):
        assert (
            f'"{variant}": {{ name: "{variant}", matcher: has("variant", "{variant}") }},' in config
        )
    assert 'name: "Model gate: INCONCLUSIVE",' in config
    assert "singleFile: true" in config
    order = [config.index(f'"{name}": {{') for name in ("Verdict", "Recommendation", "fp4")]
    assert order == sorted(order)


def test_the_history_lies_beside_the_results(tmp_path: Path) -> None:
    folder = tmp_path / "allure-results"
    assert allure_report.history_path(folder) == tmp_path / "allure-results-history.jsonl"
    config = settings.config([], "pass")
    assert "historyPath: join(dirname(results), `${basename(results)}-history.jsonl`)," in config
    assert "appendHistory: true," in config


def test_environment_ids_are_what_allure_takes() -> None:
    config = settings.config(["q4.k", "q4-k", "a.b"], "pass")
    assert '"q4-k": { name: "q4.k", matcher: has("variant", "q4.k") },' in config
    assert '"q4-k-2": { name: "q4-k", matcher: has("variant", "q4-k") },' in config
    assert '"a-b": { name: "a.b"' in config


def test_categories() -> None:
    rules = {rule["name"]: rule for rule in json.loads(settings.categories_json())}
    assert list(rules) == [
        "verdict",
        "regression",
        "floor",
        "inconclusive",
        "missing baseline",
        "infrastructure",
    ]
    assert rules["regression"] == {
        "name": "regression",
        "matchedStatuses": ["failed"],
        "messageRegex": r"[\s\S]*\bRegressionDetected\b[\s\S]*",
    }
    assert rules["inconclusive"]["matchedStatuses"] == ["failed", "unknown", "passed"]
    assert rules["verdict"] == {
        "name": "verdict",
        "matchedStatuses": ["failed", "broken", "unknown"],
        "messageRegex": r"[\s\S]*\bModel gate\b[\s\S]*",
    }
    assert rules["infrastructure"] == {"name": "infrastructure", "matchedStatuses": ["broken"]}


def test_names_in_the_categories_are_those_that_are_raised() -> None:
    from pytest_modellab import errors

    known = (None, settings.TITLE)
    named = [error for _, _, error in settings._CATEGORIES if error not in known]
    assert all(issubclass(getattr(errors, str(name)), AssertionError) for name in named)


@pytest.mark.parametrize(
    ("nodeid", "name", "full_name"),
    [
        ("suites/test_q.py::test_a[nf4-x::y]", "test_a[nf4-x::y]", "suites.test_q#test_a"),
        ("test_q.py::TestA::test_b", "test_b", "test_q.TestA#test_b"),
        ("suites/notes.txt", "suites/notes.txt", "suites.notes.txt#suites/notes.txt"),
    ],
)
def test_a_crashed_test_is_broken(nodeid: str, name: str, full_name: str, tmp_path: Path) -> None:
    path = allure_report.crashed(tmp_path, nodeid, "worker gw1 died", variant="nf4", task_set="t")
    written = json.loads(path.read_text())
    assert path.name == f"{written['uuid']}-result.json"
    assert (written["name"], written["fullName"]) == (name, full_name)
    assert written["status"] == "broken"
    assert written["statusDetails"] == {"message": "worker gw1 died"}
    labels = {label["name"]: label["value"] for label in written["labels"]}
    assert labels["variant"] == labels["feature"] == "nf4"
    assert labels["nodeid"] == nodeid
    assert labels["task_set"] == "t"
    assert "capability" not in labels


def test_an_inconclusive_test_has_a_status_and_a_reason(
    report: Make, comparison: Make, tmp_path: Path
) -> None:
    green = result(tmp_path, "green", description="What the test is for.")
    red = result(tmp_path, "red", status="failed", statusDetails={"message": "own"})
    other = result(tmp_path, "other", labels=[{"name": "nodeid", "value": "t.py::else"}])
    (tmp_path / "half-result.json").write_text('{"uuid": ')
    before = other.read_text()
    for _ in range(2):  # writing again changes nothing
        allure_report.write_session(tmp_path, [report(comparisons=(comparison("inconclusive"),))])
    shown = json.loads(green.read_text())
    why = (
        "undecided: arithmetic fell from 0.62 to 0.59 (n = 66); with this many samples a drop of "
        "0.15 is noticed in 4 of 5 runs; about 310 more samples would settle it"
    )
    assert shown["statusDetails"] == {"message": f"VerdictInconclusive: {why}"}
    assert shown["description"] == "What the test is for."
    assert shown["status"] == "unknown"
    assert [label["name"] for label in shown["labels"]] == ["nodeid", "variant"]
    assert json.loads(red.read_text())["statusDetails"] == {"message": "own"}
    assert other.read_text() == before


def test_where_inconclusive_is_to_pass_a_test_stays_green(
    report: Make, comparison: Make, tmp_path: Path
) -> None:
    green = result(tmp_path, "green")
    judged = report(comparisons=(comparison("inconclusive"),), on_inconclusive="pass")
    allure_report.write_session(tmp_path, [judged])
    shown = json.loads(green.read_text())
    assert shown["status"] == "passed"
    assert shown["statusDetails"]["message"].startswith("VerdictInconclusive: undecided: ")


@pytest.mark.parametrize(
    ("verdict", "changes", "status"),
    [
        ("block", {}, "failed"),
        ("inconclusive", {}, "unknown"),
        ("inconclusive", {"on_inconclusive": "fail"}, "failed"),
        ("pass", {}, "passed"),
    ],
)
def test_the_verdict_is_an_entry_before_all_others(
    report: Make, comparison: Make, verdict: str, changes: dict[str, str], status: str
) -> None:
    judged = report(comparisons=(comparison(verdict),), **changes)
    found = entries.verdict(judged, 1000)
    assert (found["status"], found["start"], found["stop"]) == (status, 998, 998)
    assert found["name"] == headline(judged)
    assert {"name": "feature", "value": "Verdict"} in found["labels"]
    assert found["description"].startswith("## Model gate: ")
    if status == "passed":
        assert "statusDetails" not in found
    else:
        message = found["statusDetails"]["message"].splitlines()
        assert message[0] == f"Model gate: {headline(judged)}"
        assert message[1] == "next:"


def test_an_error_breaks_the_verdict(report: Make) -> None:
    error = TestError("t.py::test_a", "nf4", "no model", "ModelError")
    found = entries.verdict(report(errors=(error,)), 1000)
    assert found["status"] == "broken"
    assert found["name"].startswith("ERROR: 1 test reached no verdict")


# --- what is left of the fixtures ----------------------------------------------------------------


def container(folder: Path, name: str, befores: list[Any], **changes: Any) -> Path:
    path = folder / f"{name}-container.json"
    path.write_text(json.dumps({"uuid": name, "befores": befores, "children": ["a"], **changes}))
    return path


def step(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "status": "passed", "start": 1, "stop": 2, **changes}


def test_what_only_says_that_our_fixtures_ran_goes(report: Make, tmp_path: Path) -> None:
    result(tmp_path, "a")
    after = {"name": "gate::<lambda>", "start": 1}  # as allure-pytest writes those: no status
    container(tmp_path, "gate", [step("gate")], afters=[after])
    container(tmp_path, "lab", [step("lab")], afters=[step("lab::1")], children=["a", "a"])
    container(tmp_path, "childless", [step("capability")], children=[])
    container(tmp_path, "several", [step("task_set"), step("candidate", attachments=[])])
    allure_report.write_session(tmp_path, [report()])
    assert list(tmp_path.glob("*-container.json")) == []
    assert (tmp_path / "a-result.json").is_file()


@pytest.mark.parametrize(
    ("befores", "changes"),
    [
        ([step("database")], {}),
        ([step("gate"), step("database")], {}),
        ([step("gate", status="broken", statusDetails={"message": "no"})], {}),
        ([step("gate", status="failed")], {}),
        ([step("candidate", attachments=[{"name": "log"}])], {}),
        ([step("candidate", steps=[{"name": "load"}])], {}),
        ([step("gate")], {"afters": [step("database::1")]}),
        ([step("gate")], {"afters": [step("gate::1", status="broken")]}),
        ([step("capability")], {"children": ["a", "of another plugin"]}),
        ([], {}),
    ],
)
def test_a_fixture_that_is_not_ours_or_says_more_stays(
    report: Make, tmp_path: Path, befores: list[Any], changes: dict[str, Any]
) -> None:
    result(tmp_path, "a")
    kept = container(tmp_path, "kept", befores, **changes)
    before = kept.read_text()
    (tmp_path / "half-container.json").write_text('{"uuid": ')
    allure_report.write_session(tmp_path, [report()])
    assert kept.read_text() == before
