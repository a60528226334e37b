"""Where an accepted run comes from: its file, and the commit that it came with."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_modellab.store import git
from pytest_modellab.visible import CELL, line


def words(path: Path) -> str:
    """Say where a baseline comes from.

    Args:
        path: its file.

    Returns:
        ``baselines/words/nf4.json, of commit 1a2b3c4 (2026-11-20, A. Person)``; with ``not
        committed`` or ``changed since commit …`` where that is so, and the file alone where git
        cannot be asked. The path is relative to the current folder where that is shorter.
    """
    name = min(str(path), os.path.relpath(path), key=len)
    return line(f"{name}{_commit(path)}", CELL)


def _commit(path: Path) -> str:
    try:
        told = git.ask(
            path.parent,
            *("log", "-1", "--date=short", "--format=%h (%cd, %an)", "--", path.name),
            offline=True,
        )
        changed = git.ask(
            path.parent, "status", "--porcelain", "--", path.name, offline=True
        ).strip()
    except git.GitError:
        return ""
    commit = told.decode("utf-8", "replace").strip()
    if not commit:
        return ", not committed"
    return f", changed since commit {commit}" if changed else f", of commit {commit}"
