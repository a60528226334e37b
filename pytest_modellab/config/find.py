"""Where ``modellab.toml`` is, told without reading it: a session without one imports no more."""

from __future__ import annotations

import fnmatch
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

FILE_NAME = "modellab.toml"


MOST_FOLDERS = 1000
"""That are looked into below what pytest was called with."""


def find(start: Iterable[Path], root: Path) -> Path | None:
    """Find ``modellab.toml`` in or above the folders of ``start``, not above ``root``.

    Args:
        start: files or folders, for example pytest's arguments.
        root: where the search ends; ``root/suites`` is looked at last.

    Returns:
        The first file found, or None.
    """
    for place in start:
        place = place.resolve()
        folder = place if place.is_dir() else place.parent
        for candidate in (folder, *folder.parents):
            if (candidate / FILE_NAME).is_file():
                return candidate / FILE_NAME
            if candidate == root:
                break
    fallback = root / "suites" / FILE_NAME
    return fallback if fallback.is_file() else None


def named(path: Path) -> str:
    """Return how a command names a ``modellab.toml``, for its end; empty where it finds it itself.

    Args:
        path: of the file.
    """
    here = Path.cwd()
    if find([here], here) == path:
        return ""
    try:
        shown = os.path.relpath(path)
    except ValueError:  # another drive
        shown = str(path)
    return f" --config {shlex.quote(shown)}"


def below(start: Iterable[Path], unsearched: Sequence[str] = ()) -> Path | None:
    """Find the ``modellab.toml`` that lies least deep below the folders of ``start``.

    Args:
        start: folders, for example pytest's arguments; files are left out.
        unsearched: patterns of names of folders that are not searched, as pytest's
            ``norecursedirs``.

    Returns:
        The first of those, by name, or None: where more folders would have to be looked into than
        a session without any should wait for, too.
    """
    level = [place.resolve() for place in start if place.is_dir()]
    left = MOST_FOLDERS
    while level:
        following: list[Path] = []
        for folder in level[:left]:
            try:
                with os.scandir(folder) as entries:
                    inner = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
            except OSError:
                continue
            wanted = [n for n in inner if not any(fnmatch.fnmatch(n, p) for p in unsearched)]
            following += [folder / name for name in wanted]
        left -= len(level)
        level = following[: max(left, 0)]
        for folder in level:
            if (folder / FILE_NAME).is_file():
                return folder / FILE_NAME
    return None
