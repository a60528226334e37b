"""The accepted runs of a git ref stand in for those of the working tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pull_requests import git

pytestmark = pytest.mark.usefixtures("warmed")

PLAIN = ("-k", "overall and plain")


@pytest.fixture
def committed(
    project: pytest.Pytester, update: Callable[..., None], raise_baseline: Callable[[str], None]
) -> pytest.Pytester:
    """On ``main`` every sample is right; the working tree has what the model answers."""
    update(*PLAIN)
    path = project.path / "baselines/words/plain.json"
    answered = path.read_bytes()
    raise_baseline("plain")
    git(project.path, "init", "-q", "-b", "main")
    git(project.path, "add", "baselines")
    git(project.path, "commit", "-q", "-m", "first")
    path.write_bytes(answered)
    return project


@pytest.fixture
def unjudged(write_project: Callable[[], pytest.Pytester]) -> pytest.Pytester:
    """A repository without a model, for what is refused before any test."""
    project = write_project()
    git(project.path, "init", "-q", "-b", "main")
    git(project.path, "commit", "-q", "--allow-empty", "-m", "first")
    return project


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_the_commit_decides(committed: pytest.Pytester, workers: list[str]) -> None:
    committed.runpytest_inprocess(*PLAIN).assert_outcomes(passed=1)
    short = git(committed.path, "rev-parse", "main")[:7]
    result = committed.runpytest_inprocess(
        *workers, *PLAIN, "--modellab-compare-to=main", "--modellab-json=report.json"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            f"modellab *modellab.toml, *; compared with the accepted runs of main ({short})",
            f"overridden: baselines of main ({short}) instead of those of the working tree "
            "(--modellab-compare-to)",
        ]
    )
    report = json.loads((committed.path / "report.json").read_text())
    assert report["verdict"] == "block"
    assert len(report["comparisons"]) == 1


def test_a_baseline_that_the_commit_lacks(committed: pytest.Pytester) -> None:
    commit = git(committed.path, "rev-parse", "main")
    committed.makeini(f"[pytest]\nmodellab_compare_to = {commit[:9]}\n")
    (committed.path / "baselines/words/rounded.json").write_text("of the working tree: not read")
    result = committed.runpytest_inprocess("-k", "overall and rounded")
    result.stdout.fnmatch_lines(
        [
            f"*no baseline of 'rounded' on 'words' at {commit[:7]}: baselines/words/rounded.json "
            "is not in that commit; name another one, or compare with the working tree's: leave "
            "out --modellab-compare-to.",
            "*Record one there and commit it: modellab accept rounded",
            "  no verdict on rounded until what test_suite.py::test_overall*rounded* says "
            "above is *",
        ]
    )


def test_a_baseline_that_is_damaged_in_the_commit(committed: pytest.Pytester) -> None:
    path = committed.path / "baselines/words/plain.json"
    path.write_text("{")
    git(committed.path, "commit", "-q", "-a", "-m", "damaged")
    result = committed.runpytest_inprocess(*PLAIN, "--modellab-compare-to=HEAD")
    result.stdout.fnmatch_lines(
        [
            "*HEAD (*): baselines/words/plain.json:1: truncated or malformed JSON (*); compare "
            "with a commit that has it whole, or leave out --modellab-compare-to*"
        ]
    )


def test_no_commit(unjudged: pytest.Pytester) -> None:
    result = unjudged.runpytest_inprocess("--modellab-compare-to=origin/mian")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: --modellab-compare-to: 'origin/mian' is no commit of *; name a branch, a tag "
            "or a commit that git log shows; one of a remote after git fetch, as origin/main"
        ]
    )


def test_no_commit_in_a_shallow_clone(unjudged: pytest.Pytester, tmp_path: Path) -> None:
    git(unjudged.path, "commit", "-q", "--allow-empty", "-m", "second")
    clone = tmp_path / "clone"
    git(unjudged.path, "clone", "-q", "--depth=1", f"file://{unjudged.path}", str(clone))
    (unjudged.path / ".git").rename(tmp_path / "git")
    (clone / ".git").rename(unjudged.path / ".git")
    result = unjudged.runpytest_inprocess("--modellab-compare-to=HEAD~1")
    result.stderr.fnmatch_lines(["ERROR: *'HEAD~1' is no commit of *; fetch the history: git *"])


def test_no_repository(
    write_project: Callable[[], pytest.Pytester], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.path.parent))
    result = project.runpytest_inprocess("--modellab-compare-to=main")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --modellab-compare-to: 'main': the accepted runs in * cannot be read from git: *"]
    )


def test_nothing_is_accepted_meanwhile(unjudged: pytest.Pytester) -> None:
    result = unjudged.runpytest_inprocess("--modellab-compare-to=main", "--modellab-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --modellab-compare-to and --modellab-update exclude *"])
