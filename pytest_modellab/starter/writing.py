"""Writing a suite: all of its files, or none, and none over another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from pytest_modellab.config.find import FILE_NAME
from pytest_modellab.errors import ConfigError
from pytest_modellab.store import atomic, checkout

IGNORED = ("__pycache__/", ".pytest_cache/", "/allure-results/", "/modellab.md")
"""What runs leave behind and no repository should hold."""


def check(folder: Path, files: Mapping[Path, str]) -> None:
    """Refuse to write where something stands already.

    Args:
        folder: the project's.
        files: what would be written.

    Raises:
        ConfigError: it has a suite already, a file would be written over, or something else than
            a folder stands in the way.
    """
    for place in (folder, folder / "suites"):
        if (place / FILE_NAME).exists():
            raise ConfigError(
                f"{_near(place / FILE_NAME)} exists: this folder has a suite already, and nothing "
                "was written. Add variants and task sets to that file, or name another folder: "
                "modellab init FOLDER"
            )
    there = [path for path in files if os.path.lexists(path)]
    there += {
        parent
        for path in files
        for parent in path.parents
        if os.path.lexists(parent) and not parent.is_dir()
    }
    if there:
        names = ", ".join(str(_near(path)) for path in there)
        exist, them = ("exists", "it") if len(there) == 1 else ("exist", "them")
        raise ConfigError(
            f"{names} {exist} already, and nothing was written. Move {them} away, or name another "
            "folder: modellab init FOLDER"
        )


def write(files: Mapping[Path, str]) -> None:
    """Write files where none stand.

    Raises:
        ConfigError: one cannot be written; what was written before it is taken away again.
    """
    done: list[Path] = []
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                done.append(path)
                file.write(text)
    except OSError as error:
        for path in done:
            with contextlib.suppress(OSError):
                path.unlink()
        raise ConfigError(
            f"{error.filename or path}: cannot be written: {error.strerror}; nothing was"
        ) from error


def ignore(folder: Path) -> list[str]:
    """Add to a folder's ``.gitignore`` what is not in it.

    Returns:
        The lines that were added.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    path = folder / ".gitignore"
    try:
        text = checkout.read(path) if path.exists() else ""
        there = {line.strip().strip("/") for line in text.splitlines()}
        added = [line for line in IGNORED if line.strip("/") not in there]
        if added:
            gap = "" if not text or text.endswith("\n") else "\n"
            atomic.write_text(path, f"{text}{gap}" + "".join(f"{line}\n" for line in added))
    except (OSError, checkout.Unready) as error:
        raise ConfigError(f"{_near(path)}: cannot be added to: {error}") from error
    return added


def _near(path: Path) -> Path:
    """Return a path from here, where it lies below."""
    with contextlib.suppress(ValueError):
        return path.resolve().parent.relative_to(Path.cwd()) / path.name
    return path
