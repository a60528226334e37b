"""Single files of the store: written whole, and read as if missing where they are damaged.

Each is a JSON object that begins with a digest of its content and of what the content answers for,
so that neither a flipped bit nor another entry's file is believed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pytest_modellab.records.hashing import canonical_json
from pytest_modellab.records.reading import Unfit
from pytest_modellab.store import atomic, regular, said

T = TypeVar("T")

PIECE = 1 << 22
"""Bytes read at a time for a checksum."""


_SEAL = b'{"digest":"%s",'
"""How a sealed line begins."""


UNREADABLE = (
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


class Damaged(ValueError):
    """A line is not what was written; the message says why, as ``is damaged: …``."""


def seal(content: Mapping[str, Any], of: str) -> bytes:
    """Return ``content`` as a line of JSON that begins with a digest; equal content, equal line.

    Args:
        content: plain data, not empty, without a key ``digest``.
        of: what it answers for.
    """
    line = canonical_json(content).encode() + b"\n"
    return _SEAL % _digest(line, of) + line[1:]


def unseal(line: bytes, of: str) -> dict[str, Any]:
    """Return what :func:`seal` was given.

    Args:
        line: what it returned.
        of: what it must answer for.

    Raises:
        Damaged: it returned another line, or for another ``of``.
    """
    head, _, rest = line.partition(b",")
    content = b"{" + rest
    if head + b"," != _SEAL % _digest(content, of):
        if line.startswith(b"{") and b'"digest":' not in line:
            raise Damaged("has no digest, as an older version wrote it")
        raise Damaged("is damaged: its digest does not match what it holds")
    data: dict[str, Any] = json.loads(content)
    return data


def _digest(line: bytes, of: str) -> bytes:
    return hashlib.sha256(of.encode() + b"\n" + line).hexdigest().encode()


def write(path: Path, content: Mapping[str, Any], *, of: str) -> None:
    """Write ``content`` with its seal.

    Args:
        path: destination.
        content: as :func:`seal`.
        of: what it answers for; who reads it must say the same.

    Raises:
        OSError: as :func:`atomic.write_text`.
    """
    if path.is_dir():
        remove(path)
    atomic.write_text(path, seal(content, of).decode())


def remove(path: Path) -> None:
    """Remove a file of the store, and whatever else lies in its place; nothing need lie there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
        if (made := make(unseal(regular.read_bytes(path), of))) is not None:
            return made
        why = reason()
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        why = reason(error)
    if lost:
        said.say(f"{lost}: {'/'.join(path.parts[-3:])} {why}")
    return None


def reason(error: Exception | None = None) -> str:
    """Say why a file is not believed; what is sealed and still no use, another version has written.

    Args:
        error: what reading it raised.
    """
    if isinstance(error, Damaged):
        return str(error)
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror})"
    return "is not what this version reads" + (f": {error}" if isinstance(error, Unfit) else "")


def checksum(path: Path, size: int | None = None) -> int:
    """Return the CRC-32 of a file's first ``size`` bytes, of all where None.

    It tells damage, not malice, at the speed of the disk.

    Raises:
        OSError: as :func:`regular.check`, or it cannot be read.
    """
    regular.check(path)
    crc, left = 0, path.stat().st_size if size is None else size
    with path.open("rb") as file:
        while left and (piece := file.read(min(PIECE, left))):
            crc, left = zlib.crc32(piece, crc), left - len(piece)
    return crc
