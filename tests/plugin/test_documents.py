"""A task set of documents, from its files to the verdict, on the random model."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from outcomes import assert_outcomes

from pytest_modellab import cli, testing

DECLARED = """
[models.other]
source = "other"
[task_sets.prose]
path = "prose"
margin = 0.002
[variants.tuned]
kind = "finetuned"
base = "plain"
model = "other"
"""

SUITE = """
import pytest
pytestmark = pytest.mark.task_set("prose")

@pytest.mark.variants("tuned")
def test_cost(candidate, gate):
    gate.no_regression(candidate, against="base")

@pytest.mark.variants("plain")
def test_own(candidate, gate):
    gate.no_regression(candidate, margin=0.9)

@pytest.mark.variants("plain")
def test_likelihood(candidate, gate):
    gate.no_regression(candidate, metric="likelihood", margin=0.9)
"""

WORDS = ("rain", "tea", "the", "hill", "opens", "café", "under", "stone", "river", "a")


@pytest.fixture
def prose(project: pytest.Pytester) -> pytest.Pytester:
    """The project with a set of documents, and a fine-tune that has forgotten how to read."""
    folder: Path = project.path / "prose" / "documents"
    (folder / "news").mkdir(parents=True)
    rng = random.Random(0)
    for number in range(60):
        place = folder / "news" if number % 2 else folder
        text = " ".join(rng.choices(WORDS, k=rng.randrange(8, 40)))
        (place / f"d{number}.txt").write_text(f"{text}.\n", encoding="utf-8")
    header = 'name = "prose"\nversion = "1"\nformat = "documents"\nwindow = 64\n'
    (project.path / "prose" / "task_set.toml").write_text(header)
    testing.write_random_model(project.path / "other", seed=5)
    with (project.path / "modellab.toml").open("a") as file:
        file.write(DECLARED)
    (project.path / "test_suite.py").write_text(SUITE)
    return project


def test_from_the_files_to_the_verdict(
    prose: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(prose.path)
    assert cli.main(["accept", "plain", "--task-set", "prose"]) == 0
    said = capsys.readouterr().out
    assert "wrote baselines/prose/plain.json" in said
    assert "0 of 60 samples (0.0%) flipped though nothing changed" in said
    assert cli.main(["tasks", "check", "prose"]) == 0, "not calibrated: it is no share of answers"

    result = prose.runpytest("--modellab-json", "report.json", "-v")
    assert_outcomes(result, passed=2, inconclusive=1)
    report = json.loads((prose.path / "report.json").read_text())
    metrics = {run["variant"]: run["metrics"] for run in report["runs"]}
    assert set(metrics["plain"]) == {
        "bits_per_byte",
        "byte_perplexity",
        "likelihood",
        "token_perplexity",
        "word_perplexity",
    }
    result.stdout.fnmatch_lines(
        ["*plain*(likelihood)*bits_per_byte=*byte_perplexity=*word_perplex*"]
    )
    capsys.readouterr()
    assert cli.main(["card", "plain"]) == 0
    assert "word_perplexity" in capsys.readouterr().out
