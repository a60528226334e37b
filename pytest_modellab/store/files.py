"""Single files of the store: written whole, and read as if missing where they are damaged."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pytest_modellab.records.hashing import canonical_json
from pytest_modellab.store import atomic

T = TypeVar("T")

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


def write(path: Path, content: object) -> None:
    """Write ``content`` as JSON, in one line that is the same for equal content.

    Raises:
        OSError: as :func:`atomic.write_text`.
    """
    atomic.write_text(path, canonical_json(content) + "\n")


def read(path: Path, make: Callable[[Any], T | None]) -> T | None:
    """Return what a JSON file holds.

    Args:
        path: the file.
        make: takes the parsed JSON, which may be any; the errors that it meets in content of
            another form mean that the file is damaged, and so does None.

    Returns:
        What ``make`` returns; None where the file is missing or damaged.
    """
    try:
        return make(json.loads(path.read_text(encoding="utf-8")))
    except _DAMAGED:
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
