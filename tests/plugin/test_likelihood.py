"""``metric="likelihood"``: accepted replies are read by the candidate, on the random model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import testing
from pytest_modellab.baselines import file
from pytest_modellab.baselines.accepted import Baseline

pytestmark = pytest.mark.usefixtures("warmed")

SUITE = """
import pytest
pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("plain", "rounded")]

def test_own(candidate, gate):
    gate.no_regression(candidate, metric="likelihood", margin=0.1)

@pytest.mark.variants("rounded")
def test_base(candidate, gate):
    gate.no_regression(candidate, metric="likelihood", margin=0.1, against="base")

def test_drift(candidate, gate):
    gate.no_drift(candidate, metric="likelihood", margin=0.1)

def test_floor(candidate, gate):
    gate.worst_bucket(candidate, metric="likelihood", floor=0.0001)
"""


@pytest.fixture
def talking(project: pytest.Pytester) -> pytest.Pytester:
    """The project with a reply in place of every second choice."""
    reply = {"scorer": "exact", "target": "Paris", "choices": [], "max_tokens": 6}
    samples = testing.choice_samples(["alpha", "beta"], 8)
    samples = [s | reply if k % 2 else s for k, s in enumerate(samples)]
    testing.write_task_set(project.path / "words", samples)
    (project.path / "test_suite.py").write_text(SUITE)
    return project


def baseline(project: pytest.Pytester, variant: str) -> tuple[Path, Baseline]:
    path = project.path / "baselines" / "words" / f"{variant}.json"
    found = file.read(path)
    assert found is not None
    return path, found


def changed(project: pytest.Pytester, variant: str, **changes: Callable[[Any], Any]) -> None:
    """Rewrite the replies of an accepted run."""
    path, found = baseline(project, variant)
    samples = tuple(
        dataclasses.replace(s, **{name: make(s) for name, make in changes.items()})
        if "probability" not in s.metrics
        else s
        for s in found.run.samples
    )
    run = dataclasses.replace(found.run, samples=samples)
    file.write(path, dataclasses.replace(found, run=run))


def comparisons(project: pytest.Pytester, *arguments: str) -> dict[str, dict[str, Any]]:
    path = project.path / "report.json"
    run = project.runpytest_subprocess if "-n2" in arguments else project.runpytest_inprocess
    run("--modellab-json", str(path), *arguments)
    found = json.loads(path.read_text())["comparisons"]
    return {one["test"].partition("::")[2]: one for one in found}


def test_accepted_and_judged(talking: pytest.Pytester) -> None:
    first = talking.runpytest_inprocess("--modellab-update")
    first.assert_outcomes(passed=7)
    _, found = baseline(talking, "plain")
    assert all(0 < s.metrics["likelihood"] < 1 for s in found.run.samples if s.output)
    serial = comparisons(talking)
    assert len(serial) == 7
    assert {one["metric"] for one in serial.values()} == {"likelihood"}
    own = serial["test_own[plain]"]["figures"][0]
    assert (own["n"], own["losses"], own["gains"]) == (48, 0, 0), "it reads what it read"
    base = serial["test_base[rounded]"]["figures"][0]
    assert base["losses"] + base["gains"] > 40
    floor = serial["test_floor[plain]"]
    assert floor["notes"] == [
        "likelihood is judged on 24 of 48 samples: 24 have no accepted reply to read (it is "
        "empty, was not kept, or no run is compared with)"
    ]
    assert comparisons(talking, "-n2", "--modellab-no-cache") == serial


def test_a_reply_that_cannot_be_read_is_left_out_on_both_sides(talking: pytest.Pytester) -> None:
    talking.runpytest_inprocess("--modellab-update").assert_outcomes(passed=7)
    changed(talking, "plain", output=lambda s: "", metrics=lambda s: {})
    (found,) = comparisons(talking, "-k", "own and plain").values()
    assert found["figures"][0]["n"] == 24
    assert "likelihood is judged on 24 of 48 samples" in found["notes"][0]


def test_a_baseline_that_has_not_read_its_replies(talking: pytest.Pytester) -> None:
    talking.runpytest_inprocess("--modellab-update").assert_outcomes(passed=7)
    changed(talking, "plain", metrics=lambda s: {})
    result = talking.runpytest_inprocess("-k", "base")
    result.stdout.fnmatch_lines(
        "*the baseline of 'plain' on 'words' has no likelihood of its replies, which was not kept "
        "when it was recorded: *plain.json.*"
    )
    assert result.ret == 1
    talking.runpytest_inprocess("--modellab-update", "-k", "own").assert_outcomes(passed=2)
    talking.runpytest_inprocess("-k", "base").assert_outcomes(passed=1)


def test_another_reply_is_read_as_it_stands(talking: pytest.Pytester) -> None:
    talking.runpytest_inprocess("--modellab-update").assert_outcomes(passed=7)
    hostile = "<|im_end|>\0 \x1b[31m" + "\u202e" * 9
    changed(talking, "plain", output=lambda s: hostile, metrics=lambda s: {"likelihood": 0.9})
    (found,) = comparisons(talking, "-k", "own and plain").values()
    (figures,) = found["figures"]
    assert figures["n"] == 48
    assert found["verdict"] == "block"
