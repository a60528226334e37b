"""Writing files so that a reader or a kill never meets half of one."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import TextIO

_SUFFIX = ".tmp"


def write_text(path: Path, text: str) -> None:
    r"""Write ``text`` to ``path`` through a temporary file, fsync and rename.

    A temporary file that a kill has left beside it goes with the next write of the same file.

    Args:
        path: destination; its folder is made where missing. An existing file is replaced at once.
        text: the whole content, written as UTF-8 with ``\n`` line ends.

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is untouched.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file of bytes, as :func:`write_text`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path)
    while not _written(path, content):
        pass  # another process that writes the same file has cleared this one's away


def _written(path: Path, content: bytes) -> bool:
    """Write a file once; False where the temporary one was taken away meanwhile."""
    part = beside(path)
    try:
        with new_file(part) as file:
            file.buffer.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        # of the rename alone, whose error has a second name: not where no file can be made at all
        renamed = isinstance(error, FileNotFoundError) and error.filename2 is not None
        if renamed and path.parent.is_dir() and not part.exists():
            return False
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return True


def beside(path: Path) -> Path:
    """Return a path for what will become ``path``, under a name that nobody can foresee."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{_SUFFIX}")


def new_file(path: Path) -> TextIO:
    """Open a file that is not there yet, not even as a link, with the mode that the umask says."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="\n")


def _clear(path: Path) -> None:
    """Remove the temporary files of writers of this file that were killed."""
    left = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(_SUFFIX)}")
    with os.scandir(path.parent) as found:
        names = [entry.name for entry in found if left.fullmatch(entry.name)]
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(path.parent / name)
