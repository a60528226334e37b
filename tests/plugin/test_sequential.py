"""Sequential mode: no more samples than a verdict needs, and the same verdicts everywhere."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.baselines import file
from pytest_modellab.runs import answering, executor, stages
from pytest_modellab.runs.job import Job
from pytest_modellab.store.runs import StoredRun
from pytest_modellab.tasksets import jsonl

pytestmark = pytest.mark.usefixtures("warmed")

DIE = """
import os
from pytest_modellab.runs import executor

original = executor.answer
done = []

def dying(*arguments):
    if len(done) == 2:
        os._exit(3)
    done.append(1)
    return original(*arguments)

executor.answer = dying
"""


def sequential(project: pytest.Pytester, *arguments: str) -> tuple[pytest.RunResult, Any]:
    """Run, and read the report."""
    path = project.path / "report.json"
    named = ("--modellab-sequential", "--modellab-json", str(path), *arguments)
    result = project.runpytest_inprocess(*named)
    return result, json.loads(path.read_text())


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the runs that were made in this process, not read from the store."""
    sizes: list[int] = []
    original = answering.answer

    def counted(job: Job, *arguments: Any) -> StoredRun:
        sizes.append(len(job.task_set.samples))
        return original(job, *arguments)

    monkeypatch.setattr(executor, "answer", counted)
    return sizes


def rewrite(project: pytest.Pytester, variant: str, score: float) -> None:
    """Rewrite a recorded baseline as if every sample had had this score."""
    path = project.path / "baselines" / "words" / f"{variant}.json"
    baseline = file.read(path)
    assert baseline is not None
    samples = tuple(dataclasses.replace(s, score=score, output="old") for s in baseline.run.samples)
    run = dataclasses.replace(baseline.run, samples=samples)
    file.write(path, dataclasses.replace(baseline, run=run))


@pytest.fixture
def recorded(
    project: pytest.Pytester, update: Callable[..., None], answered: list[int]
) -> pytest.Pytester:
    update()
    answered.clear()
    return project


def test_an_unchanged_variant_passes_on_fewer_samples(
    recorded: pytest.Pytester, answered: list[int]
) -> None:
    result, report = sequential(recorded, "-k", "plain", "--modellab-markdown", "report.md")
    result.assert_outcomes(passed=4, deselected=4)
    looked = [comparison["looked"] for comparison in report["comparisons"]]
    most = max(one["used"] for one in looked)
    assert sum(answered) == most < 132, "what the most demanding test needs"
    assert report["runs"][0]["n"] == most
    assert {one["total"] for one in looked} == {132}
    assert {one["seed"] for one in looked} == {0}
    assert len({one["used"] for one in looked}) > 1, "the tests stop at looks of their own"
    line = f"sequential: {most} of 132 samples, {132 - most} saved (*%); most for *"
    result.stdout.fnmatch_lines([f"  {line}"])
    assert f"plain: sequential: {most} of 132" in (recorded.path / "report.md").read_text()
    answered.clear()
    again, second = sequential(recorded, "-k", "plain")
    again.stdout.fnmatch_lines(["*ms/sample (stored)*"])
    assert answered == []
    assert second["comparisons"] == report["comparisons"]


def test_a_regression_blocks_on_fewer_samples_and_says_so(
    recorded: pytest.Pytester, answered: list[int]
) -> None:
    rewrite(recorded, "plain", 1.0)
    result, report = sequential(recorded, "-k", "test_overall and plain")
    result.assert_outcomes(failed=1, deselected=7)
    (comparison,) = report["comparisons"]
    used = comparison["looked"]["used"]
    assert sum(answered) == used < 70
    assert comparison["figures"][0]["n"] == used
    assert len(comparison["flips"]) <= used
    result.stdout.fnmatch_lines(
        [
            f"*blocked: the mean score fell from 1.00 to 0.* (n = {used})*",
            f"*note: sequential: stopped at look * of 10, after {used} of 132 samples *",
        ]
    )


