"""A task set that is too small to pass says so before it is run, and again where it did not."""

from __future__ import annotations

import pytest
from outcomes import assert_outcomes

MEAN = (
    "note: words: 132 samples cannot pass at margin = 0.02 (all samples), even if nothing changed: "
    "149 would, or margin = 0.03 with these"
)
CAPABILITY = (
    "note: words: 66 samples cannot pass at capability_margin = 0.02 (capability alpha), even if "
    "nothing changed: 149 would, or capability_margin = 0.05 with these; 1 more is too small"
)


def test_at_collection_and_in_the_summary_once_a_task_set(project: pytest.Pytester) -> None:
    recorded = project.runpytest_inprocess("--modellab-update", "--modellab-margin=0.02")
    assert recorded.stdout.str().count(MEAN) == 1, "with its verdict"
    result = project.runpytest_inprocess("--modellab-margin=0.02")
    assert_outcomes(result, passed=2, inconclusive=6)
    result.stdout.fnmatch_lines(
        ["collected 8 items", CAPABILITY, MEAN, "test_suite.py ???*", "*= modellab =*"]
    )
    result.stdout.fnmatch_lines(["*= modellab =*", MEAN, CAPABILITY])
    assert result.stdout.str().count(MEAN) == result.stdout.str().count(CAPABILITY) == 2

    others = project.runpytest_inprocess("--modellab-margin=0.02", "-k", "worst_bucket")
    assert "cannot pass" not in others.stdout.str(), "nothing that is selected has a margin"
    for quiet in ("--modellab-on-inconclusive=pass", "--collect-only"):
        shown = project.runpytest_inprocess("--modellab-margin=0.02", quiet)
        assert "cannot pass" not in shown.stdout.str()


def test_a_test_s_own_margin_is_told_with_its_verdict(project: pytest.Pytester) -> None:
    suite = project.path / "test_suite.py"
    text = suite.read_text()
    suite.write_text(
        text.replace("no_regression(candidate)", "no_regression(candidate, margin=.02)")
    )
    chosen = ("-k", "overall and plain")
    project.runpytest_inprocess("--modellab-update", *chosen)
    result = project.runpytest_inprocess(*chosen)
    assert_outcomes(result, inconclusive=1, deselected=7)
    assert result.stdout.str().count(MEAN) == 1
    result.stdout.fnmatch_lines(["test_suite.py ?*", "*= modellab =*", MEAN])
