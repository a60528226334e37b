"""One side of a review: a tree of files with a modellab.toml in it."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.store import checkout


@dataclasses.dataclass(frozen=True)
class Side:
    """A tree of files.

    Attributes:
        root: its top folder: the repository's, or the one that the old files were put into.
        name: for messages: ``the working tree``, or the commit.
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
        """What a reader says, without the folder that the old files were put into."""
        return str(error).replace(f"{self.root}/", "")

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
    best = None
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if found := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            table = _parts(found[1])
            if table == keys[: len(table)]:
                best = number
            if table == keys:
                return number
        elif (found := re.match(r"\s*([\w.\"'-]+)\s*=", line)) and (
            here := (*table, *_parts(found[1]))
        ) == keys[: len(here)]:
            best = number
            if here == keys:
                return number
    return best


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(
        part.strip().strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.]+", dotted)
    )
