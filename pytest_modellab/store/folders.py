"""Folders that are made once: what takes long to make is kept, named by all that it depends on.

Each holds a manifest of digests, and one that is not what was made is made anew.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

from pytest_modellab.errors import StoreError
from pytest_modellab.store import files, manifest, said

if TYPE_CHECKING:
    from filelock import BaseFileLock

T = TypeVar("T")


@overload
def folder(target: Path, write: Callable[[Path], None], *, what: str) -> Path: ...


@overload
def folder(
    target: Path, write: Callable[[Path], None], read: Callable[[Path], T | None], *, what: str
) -> T: ...


def folder(
    target: Path,
    write: Callable[[Path], None],
    read: Callable[[Path], object] | None = None,
    *,
    what: str,
) -> object:
    """Return what a folder of the store holds, making it where it is missing or damaged.

    Args:
        target: the folder; it appears whole or not at all, whoever else makes it at the same time.
        write: fills the empty folder that it is given.
        read: what a whole folder holds, or None where it must be made again; without it the folder
            itself is returned.
        what: is made, for messages.

    Raises:
        StoreError: the disk is full.
        OSError: the store cannot be written, or what was written cannot be read.
    """
    read = read or _there
    found = read(target) if manifest.fault(target) is None else None
    if found is None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.with_name(f"{target.name}.lock")):
            fault = manifest.fault(target)  # another process may have made it meanwhile
            found = read(target) if fault is None else None
            if found is None:
                if os.path.lexists(target):
                    place = "/".join(target.parts[-2:])
                    said.say(f"{what} is made anew: {place} {fault or 'is damaged'}")
                _make(target, write, what)
                found = read(target)
    if found is None:
        raise OSError(errno.EIO, "what was just written cannot be read", str(target))
    return found


def lock(grown: Path) -> BaseFileLock:
    """Return the lock of a folder that is added to bit by bit, and make that folder.

    A file in its place, or a link that leads nowhere, is removed, and that is said.
    """
    if not grown.is_dir():
        with contextlib.suppress(OSError):  # nothing is there, or another has just made the folder
            grown.unlink()
            said.say(f"{'/'.join(grown.parts[-2:])} is no folder and is made anew")
    grown.mkdir(parents=True, exist_ok=True)
    return _lock(grown / "lock")


def no_space(place: Path, needed: str = "") -> str:
    """Say that a disk is full, and what to do.

    Args:
        place: the folder that should be written.
        needed: for how much there is no space, where that is known.
    """
    room = f" for {needed}" if needed else ""
    return (
        f"not enough disk space in {place}{room}. Free some, or "
        "choose another folder: MODELLAB_CACHE=/some/folder"
    )


def disk_full() -> OSError:
    """Return the system's error of a full disk, where a library puts it in another way."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_full(error: Exception) -> bool:
    """Whether safetensors puts a full disk (ENOSPC) in its words."""
    return f"os error {errno.ENOSPC}" in str(error)


def _there(target: Path) -> Path:
    return target


def _lock(file: Path) -> BaseFileLock:
    from filelock import FileLock

    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file, ignore_errors=True)
    return FileLock(file)


def _make(target: Path, write: Callable[[Path], None], what: str) -> None:
    """Write a folder beside the target and put it in its place; the lock is held."""
    begun = f".{target.name}."
    for other in target.parent.iterdir():
        if other.name.startswith(begun):  # left by a process that was killed
            shutil.rmtree(other, ignore_errors=True)
    temporary = target.with_name(begun + secrets.token_hex(4))
    try:
        temporary.mkdir()
        write(temporary)
        manifest.write(temporary, of=target.name)
        files.remove(target)  # damaged, else it would have been read
        os.replace(temporary, target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StoreError(f"{what}: {no_space(target.parent)}") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
