"""Single files of the store: written whole, and read as if missing where they are damaged.

Each is a JSON object with a digest of its content and of what the content answers for, so that
neither a flipped bit nor another entry's file is believed.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pytest_modellab.records.hashing import canonical_json, digest
from pytest_modellab.store import atomic

T = TypeVar("T")

LOG = logging.getLogger("pytest_modellab.store")
"""Where the store says what it does not believe; a session's report repeats it as notes."""


SEAL = "digest"
"""The key of a file that holds its digest."""


PIECE = 1 << 22
"""Bytes read at a time for a checksum."""


_DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What reading a file raises that was cut off, overwritten or written by hand."""


def write(path: Path, content: Mapping[str, Any], *, of: str) -> None:
    """Write ``content`` as JSON, in one line that is the same for equal content.

    Args:
        path: destination.
        content: plain data with keys other than :data:`SEAL`.
        of: what it answers for; who reads it must say the same.

    Raises:
        OSError: as :func:`atomic.write_text`.
    """
    sealed = {**content, SEAL: digest([of, content])}
    atomic.write_text(path, canonical_json(sealed) + "\n")


def read(
    path: Path, make: Callable[[dict[str, Any]], T | None], *, of: str, lost: str = ""
) -> T | None:
    """Return what a file of the store holds.

    Args:
        path: the file.
        make: takes the content; the errors that it meets in content of another form mean that the
            file is damaged, and so does None.
        of: what it answers for, as it was written.
        lost: what a reader is told where the file is there and not believed, for example ``the
            vectors are made again``; nothing where it is empty.

    Returns:
        What ``make`` returns; None where the file is missing or damaged.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    else:
        try:
            data = json.loads(raw.decode())
            if SEAL in data:
                stated = data.pop(SEAL)
                if stated == digest([of, data]) and (made := make(data)) is not None:
                    return made
                reason = "is damaged: its digest does not match what it holds"
            else:
                reason = "has no digest, as an older version wrote it"
        except _DAMAGED:
            reason = "is damaged: it is not what was written"
    if lost:
        LOG.warning("%s: %s %s", lost, "/".join(path.parts[-3:]), reason)
    return None


def checksum(path: Path, size: int | None = None) -> int:
    """Return the CRC-32 of a file's first ``size`` bytes, of all where None.

    It tells damage, not malice, at the speed of the disk.
    """
    crc, left = 0, path.stat().st_size if size is None else size
    with path.open("rb") as file:
        while left and (piece := file.read(min(PIECE, left))):
            crc, left = zlib.crc32(piece, crc), left - len(piece)
    return crc
