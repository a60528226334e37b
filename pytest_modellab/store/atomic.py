"""Writing files so that a reader or a kill never meets half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TextIO


def write_text(path: Path, text: str) -> None:
    r"""Write ``text`` to ``path`` through a temporary file, fsync and rename.

    Args:
        path: destination; its folder is made where missing. An existing file is replaced at once.
        text: the whole content, written as UTF-8 with ``\n`` line ends.

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = beside(path)
    try:
        with new_file(part) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        raise


def beside(path: Path) -> Path:
    """Return a path for what will become ``path``, under a name that nobody can foresee."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def new_file(path: Path) -> TextIO:
    """Open a file that is not there yet, not even as a link, with the mode that the umask says."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="\n")
