"""The text files of one side, read when they are asked for."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_modellab.store import checkout

LARGEST = 1 << 22
"""Bytes of a Python file or an ini file that is read."""


class Files:
    """Files by their path from the top, with ``/``.

    Args:
        root: the top folder.
        paths: all there are.
        fetch: makes sure that a file lies under the root; called before it is read.
    """

    def __init__(
        self, root: Path, paths: Iterable[str], fetch: Callable[[str], None] = lambda _: None
    ) -> None:
        self.root = root
        self.paths = frozenset(paths)
        self._fetch = fetch
        self._texts: dict[str, str | None] = {}

    def text(self, path: str) -> str | None:
        """Return the text of a file, None where there is none that can be read."""
        if path not in self.paths:
            return None
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: str) -> str | None:
        self._fetch(path)
        place = self.root / path
        try:
            if place.stat().st_size > LARGEST:
                return None
            return checkout.read(place)
        except (OSError, checkout.Unready):
            return None


def above(folder: str) -> list[str]:
    """Return a folder and those above it, up to the top, which is ``""``."""
    found = [folder]
    while found[-1]:
        found.append(posixpath.dirname(found[-1]))
    return found


def joined(folder: str, name: str) -> str:
    """Return the path of a file in a folder, ``""`` for the top."""
    return posixpath.join(folder, name) if folder else name