def test_a_margin_of_zero_saves_nothing_and_the_report_says_why(recorded: pytest.Pytester) -> None:
    result, _ = sequential(recorded, "-k", "test_overall and plain", "--modellab-margin=0")
    result.stdout.fnmatch_lines(
        ["  sequential: *1?? of 132 samples*all samples, which cannot pass at an allowed drop of 0"]
    )


def test_two_workers_give_the_serial_report(recorded: pytest.Pytester, answered: list[int]) -> None:
    pytest.importorskip("xdist")
    rewrite(recorded, "rounded", 1.0)
    serial, report = sequential(recorded)
    parallel, parallel_report = sequential(recorded, "-n2", "--modellab-no-cache")
    assert parallel.parseoutcomes() == serial.parseoutcomes()
    assert {c["verdict"] for c in report["comparisons"]} == {"block", "pass"}
    for key in ("comparisons", "runs", "verdict", "next", "headline"):
        assert parallel_report[key] == report[key]


def test_a_run_that_dies_between_stages_goes_on(
    recorded: pytest.Pytester, answered: list[int]
) -> None:
    conftest = recorded.path / "conftest.py"
    conftest.write_text(DIE)
    chosen = ("-k", "test_overall and plain")
    died = recorded.runpytest_subprocess("--modellab-sequential", *chosen)
    assert died.ret == 3
    conftest.unlink()
    result, report = sequential(recorded, *chosen)
    result.assert_outcomes(passed=1, deselected=7)
    used = report["comparisons"][0]["looked"]["used"]
    whole = jsonl.read(recorded.path / "words", lambda _: None)
    first = stages.cut(whole).first(2)
    assert sum(answered) == used - len(first.samples)


def test_changed_samples_are_refused_before_any_is_compared(recorded: pytest.Pytester) -> None:
    samples = recorded.path / "words" / "samples.jsonl"
    samples.write_text(samples.read_text().replace('"target": 0', '"target": 1', 1))
    result, report = sequential(recorded, "-k", "test_overall and plain")
    result.assert_outcomes(failed=1, deselected=7)
    assert "1 samples were changed, added or removed: " in report["errors"][0]["message"]
    assert "has hash " in report["errors"][0]["message"]


def test_drift_and_forgetting(recorded: pytest.Pytester, answered: list[int]) -> None:
    (recorded.path / "test_suite.py").write_text(
        "import pytest\n"
        "pytestmark = pytest.mark.variants('rounded')\n"
        "def test_drift(candidate, gate):\n"
        "    gate.no_drift(candidate)\n"
        "def test_forgetting(candidate, gate):\n"
        "    gate.no_forgetting(candidate, margin=0.4)\n"
    )
    rewrite(recorded, "plain", 1.0)
    path = recorded.path / "baselines" / "words" / "plain.json"
    baseline = file.read(path)
    assert baseline is not None
    assert baseline.repeat is not None
    repeat = dataclasses.replace(baseline.repeat, scores=(1.0,) * 132)
    file.write(path, dataclasses.replace(baseline, repeat=repeat))
    result, report = sequential(recorded)
    result.assert_outcomes(passed=1, failed=1)
    found = {c["assertion"]: (c["verdict"], c["looked"]["used"]) for c in report["comparisons"]}
    assert found["no_drift"][0] == "pass"
    assert found["no_forgetting"][0] == "block"
    assert max(used for _, used in found.values()) < 132


def test_an_accepted_run_is_complete(write_project: Callable[[], pytest.Pytester]) -> None:
    project = write_project()
    result = project.runpytest_inprocess("--modellab-sequential", "--modellab-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "*--modellab-sequential and --modellab-update exclude each other: an accepted run*"
            "leave one out (one that is set in an ini file: -o modellab_sequential=false)"
        ]
    )
    project.makeini("[pytest]\nmodellab_sequential = true\n")
    assert project.runpytest_inprocess("--modellab-update").ret == pytest.ExitCode.USAGE_ERROR
