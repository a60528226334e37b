"""Git is asked so that nothing of a repository is run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pull_requests import git as run

from pytest_modellab.store import git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "a file").write_text("one\n")
    run(root, "init", "-q", "-b", "main")
    run(root, "add", ".")
    run(root, "commit", "-q", "-m", "first")
    return root


def test_files_of_a_commit(repository: Path) -> None:
    (repository / "link").symlink_to("/etc/passwd")
    (repository / "ünd\tnew\nline").write_bytes(b"\x00two")
    run(repository, "add", ".")
    run(repository, "commit", "-q", "-m", "second")
    commit = git.commit(repository, "main")
    assert commit is not None
    found = git.files(repository, commit)
    assert {name: one.regular for name, one in found.items()} == {
        "a file": True,
        "link": False,
        "ünd\tnew\nline": True,
    }
    blobs = [one.blob for one in found.values()]
    contents = dict(git.contents(repository, blobs))
    assert [contents[blob] for blob in blobs] == [b"one\n", b"/etc/passwd", b"\x00two"]
    with pytest.raises(git.GitError, match="the content of 0000000000 is not there"):
        list(git.contents(repository, ["0" * 40]))


def test_what_differs(repository: Path) -> None:
    commit = str(git.commit(repository, "HEAD"))
    (repository / "a file").write_text("changed\n")
    (repository / "new").mkdir()
    (repository / "new/file").write_text("")
    (repository / "new/file.pyc").write_text("")
    assert git.differing(repository, commit, ["a file", "new", "nowhere"]) == {"a file", "new/file"}
    assert git.differing(repository, commit, ["nowhere"]) == frozenset()


@pytest.mark.parametrize("ref", ["nowhere", "--help", "-c", "HEAD:a file", "", "a..b"])
def test_no_commit(repository: Path, ref: str) -> None:
    assert git.commit(repository, ref) is None


def test_nothing_of_the_repository_is_run(repository: Path, monkeypatch: Any) -> None:
    ran = repository.parent / "ran"
    script = repository.parent / "script"
    script.write_text(f"#!/bin/sh\ntouch {ran}\n")
    script.chmod(0o700)
    for key in ("core.fsmonitor", "diff.external", "core.pager", "diff.x.textconv"):
        run(repository, "config", key, str(script))
    (repository / ".gitattributes").write_text("* diff=x\n")
    hooks = repository / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "post-checkout", "pre-commit"):
        (hooks / name).write_text(script.read_text())
        (hooks / name).chmod(0o700)
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(script))
    commit = str(git.commit(repository, "HEAD"))
    os.utime(repository / "a file", (1, 1))  # what an index would be refreshed for
    (repository / "a file").write_text("changed\n")
    git.differing(repository, commit, ["."])
    list(git.contents(repository, [one.blob for one in git.files(repository, commit).values()]))
    assert not ran.exists()


def test_a_hook_of_another_repository_does_not_lead_there(
    repository: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    assert git.root(repository) == repository
    assert git.root(repository / "is not there yet") == repository


def test_without_git(repository: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(git.GitMissing, match="git is not installed"):
        git.root(repository)


def test_a_git_that_never_answers(repository: Path, monkeypatch: Any) -> None:
    slow = repository.parent / "bin/git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o700)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(git, "PASSING", 0.2)
    with pytest.raises(git.GitError, match="git rev-parse took longer than 0 s"):
        git.root(repository, offline=True)
