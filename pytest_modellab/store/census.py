"""What lies in the store: how much of what, since when, and whether it is what was written."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_modellab.store import files, manifest, regular

KEPT = {
    "runs": "answers of a variant to a task set",
    "diagnoses": "why a variant was blocked",
    "performance": "latency and memory, measured in turns",
    "distributions": "whole distributions of a base",
    "divergences": "how far variants lie from their base",
    "references": "what a served adapter is compared with",
    "canaries": "what was found of a server",
    "models": "models in another form",
    "vectors": "documents as vectors",
    "forms": "vectors in fewer bits",
    "approximate": "indexes of vectors",
    "lexical": "indexes of words",
    "corpora": "documents, read",
    "tasksets": "task sets from packages",
    "generated": "images and recordings, made",
    "media": "what is known of images and recordings",
    "recipes": "training that was begun",
}
"""The folders of the store that hold entries; hashes and batch sizes, which are small, do not."""

SEALED = ("runs", "diagnoses", "performance", "divergences", "vectors")
"""Of these, whose files answer for the entry's own name; others are sealed for something else."""

_NAME = re.compile(r"(?!\.)(?:.*-)?[0-9a-f]{16,64}(?:[-.].*)?", re.DOTALL)
"""What an entry is called: by a hash of what it was made of. Other names are not the store's."""


@dataclasses.dataclass(frozen=True)
class Kept:
    """One entry of the store.

    Attributes:
        kind: the folder that it lies in.
        name: its own.
        size: bytes of its files.
        made: when the newest of them was written, in seconds since 1970 by the store's own clock.
        path: where it lies; None in a store that is shared.
    """

    kind: str
    name: str
    size: int
    made: float
    path: Path | None = None


def entries(cache: Path) -> Iterator[Kept]:
    """Yield what the store of this machine holds, and nothing that others have put beside it.

    Args:
        cache: its root.
    """
    for kind in KEPT:
        if not (cache / kind).is_dir() or (cache / kind).is_symlink():
            continue
        for path in sorted((cache / kind).iterdir()):
            if _NAME.fullmatch(path.name) and path.suffix != ".lock":
                size, made = _measured(path)
                yield Kept(kind, path.name, size, made, path)


def _measured(path: Path) -> tuple[int, float]:
    """Bytes, and the time of the newest file; a link counts as itself."""
    inside = (
        Path(folder) / name
        for folder, _, names in (() if path.is_symlink() else os.walk(path))
        for name in names
    )
    size, made = 0, 0.0
    for number, one in enumerate((path, *inside)):
        with contextlib.suppress(FileNotFoundError):  # a session that runs has moved it meanwhile
            found = one.lstat()
            made = max(made, found.st_mtime)
            size += found.st_size if number or not path.is_dir() or path.is_symlink() else 0
    return size, made


def fault(entry: Kept) -> str | None:
    """Tell what is wrong with an entry of this machine; None where nothing, or nothing can tell.

    Files with a seal are compared with it, folders with a manifest with that, each file read.

    Args:
        entry: of :func:`entries`.
    """
    path = entry.path
    if path is None or path.is_symlink():
        return None
    if path.is_dir() and (path / manifest.NAME).exists():
        return manifest.fault(path)
    if entry.kind not in SEALED:
        return None
    if path.is_file():
        return _unsealed(path, path.stem)
    faults = ((file, _unsealed(file, path.name)) for file in sorted(path.glob("*.json")))
    return next((f"{file.name} {found}" for file, found in faults if found), None)


def _unsealed(path: Path, of: str) -> str | None:
    try:
        files.unseal(regular.read_bytes(path), of)
    except (OSError, ValueError) as error:
        return files.reason(error)
    return None


def oldest(
    found: Iterable[Kept], now: float, *, seconds: float | None, size: int | None
) -> list[Kept]:
    """Choose what to remove.

    Args:
        found: all that there is.
        now: seconds since 1970, by the clock that wrote them.
        seconds: age from which on an entry goes; None for none.
        size: bytes that may stay; the oldest go until no more is left. None for all.

    Returns:
        What goes, the oldest first.
    """
    oldest_first = sorted(found, key=lambda one: (one.made, one.kind, one.name))
    left = sum(one.size for one in oldest_first)
    gone = []
    for one in oldest_first:
        too_old = seconds is not None and now - one.made > seconds
        if too_old or (size is not None and left > size):
            left -= one.size
            gone.append(one)
    return gone


def remove(entry: Kept) -> bool:
    """Remove an entry of this machine; False where a process is at it.

    Raises:
        OSError: it cannot be removed.
    """
    from filelock import FileLock, Timeout

    path = entry.path
    if path is None:
        return False
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
        return True
    inside, beside = path / "lock", path.with_name(f"{path.name}.lock")
    lock = FileLock(inside if inside.exists() else beside)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    try:
        shutil.rmtree(path)
        with contextlib.suppress(OSError):  # none is beside it, or whoever waits holds it open
            beside.unlink()
    finally:
        lock.release()
    return True
