"""Right or wrong with a graded metric beside it: margins of its own, and one sentence on both."""

from __future__ import annotations

import dataclasses
import json

import pytest

from pytest_modellab.baselines import file

SUITE = """
import pytest
pytestmark = [pytest.mark.variants("plain"), pytest.mark.alpha_weight(10)]

def test_overall(candidate, gate):
    gate.no_regression(candidate)

@pytest.mark.alpha_weight(1)
def test_overall_probability(candidate, gate):
    gate.no_regression(candidate, metric="probability")

def test_exact(candidate, gate):
    gate.no_regression(candidate, metric="probability", margin=0.0)
"""


def test_a_loss_that_no_answer_shows(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(SUITE)
    toml = project.path / "modellab.toml"
    declared = "\n[task_sets.words.metrics.probability]\nmargin = 0.03\n"
    toml.write_text(toml.read_text() + declared)
    assert project.runpytest_inprocess("--modellab-update", "-k", "overall").ret == 0
    path = project.path / "baselines" / "words" / "plain.json"
    found = file.read(path)
    assert found is not None
    surer = tuple(
        dataclasses.replace(one, metrics={**one.metrics, "probability": 1.0})
        for one in found.run.samples
    )
    file.write(path, dataclasses.replace(found, run=dataclasses.replace(found.run, samples=surer)))
    result = project.runpytest_inprocess("--modellab-json=report.json")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "*blocked: the mean score fell from 1.00 to *beyond the allowed 0.03*",
            "*note: the same samples score *",
            "*metric 'probability' at a margin of 0: batch size, threads and dtype "
            "move every probability a little in one direction*set task_sets.words.metrics."
            "probability.margin = 0.01 in modellab.toml*",
            "*all samples against own baseline: the score *probability *1.00 -> *, beyond the "
            "allowed 0.03*another calibration*",
        ]
    )
    told = json.loads((project.path / "report.json").read_text())["together"]
    assert [one["variant"] for one in told] == ["plain"]
