"""A review end to end: what is compared, what is acknowledged, and where it cannot be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pull_requests import change, git

from pytest_modellab import cli
from pytest_modellab.baselines.accepted import Anchor
from pytest_modellab.config import read as configuration
from pytest_modellab.errors import ReviewUnavailable
from pytest_modellab.plugin import bar
from pytest_modellab.review.review import Review

Reviewed = Callable[..., Review]


def test_nothing_changed(project: Path, capsys: Any) -> None:
    assert cli.main(["review"]) == 0
    commit = git(project, "rev-parse", "--short=7", "main")
    out = capsys.readouterr().out
    assert out == f"against {commit} (merge base with main)\nnothing became weaker\n"


def test_a_wider_margin_and_its_acknowledgement(project: Path, capsys: Any) -> None:
    toml = project / "suites/modellab.toml"
    change(toml, "\nmargin = 0.02", "\nmargin = 0.05")
    change(toml, "floor = 0.30", "floor = 0.35")
    assert cli.main(["review"]) == 1
    out = capsys.readouterr().out
    assert "WEAKER: task_sets.words.margin: 0.02 -> 0.05 [suites/modellab.toml:8]\n" in out
    assert "stronger: task_sets.words.floor: 0.3 -> 0.35 [suites/modellab.toml:10]\n" in out
    ready = '"task_sets.words.margin 0.02 -> 0.05" = "agreed with … because …"'
    assert out.endswith(f"[acknowledged]  # in modellab.toml\n{ready}\n")
    reason = ready.replace("…", "all", 1).replace("…", "of the customer", 1)
    with toml.open("a") as file:
        file.write(f"\n[acknowledged]\n{reason}\n")
    assert cli.main(["review"]) == 0
    out = capsys.readouterr().out
    assert "because: agreed with all because of the customer" in out
    assert out.endswith("nothing became weaker unacknowledged\n")
    change(toml, "\nmargin = 0.05", "\nmargin = 0.06")  # it fits no other change
    assert cli.main(["review"]) == 1
    key = '"task_sets.words.margin 0.02 -> 0.05"'
    stale = f"stale acknowledgement, fits no change and may be deleted: {key}"
    assert stale in capsys.readouterr().out


def test_json(project: Path, capsys: Any) -> None:
    change(project / "suites/modellab.toml", "\nmargin = 0.02", "\nmargin = 0.05")
    assert cli.main(["review", "--json", "--against", "HEAD"]) == 1
    data = json.loads(capsys.readouterr().out)
    (found,) = data.pop("changes")
    assert found == {
        "kind": "weaker",
        "what": "task_sets.words.margin",
        "old": "0.02",
        "new": "0.05",
        "where": "suites/modellab.toml:8",
        "note": "",
        "key": "task_sets.words.margin 0.02 -> 0.05",
        "acknowledged": None,
    }
    against = {"commit": git(project, "rev-parse", "HEAD"), "how": "HEAD"}
    assert data == {"against": against, "weaker": 1, "stale": [], "notes": []}


def test_an_acknowledgement_without_a_reason(project: Path, capsys: Any) -> None:
    with (project / "suites/modellab.toml").open("a") as file:
        file.write('\n[acknowledged]\n"task_sets.words.margin 0.02 -> 0.05" = " "\n')
    assert cli.main(["review"]) == 2
    assert "' ' is no reason; say in a text who agreed to it and why" in capsys.readouterr().err


def test_the_base_that_gitlab_names(project: Path, reviewed: Reviewed, monkeypatch: Any) -> None:
    git(project, "commit", "-q", "--allow-empty", "-m", "later")
    named = git(project, "rev-parse", "HEAD")
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", named)
    found = reviewed().against
    assert (found.commit, found.how) == (named, "merge base by CI_MERGE_REQUEST_DIFF_BASE_SHA")
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", "0" * 40)  # not fetched
    assert reviewed().against.how == "merge base with main"


def test_the_branch_that_the_change_is_for(
    project: Path, reviewed: Reviewed, monkeypatch: Any
) -> None:
    git(project, "checkout", "-q", "-b", "release", "main")
    git(project, "commit", "-q", "--allow-empty", "-m", "later")
    git(project, "checkout", "-q", "-b", "fix")
    monkeypatch.setenv("GITHUB_BASE_REF", "release")
    found = reviewed()
    assert found.against.how == "merge base with release"
    assert found.against.commit == git(project, "rev-parse", "release")


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("nowhere", "--against: 'nowhere' is no commit of .*; name a branch, a tag or a commit"),
        ("--output=x", "--against: '--output=x' is no commit"),
        ("HEAD:README.md", "is no commit"),
    ],
)
def test_no_such_ref(project: Path, reviewed: Reviewed, ref: str, said: str) -> None:
    with pytest.raises(ReviewUnavailable, match=said):
        reviewed(ref)


def test_without_git(project: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(project))
    assert cli.main(["review"]) == 2
    assert "git is not installed, and what was before is kept in git" in capsys.readouterr().err


def test_in_no_repository(project: Path, capsys: Any, monkeypatch: Any) -> None:
    (project / ".git").rename(project / "gone")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    assert cli.main(["review"]) == 2
    assert "git cannot read what was before: fatal: not a git" in capsys.readouterr().err


def test_a_shallow_clone(project: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    git(project, "commit", "-q", "--allow-empty", "-m", "on the branch")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{project}", str(clone))
    monkeypatch.chdir(clone)
    git(clone, "remote", "remove", "origin")
    assert cli.main(["review"]) == 2
    err = capsys.readouterr().err
    assert "none of origin/HEAD, origin/main, origin/master, main, master is there; " in err
    assert "git fetch --unshallow (GitHub: actions/checkout with fetch-depth: 0; " in err


def test_a_broken_configuration_on_either_side(project: Path, capsys: Any) -> None:
    toml = project / "suites/modellab.toml"
    before = toml.read_text()
    toml.write_text("[task_sets")
    assert cli.main(["review"]) == 2
    git(project, "commit", "-q", "-a", "-m", "broken")
    toml.write_text(before)
    assert cli.main(["review", "--against", "HEAD"]) == 2
    err = capsys.readouterr().err
    short = git(project, "rev-parse", "--short=7", "HEAD")
    assert f"{short}: suites/modellab.toml: malformed TOML" in err
    assert "name a ref whose modellab.toml this version reads: --against" in err


def test_before_there_was_a_gate(project: Path, reviewed: Reviewed) -> None:
    git(project, "checkout", "-q", "--orphan", "start")
    git(project, "rm", "-q", "-r", "--cached", ".")
    git(project, "commit", "-q", "--allow-empty", "-m", "empty")
    empty = git(project, "rev-parse", "HEAD")
    found = reviewed(empty)
    assert found.weaker == ()
    assert found.notes == (f"{empty[:7]} has no modellab.toml: nothing could be weakened",)


def test_accepted_runs(project: Path, reviewed: Reviewed, accept: Any) -> None:
    accept(project, "plain", [1.0] * 4 + [0.0] * 4)  # a lower one
    accept(project, "smaller", [1.0] * 7 + [0.0])  # a higher one
    (project / "baselines/words/small.json").unlink()
    found = {change.what: change for change in reviewed().changes}
    assert set(found) == {
        "baselines.words.plain.mean",
        "baselines.words.plain.anchor",
        "baselines.words.small",
        "baselines.words.smaller.mean",
        "baselines.words.smaller.anchor",
    }
    lower = found["baselines.words.plain.mean"]
    assert (lower.kind, lower.old, lower.new) == ("weaker", "0.75", "0.5")
    assert lower.note == "0.2500 lower: meaning 0.75 -> 0.5, spelling 0.75 -> 0.5"
    assert lower.where == "baselines/words/plain.json"
    anchor = found["baselines.words.plain.anchor"]
    assert anchor.note == "0.2500 lower; a new anchor: no_drift forgets what was accepted before it"
    assert found["baselines.words.small"].new == "removed"
    assert found["baselines.words.smaller.mean"].kind == "stronger"


def test_the_drop_since_the_anchor(project: Path, reviewed: Reviewed, accept: Any) -> None:
    anchor = Anchor((1.0,) * 8, "f" * 64, "2026-03-01", 1)
    accept(project, "plain", [1.0] * 6 + [0.0] * 2, anchor=anchor)
    git(project, "commit", "-q", "-a", "-m", "a chain")
    accept(project, "plain", [1.0] * 5 + [0.0] * 3, anchor=anchor)
    (lower,) = reviewed("HEAD").changes
    assert lower.note == (
        "0.1250 lower: meaning 0.75 -> 0.5; 0.3750 below the anchor of 2026-03-01 "
        "(1 change accepted since)"
    )


def test_a_drop_that_may_be_noise_is_told_and_needs_no_reason(
    project: Path, reviewed: Reviewed, accept: Any
) -> None:
    change(project / "suites/modellab.toml", "\nmargin = 0.02", "\nmargin = 0.2")
    anchor = Anchor((1.0,) * 6 + (0.0,) * 2, "f" * 64, "2026-03-01", 1)
    accept(project, "plain", [1.0] * 6 + [0.0] * 2, anchor=anchor)
    git(project, "commit", "-q", "-a", "-m", "a wide margin")
    accept(project, "plain", [1.0] * 5 + [0.0] * 3, anchor=anchor)
    found = {one.what: one for one in reviewed("HEAD").changes}
    mean = found["baselines.words.plain.mean"]
    assert (mean.kind, mean.old, mean.new) == ("changed", "0.75", "0.625")
    assert mean.note == (
        "0.1250 lower: within chance, and 0.2 is allowed; 0.1250 below the anchor of 2026-03-01 "
        "(1 change accepted since)"
    )
    git(project, "commit", "-q", "-a", "-m", "one answer less")
    accept(project, "plain", [1.0] * 4 + [0.0] * 4, anchor=anchor)
    (added_up,) = (one for one in reviewed("HEAD").weaker if one.what.endswith("mean"))
    assert added_up.note.endswith("0.2500 below the anchor of 2026-03-01 (1 change accepted since)")


def test_a_drop_beyond_chance_is_weaker_though_it_is_allowed(
    project: Path, reviewed: Reviewed, accept: Any
) -> None:
    change(project / "suites/modellab.toml", "\nmargin = 0.02", "\nmargin = 0.9")
    git(project, "commit", "-q", "-a", "-m", "a wide margin")
    accept(project, "plain", [0.0] * 8)
    (lower,) = (one for one in reviewed("HEAD").weaker if one.what.endswith("mean"))
    assert lower.key == "baselines.words.plain.mean 0.75 -> 0"


def test_another_scorer_version(project: Path, reviewed: Reviewed, accept: Any) -> None:
    accept(project, "plain", [1.0] * 6 + [0.0] * 2, scorers={"choice": 2, "exact": 1})
    (found,) = reviewed().weaker
    assert found.key == "baselines.words.plain.scorers.choice 1 -> 2"
    assert found.kind == "unweighed"


def test_a_damaged_baseline(project: Path, capsys: Any) -> None:
    change(project / "baselines/words/plain.json", '"schema": ', '"schema": 99')
    assert cli.main(["review"]) == 2
    assert "the working tree: baselines/words/plain.json: schema 99" in capsys.readouterr().err


def test_a_capability_falls_while_the_mean_rises(
    project: Path, reviewed: Reviewed, accept: Any
) -> None:
    accept(project, "plain", [1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    git(project, "commit", "-q", "-a", "-m", "as before")
    accept(project, "plain", [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    (found,) = reviewed("HEAD").weaker
    assert found.key == "baselines.words.plain.capabilities.spelling 1 -> 0.75"
    assert found.note == "0.2500 lower, where 0.05 is allowed"


def test_a_session_says_nothing_where_it_cannot_be_told(project: Path) -> None:
    config = project / "suites/modellab.toml"
    assert bar.lines(configuration.load(config)) == []
    change(config, "\nmargin = 0.02", "\nmargin = 0.05")
    (said,) = bar.lines(configuration.load(config))
    assert said.endswith("words.margin 0.02 -> 0.05; modellab review fails until it is said why")
    (project / ".git").rename(project / "gone")
    assert bar.lines(configuration.load(config)) == []
