"""What canaries found, in the store: one sealed file for each server, with the time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pytest_modellab.records import reading
from pytest_modellab.records.canary import Canary
from pytest_modellab.store import files
from pytest_modellab.store.place import entry

VERSION = 1
"""Raised when a canary asks or judges otherwise."""


def path(cache: Path, server: str) -> Path:
    """Return where what was last found of a server is kept.

    Args:
        cache: the store's root.
        server: who it says that it is, as a digest.
    """
    return entry(cache, "canaries", [VERSION, server]) / "canary.json"


def write(cache: Path, found: Canary) -> None:
    """Keep what was found, in the place of what was found before.

    Raises:
        OSError: the store cannot be written.
    """
    files.write(path(cache, found.server), dataclasses.asdict(found), of=found.server)


def read(cache: Path, server: str) -> Canary | None:
    """Return what was last found of a server, or None."""
    return files.read(path(cache, server), lambda data: reading.build(Canary, data), of=server)
