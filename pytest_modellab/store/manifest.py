"""The manifest of a folder that was made once: what lies in it, and the sha256 of each file."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.store import files

NAME = "manifest.json"
"""The manifest's own name in the folder."""


def write(folder: Path, *, of: str) -> None:
    """Note what a folder holds.

    Args:
        folder: just filled.
        of: the name that it will have, so that no other folder passes for it.

    Raises:
        OSError: it cannot be written.
    """
    found = {}
    for name, path in _listed(folder).items():
        stamp = _stamp(path)
        found[name] = {"sha256": _sha256(path, stamp), "stamp": list(stamp)}
    files.write(folder / NAME, {"files": found}, of=of)


def fault(folder: Path) -> str | None:
    """Tell what is wrong with a folder, as ``model.safetensors was changed``; None where nothing.

    Sizes are compared every time. A file is read where its times are others than those that the
    manifest has, once a process; where its content is right after all, as in a copy, the manifest
    takes the new times.

    Args:
        folder: what :func:`write` noted, in its place.
    """
    if not folder.is_dir():
        return "is no folder" if os.path.lexists(folder) else "is missing"
    if not (folder / NAME).exists():
        return f"has no {NAME} of digests, as an older version made it"
    noted = files.read(folder / NAME, _noted, of=folder.name)
    if noted is None:
        return f"has a damaged {NAME}"
    try:
        return _difference(folder, noted)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _difference(folder: Path, noted: Mapping[str, tuple[str, tuple[int, ...]]]) -> str | None:
    there = _listed(folder)
    if missing := sorted(noted.keys() - there.keys()):
        return f"is damaged: {missing[0]} is missing"
    if more := sorted(there.keys() - noted.keys()):
        return f"is damaged: {more[0]} was added"
    stamps = {name: _stamp(path) for name, path in there.items()}
    for name, (right, (size, *times)) in noted.items():
        if stamps[name][0] != size:
            return f"is damaged: {name} has {stamps[name][0]} bytes and should have {size}"
        if [*stamps[name][1:]] != times and _sha256(there[name], stamps[name]) != right:
            return f"is damaged: {name} was changed, its digest does not match"
    if any(stamps[name] != stamp for name, (_, stamp) in noted.items()):
        renewed = {
            name: {"sha256": right, "stamp": list(stamps[name])}
            for name, (right, _) in noted.items()
        }
        with contextlib.suppress(OSError):  # a store that is only read is hashed once a session
            files.write(folder / NAME, {"files": renewed}, of=folder.name)
    return None


def _noted(data: Mapping[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        str(name): (str(one["sha256"]), tuple(int(number) for number in one["stamp"]))
        for name, one in data["files"].items()
    }


def _listed(folder: Path) -> dict[str, Path]:
    """Every file under a folder by its name in it; a link to a folder counts as a file.

    The manifest itself is none, nor what another process is about to make it.
    """
    found = [
        Path(place) / name
        for place, inner, names in os.walk(folder)
        for name in [*names, *(n for n in inner if (Path(place) / n).is_symlink())]
    ]
    named = {path.relative_to(folder).as_posix(): path for path in found}
    beside = f".{NAME}."
    return {n: path for n, path in named.items() if n != NAME and not n.startswith(beside)}


def _stamp(path: Path) -> tuple[int, ...]:
    """Size, and the times of the last change of content and, where the system tells, of status."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


@functools.lru_cache(maxsize=4096)
def _sha256(path: Path, stamp: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
