"""Where ``modellab.toml`` is, told without reading it: a session without one imports no more."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FILE_NAME = "modellab.toml"


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
