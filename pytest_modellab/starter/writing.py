"""Writing a suite: all of its files, or none, and none over another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pytest_modellab.config.find import FILE_NAME
from pytest_modellab.errors import ConfigError
from pytest_modellab.store import atomic, checkout

IGNORED = (".venv/", "__pycache__/", ".pytest_cache/", "/allure-results/", "/modellab.md")
"""What runs leave behind and no repository should hold."""


def check(
    folder: Path, files: Mapping[Path, str], ignore: Collection[Path], roots: Collection[Path]
) -> None:
    """Refuse to write where something stands already, or through a link.

    A file that holds what would be written is left by a call that was killed, and does not count.

    Args:
        folder: the project's.
        files: what would be written.
        ignore: what would be added to.
        roots: the folders that were named or found; a link that leads to one of them was meant.

    Raises:
        ConfigError: it has a suite already, a file would be written over, a link or something else
            than a folder stands in the way, or a name cannot be written.
    """
    for place in (folder, folder / "suites"):
        if (place / FILE_NAME).exists():
            raise ConfigError(
                f"{_near(place / FILE_NAME)} exists: this folder has a suite already, and nothing "
                "was written. Add variants and task sets to that file, or name another folder: "
                "modellab init FOLDER"
            )
    for path in (*files, *ignore):
        for parent in (path, *path.parents):
            if parent in roots:
                break
            if parent.is_symlink():
                raise ConfigError(
                    f"{_near(parent)} is a link to {parent.readlink()}, and nothing was written. "
                    "Take the link away, or name another folder: modellab init FOLDER"
                )
    there = [path for path in files if os.path.lexists(path) and not _holds(path, files[path])]
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


def write(files: Mapping[Path, str], ignore: Mapping[Path, str]) -> None:
    """Write files where none stand; the configuration last, as without it there is no suite.

    Args:
        files: by path; one that is there already holds its text.
        ignore: the new text of ``.gitignore``, or nothing.

    Raises:
        ConfigError: one cannot be written; what was written before it is taken away again.
    """
    done: list[Path] = []
    try:
        for path in sorted(files, key=lambda path: path.name == FILE_NAME):
            _make(path.parent, done)
            if not _holds(path, files[path]):
                with path.open("x", encoding="utf-8", newline="\n") as file:
                    done.append(path)
                    file.write(files[path])
        for path, text in ignore.items():
            atomic.write_text(path, text)
    except BaseException as error:
        for made in reversed(done):
            with contextlib.suppress(OSError):
                made.rmdir() if made.is_dir() else made.unlink()
        if not isinstance(error, OSError | UnicodeError):
            raise
        why = error.strerror if isinstance(error, OSError) else f"a name is no text ({error})"
        where = getattr(error, "filename", None) or path
        raise ConfigError(f"{where}: cannot be written: {why}; nothing was") from error


def ignore(folder: Path) -> tuple[Sequence[str], Mapping[Path, str]]:
    """Return what is to be added to a folder's ``.gitignore``.

    Returns:
        The lines that are not in it, and the file's new text by its path, or nothing.

    Raises:
        ConfigError: the file cannot be read.
    """
    path = folder / ".gitignore"
    try:
        text = checkout.read(path) if path.exists() else ""
    except (OSError, checkout.Unready) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{_near(path)}: cannot be added to: {why}; nothing was written"
        ) from error
    there = {line.strip().strip("/") for line in text.splitlines()}
    added = [line for line in IGNORED if line.strip("/") not in there]
    if not added:
        return (), {}
    gap = "" if not text or text.endswith("\n") else "\n"
    return added, {path: f"{text}{gap}" + "".join(f"{line}\n" for line in added)}


def _make(folder: Path, done: list[Path]) -> None:
    """Make a folder and those above it, and keep which there were not."""
    missing = [folder, *folder.parents]
    missing = missing[: next(n for n, one in enumerate(missing) if one.is_dir())]
    for one in reversed(missing):
        one.mkdir()
        done.append(one)


def other(path: Path, text: str) -> bool:
    """Tell whether a file is there that holds something else."""
    return path.is_file() and not _holds(path, text)


def _holds(path: Path, text: str) -> bool:
    """Tell whether a file holds a text; it is not opened where its size says otherwise."""
    content = text.encode(errors="surrogatepass")
    try:
        size = path.stat().st_size if path.is_file() else -1
        return size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def _near(path: Path) -> Path:
    """Return a path from here, where it lies below."""
    with contextlib.suppress(ValueError):
        return path.parent.resolve().relative_to(Path.cwd()) / path.name
    return path
