"""Files are read to their end, which a pipe or a device in the place of one need not have."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def check(path: Path) -> None:
    """Refuse what a reader may wait for without end; a link to a file is one.

    A folder is left to the reader, for which the system has words of its own.

    Args:
        path: about to be opened for reading.

    Raises:
        OSError: it is a pipe, a socket or a device, or nothing is there.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "Is a pipe or a device, and no regular file", str(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: as :func:`check`, or it cannot be read.
    """
    check(path)
    return path.read_bytes()
