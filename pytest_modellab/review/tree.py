"""The files that decide, as they were at a commit, put into a folder where the readers find them.

Nothing is checked out: git's objects are read, links and submodules are left out, and sizes are
bounded. Nothing of what is put there is ever run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from pytest_modellab.errors import ReviewUnavailable
from pytest_modellab.store import checkout, git

LARGEST = 1 << 27
"""Bytes of one file that is read."""


TOTAL = 1 << 29
"""Bytes of all files that are read."""


class OldTree:
    """The files of a commit; those that are needed are put into a folder.

    Args:
        top: the top folder of the repository.
        commit: its full hash.
        folder: an empty folder.
        offline: whether git may not fetch what a partial clone lacks.
    """

    def __init__(self, top: Path, commit: str, folder: Path, *, offline: bool = False) -> None:
        self._top = top
        self._commit = commit
        self.offline = offline
        self._written: set[str] = set()
        self._size = 0
        self.folder = Path(os.path.realpath(folder))
        self.entries: Mapping[str, git.Entry] = git.files(top, commit, offline=offline)

    def below(self, folder: str) -> list[str]:
        """The paths of all files in a folder, ``""`` for the top."""
        start = f"{folder}/" if folder not in ("", ".") else ""
        return [path for path in self.entries if path.startswith(start)]

    def put(self, paths: Iterable[str]) -> None:
        """Put files into the folder, those of them that the commit has.

        Raises:
            ReviewUnavailable: they are too large.
            GitError: git cannot read one.
        """
        wanted = []
        for path in dict.fromkeys(paths):
            entry = self.entries.get(path)
            if entry is None or not entry.regular or path in self._written:
                continue
            if not _inside(path):
                continue  # no checkout would write it either
            self._size += entry.size
            if entry.size > LARGEST or self._size > TOTAL:
                raise ReviewUnavailable(
                    f"{self._commit[:7]}: {path}: too large to compare ({entry.size} bytes; a file "
                    f"may have {LARGEST}, all that decide {TOTAL})"
                )
            self._written.add(path)
            wanted.append(entry)
        read = git.contents(self._top, [one.blob for one in wanted], offline=self.offline)
        for entry, (_, content) in zip(wanted, read, strict=True):
            target = self.folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if checkout.standing_in(content[: checkout.HEAD], target):  # of Git LFS
                name = f"{self._commit}:{entry.path}"
                content = git.ask(self._top, "cat-file", "--filters", name, offline=self.offline)
            target.write_bytes(content)


def _inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and "\\" not in path
