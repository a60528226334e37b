"""A damaged model is blocked, by name; an undamaged one is not, however it is batched."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modellab import scorers
from pytest_modellab.judging.drop import no_regression
from pytest_modellab.judging.question import Question
from pytest_modellab.lab.jobs import job_of
from pytest_modellab.lab.lab import Lab
from pytest_modellab.records.asked import Budget
from pytest_modellab.runs import runner
from pytest_modellab.runs.executor import InProcess

ROOT = Path(__file__).parents[2]

DAMAGED = """
[variants.rtn3]
kind = "quantized"
base = "prompting"
method = "rtn"
bits = 3
group_size = 576

[variants.rtn2]
kind = "quantized"
base = "prompting"
method = "rtn"
bits = 2
"""

SUITE = """
import pytest

pytestmark = [pytest.mark.task_set("assistant_core_v2"), pytest.mark.variants("rtn3", "rtn2")]

def test_capability_cost(candidate, capability, gate):
    gate.no_regression(candidate, capability=capability, against="base")

def test_overall_cost(candidate, gate):
    gate.no_regression(candidate, against="base")

def test_forgetting(candidate, gate):
    gate.no_forgetting(candidate)
"""


def test_damaged_model_is_blocked_and_the_lost_capabilities_are_named(
    pytester: pytest.Pytester, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELLAB_CACHE", str(cache))
    declared = (ROOT / "suites" / "modellab.toml").read_text()
    for old, new in (
        ('"../baselines"', f'"{ROOT}/baselines"'),
        ('"tasks/', f'"{ROOT}/suites/tasks/'),
        ('"prompts/', f'"{ROOT}/suites/prompts/'),
    ):
        assert old in declared
        declared = declared.replace(old, new)
    (pytester.path / "modellab.toml").write_text(declared + DAMAGED)
    pytester.makepyfile(test_damaged=SUITE)
    quick = ("--modellab-json", "report.json", "--modellab-diagnose", "off")
    result = pytester.runpytest_subprocess(*quick)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    report = json.loads((pytester.path / "report.json").read_text())
    assert report["verdict"] == "block"
    for variant in ("rtn3", "rtn2"):
        lost = [
            comparison["capability"]
            for comparison in report["comparisons"]
            if comparison["candidate"] == variant and comparison["verdict"] == "block"
        ]
        assert None in lost, "the mean over all samples"
        assert "arithmetic" in lost
        (forgetting,) = (
            comparison["figures"]
            for comparison in report["comparisons"]
            if comparison["candidate"] == variant and comparison["assertion"] == "no_forgetting"
        )
        assert "arithmetic" in {one["name"] for one in forgetting if one["verdict"] == "block"}
    result.stdout.fnmatch_lines(
        ["*BLOCK arithmetic against baseline of prompting: arithmetic fell*"]
    )


def test_the_base_against_itself_is_never_blocked(
    make_lab: Callable[[], Lab], tmp_path: Path
) -> None:
    import torch

    lab = make_lab()
    name, task_set = "prompting", lab.task_set("assistant_core_v2")
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        job = job_of(lab.variant(name), task_set, lab.extensions, reuse=True)
        executor = InProcess(tmp_path, lambda _: lab.engine(lab.variant(name)))
        record, _ = runner.run(dataclasses.replace(job, budget=200), scorers.SCORERS, executor)
    finally:
        torch.set_num_threads(threads)
    accepted = lab.baseline(name, task_set.name).run
    for capability in (None, *task_set.capabilities):
        question = Question(
            assertion="no_regression",
            test="",
            spec=lab.spec(name),
            task_set=task_set,
            against="own baseline",
            budget=Budget(share=0.05, alpha=0.05),
            candidate=record,
            reference=accepted,
        )
        comparison = no_regression(question, capability=capability, margin=0.0)
        assert comparison.verdict != "block", comparison.figures
        assert len(comparison.flips) <= 0.02 * len(task_set.samples)
