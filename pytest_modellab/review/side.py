"""One side of a review: a tree of files with a modellab.toml in it."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.store import checkout

HERE = "the working tree"


@dataclasses.dataclass(frozen=True)
class Side:
    """A tree of files.

    Attributes:
        root: its top folder: the repository's, or the one that the old files were put into.
        name: for messages: :data:`HERE`, or the commit.
        config: its configuration.
    """

    root: Path
    name: str
    config: LabConfig

    def inside(self, path: Path) -> bool:
        """Whether a path lies in the tree, so that git knows it."""
        return _plain(path).is_relative_to(self.root)

    def shown(self, path: Path) -> str:
        """A path from the top of the tree, with ``/``."""
        return _plain(path).relative_to(self.root).as_posix() if self.inside(path) else str(path)

    def said(self, error: object) -> str:
        """What a reader says: whose file it is, and what to do about an old one."""
        said = f"{self.name}: {str(error).replace(f'{self.root}/', '')}"
        if self.name == HERE:
            return said
        return f"{said}; name a ref where it can be read: modellab review --against REF"

    def place(self, *keys: str) -> str:
        """File and line of a key of modellab.toml: ``suites/modellab.toml:31``."""
        path = self.config.path
        number = line_of(checkout.read(path), keys) if path.is_file() else None
        return self.shown(path) + (f":{number}" if number else "")


def _plain(path: Path) -> Path:
    """A path without ``..``, links as they are."""
    return Path(os.path.normpath(path))


def line_of(text: str, keys: tuple[str, ...]) -> int | None:
    """Find the line of a key in TOML, or of the table that it stands in; None where not found.

    It serves messages only: a key in an inline table is found by the table's line.
    """
    table: tuple[str, ...] = ()
    best: tuple[int, int | None] = (0, None)
    for number, line in enumerate(text.split("\n"), 1):
        if found := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            here = table = _parts(found[1])
        elif found := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            here = (*table, *_parts(found[1]))
        else:
            continue
        if here == keys[: len(here)] and len(here) > best[0]:
            best = len(here), number
    return best[1]


def _parts(dotted: str) -> tuple[str, ...]:
    found = re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", dotted)
    return tuple(part.strip("\"'") for part in found)
