"""Where an accepted run comes from: its file, and the commit that it came with."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from pytest_modellab.store import git
from pytest_modellab.visible import CELL, line


@dataclasses.dataclass(frozen=True)
class Commit:
    """The commit that a file came with.

    Attributes:
        name: its short hash.
        day: ``YYYY-MM-DD``.
        author: who wrote it.
        changed: whether the file has changed since.
    """

    name: str
    day: str
    author: str
    changed: bool


def words(path: Path) -> str:
    """Say where a baseline comes from.

    Args:
        path: its file.

    Returns:
        ``baselines/words/nf4.json, of commit 1a2b3c4 (2026-11-20, A. Person)``; with ``not
        committed`` or ``changed since commit …`` where that is so, and the file alone where git
        cannot tell, as in a shallow clone. The path is relative to the current folder where that is
        shorter.
    """
    name = min(str(path), os.path.relpath(path), key=len)
    try:
        found = commit_of(path)
    except git.GitError:
        return line(name, CELL)
    if found is None:
        return line(f"{name}, not committed", CELL)
    what = "changed since commit" if found.changed else "of commit"
    return line(f"{name}, {what} {found.name} ({found.day}, {found.author})", CELL)


def commit_of(path: Path) -> Commit | None:
    """Return the commit that a file came with, or None where it came with none.

    No filter of the repository is run: the file's bytes are compared, but for their line ends.

    Raises:
        GitError: git cannot tell: it is missing, there is no repository, or a shallow clone, whose
            oldest commit would be named for every file.
    """
    if git.shallow(path.parent, offline=True):
        raise git.GitError("a shallow clone does not say which commit a file came with")
    told = git.ask(
        path.parent,
        *("log", "-1", "--date=short", "--format=%H%x01%h%x01%cd%x01%an", "--", path.name),
        offline=True,
    )
    if not told.strip():
        return None
    whole, name, day, author = told.decode("utf-8", "replace").strip().split("\x01", 3)
    place = f"{whole}:./{path.name}"
    kept = git.ask(path.parent, "cat-file", "blob", place, offline=True)
    try:
        now = path.read_bytes()
    except OSError as error:
        raise git.GitError(f"{path}: cannot be read: {error.strerror}") from error
    changed = kept.replace(b"\r\n", b"\n") != now.replace(b"\r\n", b"\n")
    return Commit(name, day, author, changed)
