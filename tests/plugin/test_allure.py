"""What a run leaves for Allure: results, the trade-off, few files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("allure_pytest")
pytest.importorskip("matplotlib")  # of the page


@pytest.fixture
def accepted(project: pytest.Pytester, update: Callable[..., None]) -> pytest.Pytester:
    """The project with its baselines."""
    update()
    return project


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*-result.json"))]


def labels(result: dict[str, Any]) -> dict[str, str]:
    return {label["name"]: label["value"] for label in result["labels"]}


def kinds(folder: Path) -> dict[str, int]:
    """How many files there are of each kind."""
    found: dict[str, int] = {}
    for path in folder.iterdir():
        name = path.name if path.name[8:9] != "-" else path.name[37:]
        found[name] = found.get(name, 0) + 1
    return found


@pytest.mark.usefixtures("warmed")
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_results(accepted: pytest.Pytester, tmp_path: Path, workers: str) -> None:
    pytest.importorskip("xdist")
    folder = tmp_path / "results"
    accepted.runpytest_inprocess(workers, "--alluredir", str(folder)).assert_outcomes(passed=8)
    assert kinds(folder) == {
        "result.json": 10,
        "attachment.html": 1,
        "globals.json": 1,
        "performance.json": 1,
        "allurerc.mjs": 1,
        "categories.json": 1,
        "environment.properties": 1,
    }
    verdict, first, *tests = sorted(results(folder), key=lambda one: one["start"])
    assert {(labels(test)["variant"], labels(test)["kind"]) for test in tests} == {
        ("plain", "prompted"),
        ("rounded", "quantized"),
    }
    assert {labels(test).get("capability") for test in tests} == {"alpha", "beta", None}
    assert all("| bucket&emsp; | n&emsp; |" in test["description"] for test in tests)
    assert verdict["name"] == "PASS: all 8 comparisons of 2 variants passed."
    assert verdict["status"] == "passed"
    assert first["name"].startswith("Recommendation on words: ")
    assert first["status"] == "skipped"
    assert "| variant&emsp; | success&emsp; |" in first["description"]
    assert labels(first)["feature"] == "Recommendation"
    keys = {metric["key"] for metric in json.loads((folder / "performance.json").read_text())}
    assert {"words.plain.success", "words.rounded.memory_gb", "words.rounded.risk"} <= keys
    (given,) = (json.loads(path.read_text()) for path in folder.glob("*-globals.json"))
    (page,) = given["attachments"]
    assert page["name"] == "Trade-off"
    assert "rounded" in (folder / page["source"]).read_text(encoding="utf-8")


@pytest.mark.usefixtures("warmed")
def test_what_ran_anew_in_workers_is_weighed_too(accepted: pytest.Pytester, tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    accepted.runpytest_inprocess("-n2", "--modellab-no-cache", "--alluredir", str(tmp_path))
    (found,) = (one for one in results(tmp_path) if one["name"].startswith("Recommendation"))
    assert found["name"].startswith("Recommendation on words: choose ")


def test_without_a_run_of_the_reference_there_is_a_note(
    accepted: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (accepted.path / "baselines" / "words" / "plain.json").unlink()
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "another"))
    folder = tmp_path / "results"
    result = accepted.runpytest_inprocess("-k", "rounded and overall", "--alluredir", str(folder))
    result.assert_outcomes(passed=1, deselected=7)
    (found,) = (one for one in results(folder) if one["name"].startswith("Recommendation"))
    assert (found["name"], found["status"]) == ("Recommendation on words: none", "skipped")
    assert found["statusDetails"]["message"] == (
        "no trade-off of words: the reference 'plain' has no stored run on 'words'; modellab "
        "compare --task-set words runs what is missing"
    )
    assert "globals.json" not in kinds(folder)


def test_the_user_s_fixtures_stay_and_a_later_session_replaces_the_recommendation(
    accepted: pytest.Pytester, tmp_path: Path
) -> None:
    accepted.makeconftest(
        "import pytest\n@pytest.fixture(autouse=True)\ndef database():\n    yield\n"
    )
    for _ in range(2):
        accepted.runpytest_inprocess("-k", "overall", "--alluredir", str(tmp_path))
    found = [json.loads(path.read_text()) for path in tmp_path.glob("*-container.json")]
    assert [step["name"] for one in found for step in one["befores"]] == ["database"] * 4
    files = kinds(tmp_path)
    assert (files["result.json"], files["attachment.html"], files["globals.json"]) == (6, 1, 1)


def test_without_allure_nothing_is_weighed(accepted: pytest.Pytester) -> None:
    accepted.makeconftest(
        "import sys\n"
        "def pytest_unconfigure():\n"
        "    print('loaded:', sorted(set(sys.modules) & "
        "{'pytest_modellab.lab.survey', 'allure'}))\n"
    )
    result = accepted.runpytest_subprocess("-p", "no:allure_pytest", "-s", "-k", "overall")
    result.assert_outcomes(passed=2, deselected=6)
    result.stdout.fnmatch_lines(["loaded: [[]]"])
