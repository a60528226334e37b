"""Multiple choice asked in words, beside a run by likelihood of the same random model."""

from __future__ import annotations

import pytest

from pytest_modellab import cli

WORDED = """
[variants.worded]
kind = "prompted"
base = "plain"
prompt = "prompt.jinja"
scoring = "generated"
"""

SUITE = """
import pytest

pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("worded")]

def test_own(candidate, gate):
    gate.no_regression(candidate)

def test_base(candidate, gate):
    gate.no_regression(candidate, against="base")

def test_probability(candidate, gate):
    gate.no_regression(candidate, metric="probability", margin=0.1)
"""


def test_runs_in_words_and_by_likelihood_are_kept_apart(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.path)
    with (project.path / "modellab.toml").open("a") as file:
        file.write(WORDED)
    assert cli.main(["accept", "plain", "worded"]) == 0
    for test in project.path.glob("test_*.py"):
        test.unlink()
    (project.path / "test_worded.py").write_text(SUITE)
    apart = (
        'multiple choice is asked in words (scoring = "generated") here, and was scored by '
        "likelihood (scoring = \"likelihood\") in the run of 'plain': set the same scoring on both"
    )
    result = project.runpytest()
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            f"'worded' cannot be compared with baseline of plain on 'words': {apart}.*",
            "metric 'probability': the run of 'worded' on 'words' was asked multiple choice in "
            'words (scoring = "generated"), which tells no likelihoods: *',
        ]
    )
    capsys.readouterr()
    named = ["--variant", "plain", "--variant", "worded"]
    assert cli.main(["compare", *named, "--no-latency"]) == 1  # of what was named one is left out
    assert f"note: worded is left out: {apart}\n" in capsys.readouterr().out
    assert cli.main(["diff", "plain", "worded"]) == 0
    assert ", multiple choice in words, mean 0." in capsys.readouterr().out
