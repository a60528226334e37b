"""A limit on the samples that are asked: what is compared, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from outcomes import assert_outcomes

from pytest_modellab import cli
from pytest_modellab.baselines import file

CHOSEN = ("-k", "test_overall and plain")


def declare(project: pytest.Pytester, limit: int | None) -> None:
    toml = project.path / "modellab.toml"
    lines = [line for line in toml.read_text().splitlines() if not line.startswith("limit")]
    if limit is not None:
        lines.insert(lines.index('path = "words"') + 1, f"limit = {limit}")
    toml.write_text("\n".join(lines) + "\n")


def judged(project: pytest.Pytester, *options: str, **outcomes: int) -> str:
    result = project.runpytest_inprocess(*CHOSEN, *options)
    assert_outcomes(result, **(outcomes or {"passed": 1}), deselected=7)
    return result.stdout.str()


@pytest.fixture
def accepted(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.chdir(project.path)
    judged(project, "--modellab-update")
    return project


def baseline(project: pytest.Pytester) -> Path:
    return project.path / "baselines" / "words" / "plain.json"


def test_the_whole_baseline_is_compared_on_the_part(
    accepted: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = baseline(accepted).read_text()
    for how, said in ((("--modellab-limit", "50"), "--modellab-limit 50"), ((), "limit = 50")):
        if not how:
            declare(accepted, 50)
        out = judged(accepted, *how, "--modellab-json", "r.json", "--modellab-markdown", "r.md")
        note = f"words: 50 of 132 samples ({said})"
        assert f"note: {note}" in out
        assert note in (accepted.path / "r.md").read_text()
        report = json.loads((accepted.path / "r.json").read_text())
        (run,) = report["runs"]
        (comparison,) = report["comparisons"]
        assert run["n"] == 50
        assert comparison["figures"][0]["n"] == 50
        assert note in comparison["notes"]
        assert note in report["notes"]
        told = "samples 50 instead of 132 on words (--modellab-limit)"
        assert report["overrides"] == ([told] if how else []), "what is declared is the rule"
        assert (f"overridden: {told}" in out) == bool(how)
    capsys.readouterr()
    assert cli.main(["accept", "plain"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[0].endswith("baselines/words/plain.json is unchanged")
    )
    assert baseline(accepted).read_text() == whole
    assert cli.main(["compare", "--variant", "plain", "--no-latency", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task_set"]["limited"] == "50 of 132"
    assert cli.main(["plan", "--variant", "plain"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[:2] == [
        "words 1: 50 samples, by capability",
        "  50 of 132 samples (limit = 50)",
    ]


def test_a_task_set_that_no_test_uses_is_not_noted(accepted: pytest.Pytester) -> None:
    toml = accepted.path / "modellab.toml"
    toml.write_text(toml.read_text() + '[task_sets.others]\npath = "words"\n')
    suite = accepted.path / "test_suite.py"
    suite.write_text(
        suite.read_text() + "@pytest.mark.task_set('others')\n"
        "def test_others(candidate, capability, gate):\n"
        "    gate.no_regression(candidate, capability=capability)\n"
    )
    result = accepted.runpytest_inprocess(*CHOSEN, "--modellab-limit", "50")
    out = result.stdout.str()
    assert "note: words: 50 of 132 samples" in out
    assert "others: " not in out
    result = accepted.runpytest_inprocess("-k", "test_others and plain", "--modellab-limit", "50")
    assert "note: others: 50 of 132 samples" in result.stdout.str()


def test_a_limit_over_a_declared_one(accepted: pytest.Pytester) -> None:
    declare(accepted, 50)
    assert "overridden" not in judged(accepted, "--modellab-limit", "50")
    out = judged(accepted, "--modellab-limit", "20", inconclusive=1)
    assert "; overridden: samples 20 instead of 50 on words." in out


def test_stages_of_a_part(accepted: pytest.Pytester) -> None:
    declare(accepted, 50)
    out = judged(accepted, "--modellab-sequential", "--modellab-json", "r.json")
    report = json.loads((accepted.path / "r.json").read_text())
    looked = report["comparisons"][0]["looked"]
    assert looked["total"] == 50
    assert looked["used"] <= 50
    assert "note: words: 50 of 132 samples (limit = 50)" in out


def test_a_baseline_of_fewer_samples(accepted: pytest.Pytester) -> None:
    declare(accepted, 40)
    assert cli.main(["accept", "plain", "--new-anchor"]) == 0
    kept = file.read(baseline(accepted))
    assert kept is not None
    assert (len(kept.run.samples), kept.run.task_set["limited"]) == (40, "40 of 132")
    judged(accepted)
    judged(accepted, "--modellab-limit", "20", inconclusive=1)
    mend = "record it again, or set the limit that it had"
    for limit, asked in ((60, "60 of 132"), (None, "132")):
        declare(accepted, limit)
        out = judged(accepted, failed=1)
        assert (
            f"the reference was recorded on 40 of 132 samples, and {asked} are asked here: {mend}"
        ) in out


def test_a_baseline_of_another_version(accepted: pytest.Pytester) -> None:
    path = accepted.path / "words" / "samples.jsonl"
    lines = path.read_text().splitlines()
    declare(accepted, 50)
    judged(accepted)
    path.write_text("\n".join(lines[:-1]) + "\n")
    out = judged(accepted, failed=1)
    assert (
        "the reference was recorded on 132 samples, and 50 of 131 are asked here: record it again, "
        "or remove the limit"
    ) in out


@pytest.mark.parametrize("limit", ["0", "-1", "many", "1.5"])
def test_a_limit_that_is_no_number(project: pytest.Pytester, limit: str) -> None:
    result = project.runpytest_inprocess(f"--modellab-limit={limit}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--modellab-limit: '{limit}' is not a whole number, from 1"])


def test_a_limit_of_more_digits_than_python_reads(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess(f"--modellab-limit={'9' * 5000}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--modellab-limit: '999*… is not a whole number, from 1"])


def test_a_part_is_no_other_version(
    accepted: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(accepted, 40)
    assert cli.main(["accept", "plain", "--new-anchor"]) == 0
    capsys.readouterr()
    cli.main(["tasks", "check", "words"])
    out = capsys.readouterr().out
    assert "words: the baseline of 'plain' is of 40 of 132 samples; not calibrated\n" in out


def test_no_part_is_accepted_in_passing(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("--modellab-limit=9", "--modellab-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "*--modellab-limit and --modellab-update exclude each other: an accepted run has all "
            "samples that are declared; leave one out, or declare a limit in modellab.toml"
        ]
    )
