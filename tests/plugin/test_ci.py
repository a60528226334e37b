"""What continuous integration reads: GitHub's annotations and summary, JUnit XML."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modellab.baselines import file
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.plugin import fixtures


@pytest.fixture
def blocked(project: pytest.Pytester, update: Callable[..., None]) -> pytest.Pytester:
    """The project with a baseline of `plain` that every run of it is much worse than."""
    update("-k", "plain")
    path = project.path / "baselines" / "words" / "plain.json"
    baseline = file.read(path)
    assert baseline is not None
    samples = tuple(dataclasses.replace(s, score=1.0, output="right") for s in baseline.run.samples)
    run = dataclasses.replace(baseline.run, samples=samples)
    file.write(path, dataclasses.replace(baseline, run=run))
    return project


@pytest.fixture
def summary(blocked: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a GitHub Actions run whose repository holds the project."""
    path = blocked.path / "step_summary.md"
    path.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(blocked.path.parent))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def commands(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("::")]


def line_of(project: pytest.Pytester, test: str) -> int:
    lines = (project.path / "test_suite.py").read_text().splitlines()
    return lines.index(f"def {test}") + 1


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["serial", "n2"])
def test_github_marks_the_tests_and_shows_the_report(
    blocked: pytest.Pytester, summary: Path, workers: list[str]
) -> None:
    if workers:
        pytest.importorskip("xdist")
    result = blocked.runpytest_inprocess(
        "-p",
        "no:pytest_github_actions_annotate_failures",
        "-k",
        "plain",
        "--modellab-markdown",
        "report.md",
        "--junitxml",
        "junit.xml",
        *workers,
    )
    result.assert_outcomes(failed=3, passed=1)
    at = f"file={blocked.path.name}/test_suite.py,line="
    capability, overall = (
        line_of(blocked, f"{name}:")
        for name in (
            "test_capability(candidate, capability, gate)",
            "test_overall(candidate, gate)",
        )
    )
    found = commands(result)
    assert [line.partition("title")[0] for line in found if " BLOCK::" in line] == [
        f"::error {at}{overall},",
        f"::error {at}{capability},",
        f"::error {at}{capability},",
    ]
    assert (
        "title=modellab%3A plain against own baseline%2C words%2C alpha%3A BLOCK::"
        "blocked: alpha fell from 1.00 to 0." in found[1]
    )
    assert summary.read_text() == "before\n" + (blocked.path / "report.md").read_text()
    suite = ET.parse(blocked.path / "junit.xml").getroot()  # noqa: S314 pytest wrote it
    verdicts = {
        case.attrib["name"]: {
            found.attrib["name"]: found.attrib["value"] for found in case.iter("property")
        }
        for case in suite.iter("testcase")
    }
    assert len(verdicts) == 4
    alpha = verdicts["test_capability[plain-alpha]"]
    assert alpha["modellab_verdict"] == "block"
    assert alpha["modellab_bucket"] == "alpha"
    assert float(alpha["modellab_drop"]) > 0.2
    assert verdicts["test_worst_bucket[plain]"]["modellab_assertion"] == "worst_bucket"


def test_github_can_be_switched_off(blocked: pytest.Pytester, summary: Path) -> None:
    result = blocked.runpytest_inprocess("-k", "plain", "--modellab-github=off")
    result.assert_outcomes(failed=3, passed=1, deselected=4)
    assert commands(result) == []
    assert summary.read_text() == "before\n"


def test_elsewhere_github_is_told_nothing(
    blocked: pytest.Pytester, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert commands(blocked.runpytest_inprocess("-k", "plain")) == []
    assert summary.read_text() == "before\n"


def test_the_plugin_that_annotates_failures_is_left_to_it(
    blocked: pytest.Pytester, summary: Path
) -> None:
    (blocked.path / "conftest.py").write_text(
        "def pytest_configure(config):\n"
        "    config.pluginmanager.register(object(), 'pytest_github_actions_annotate_failures')\n"
    )
    assert commands(blocked.runpytest_inprocess("-k", "plain")) == []
    assert "Model gate: BLOCK" in summary.read_text()


def test_a_summary_that_cannot_be_written_is_a_note_and_fails_nothing(
    blocked: pytest.Pytester, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(blocked.path))
    result = blocked.runpytest_inprocess("-k", "test_worst_bucket and plain")
    result.assert_outcomes(passed=1, deselected=7)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [f"note: GITHUB_STEP_SUMMARY: '{blocked.path}': not written: Is a directory"]
    )


def test_github_takes_auto_or_off(pytester: pytest.Pytester) -> None:
    (pytester.path / "modellab.toml").write_text("")
    pytester.makeini("[pytest]\nmodellab_github = always\n")
    result = pytester.runpytest_subprocess()  # in this process pytest would forget its markers
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*modellab_github: 'always' is none of auto, off"])


def test_a_verdict_without_figures_has_its_properties() -> None:
    comparison = Comparison(
        assertion="no_regression",
        test="t.py::test",
        task_set="words",
        candidate="plain",
        kind="prompted",
        against="baseline of base",
        capability=None,
        verdict="pass",
        figures=(),
        family=1,
        share=0.05,
    )
    found = dict(fixtures._junit_properties(comparison))
    assert found["modellab_verdict"] == "pass"
    assert found["modellab_capability"] == "all"
    assert "modellab_bucket" not in found
