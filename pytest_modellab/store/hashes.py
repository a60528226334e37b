"""The sha256 of large files, remembered until they change: gigabytes are read once."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeAlias

from pytest_modellab.records import reading
from pytest_modellab.records.hashing import digest
from pytest_modellab.store import files, said

LARGE = 1 << 20
"""Bytes of a file from which its hash is remembered; smaller ones are read as fast."""


RACY = 2.0
"""Seconds that a file must have been left alone before it is read: a clock of files may tick as
slowly, and a second change within one tick would not be seen (as git has it)."""


MOST = 4096
"""Hashes that are remembered; the oldest go first."""


Stamp: TypeAlias = tuple[int, int, int, int, int]
"""Size, times of the last change of content and of status in nanoseconds, inode, device."""


_SHA256 = re.compile("[0-9a-f]{64}")


class Memory:
    """Hashes files, and remembers large ones.

    Each file has an entry of its own, named by its place, in a folder that only this user may
    write: where another could have written it, nothing is believed and nothing is kept.

    Args:
        cache: root of the store.
        anew: believe nothing that was remembered before this object was made; what is read takes
            its place.
    """

    def __init__(self, cache: Path, *, anew: bool = False) -> None:
        self._folder = cache / "hashes" / _user()
        self._anew = anew
        self._read: set[Path] = set()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Have :func:`sha256` ask this memory meanwhile."""
        token = _memory.set(self)
        try:
            yield
        finally:
            _memory.reset(token)

    def sha256(self, path: Path) -> str:
        """Return a file's sha256, from memory where nothing says that it has changed.

        Raises:
            OSError: it cannot be read.
        """
        path = Path(os.path.realpath(path))
        stamp = _stamp(path.stat())
        if stamp[0] < LARGE:
            return _sha256(path)
        known = self._known(path)
        same = known is not None and known[0] == stamp
        if known is not None and same and (not self._anew or path in self._read):
            return known[1]
        begun = time.time()
        with path.open("rb") as file:
            before = _stamp(os.fstat(file.fileno()))
            found = _digest(file)
            after = _stamp(os.fstat(file.fileno()))
        if known is not None and same and before == after == known[0] and known[1] != found:
            said.say(
                f"{path}: its content has changed though its size and times have not: the sha256 "
                f"was {known[1][:16]}… and is {found[:16]}… now, which counts. What ran since the "
                "last reading carries the old one. Check the disk, and who put times back"
            )
        if before == after and _tells(after, begun):
            self._keep(path, after, found)
            self._read.add(path)
        return found

    def _known(self, path: Path) -> tuple[Stamp, str] | None:
        if not self._is_own():
            return None
        return files.read(self._entry(path), _entry, of=str(path))

    def _keep(self, path: Path, stamp: Stamp, found: str) -> None:
        """Remember a hash; a store that is only read does without."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._is_own():
                entry = self._entry(path)
                files.write(entry, {"sha256": found, "stamp": list(stamp)}, of=str(path))
                self._forget()

    def _entry(self, path: Path) -> Path:
        return self._folder / digest(str(path))[:16]

    def _forget(self) -> None:
        """Remove the oldest entries beyond :data:`MOST`."""
        with os.scandir(self._folder) as found:
            entries = [Path(entry.path) for entry in found]
        if len(entries) > MOST:
            ages = []
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process forgets it too
                    ages.append((entry.stat().st_mtime_ns, entry))
            for _, entry in sorted(ages)[:-MOST]:
                files.remove(entry)

    def _is_own(self) -> bool:
        """Whether the folder is there, and nobody but this user may write it."""
        try:
            status = os.lstat(self._folder)
        except OSError:
            return False
        if not stat.S_ISDIR(status.st_mode):
            return False
        if not hasattr(os, "getuid"):
            return True  # Windows: the folder has the rights of the user's cache
        return status.st_uid == os.getuid() and not status.st_mode & 0o022


_memory: contextvars.ContextVar[Memory | None] = contextvars.ContextVar("memory", default=None)


def sha256(path: Path) -> str:
    """Return a file's sha256, as the memory in use knows it; read where none is in use.

    Raises:
        OSError: it cannot be read.
    """
    memory = _memory.get()
    return _sha256(path) if memory is None else memory.sha256(path)


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"


def _stamp(status: os.stat_result) -> Stamp:
    return (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
    )


def _tells(stamp: Stamp, now: float) -> bool:
    """Whether a later change of a file would show in its stamp.

    Not where it was changed a moment ago, and not where its times are one whole second: so they are
    in images that can only be read (squashfs, ISO 9660), whose maker writes them, and another image
    in the same place may have the same ones.
    """
    _, content, status, *_ = stamp
    imaged = content == status and content % 1_000_000_000 == 0
    return not imaged and max(content, status) / 1e9 < now - RACY


def _entry(data: Mapping[str, Any]) -> tuple[Stamp, str] | None:
    stamp: Stamp = reading.checked(Stamp, data["stamp"], "stamp")
    found: str = reading.checked(str, data["sha256"], "sha256")
    return (stamp, found) if stamp[0] >= LARGE and _SHA256.fullmatch(found) else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()
