"""From a path to bytes or text, with every way in which that can go wrong."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from pathlib import Path
from typing import IO

from pytest_modellab.store import checkout
from pytest_modellab.tables.purpose import Purpose

UNPACKED = 1 << 30
"""Bytes that a file may hold, and that a gzipped one may unpack to."""


RATIO = 200
"""How many times its size a gzipped file may unpack to, beyond :data:`SMALL`; scores reach 50."""


_PIECE = 1 << 20


SMALL = 1 << 24
"""Bytes that any file may unpack to."""


def read_bytes(path: Path, purpose: Purpose) -> bytes:
    """The file's content.

    Raises:
        ModellabError: of the purpose's kind: it is missing, empty, too large, or a Git LFS pointer.
    """
    try:
        with path.open("rb") as file:
            content = _read(file, UNPACKED)
    except OSError as error:
        raise purpose.error(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > UNPACKED:
        raise purpose.error(
            f"{path}: has more than {UNPACKED:,} bytes, which is no {purpose.what}; "
            f"{purpose.smaller}"
        )
    if not content.strip():
        raise purpose.error(f"{path}: empty; {purpose.wanted}")
    if said := checkout.standing_in(content, path):
        raise purpose.error(f"{path}: {said}")
    return content


def text(path: Path, content: bytes, purpose: Purpose) -> str:
    """Content as text; byte order marks at the start of lines are dropped, ``.gz`` is unpacked.

    Raises:
        ModellabError: of the purpose's kind: it is not gzip where its name says so, unpacks to too
            much, or is not UTF-8.
    """
    if path.suffix.lower() == ".gz":
        content = _unpacked(path, content, purpose)
    try:
        decoded = checkout.unmarked(checkout.decoded(_narrow(content)))
    except checkout.Unready as error:
        raise purpose.error(f"{path}: {error}") from error
    if "\0" in decoded:
        line = decoded.count("\n", 0, decoded.index("\0")) + 1
        raise purpose.error(f"{path}: line {line}: holds a zero byte, so this is no text file")
    if not decoded.strip():
        raise purpose.error(f"{path}: empty; {purpose.wanted}")
    return decoded


def _narrow(content: bytes) -> bytes:
    """Return UTF-16, which Excel calls Unicode text, as UTF-8; what is malformed stays as it is."""
    if not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content
    try:
        return content.decode("utf-16").encode()
    except UnicodeError:
        return content


def limit(packed: int) -> int:
    """Return how many bytes a file of a size may unpack to."""
    return min(UNPACKED, max(SMALL, RATIO * packed))


def _unpacked(path: Path, content: bytes, purpose: Purpose) -> bytes:
    """Unpack gzip, a piece at a time, and never more than the limits.

    Raises:
        ModellabError: of the purpose's kind: it is malformed, or unpacks to more.
    """
    most = limit(len(content))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = _read(file, most)
    except (OSError, EOFError, zlib.error) as error:
        raise purpose.error(f"{path}: malformed or truncated gzip: {error}") from error
    if len(unpacked) > most:
        raise purpose.error(
            f"{path}: {len(content):,} bytes of gzip unpack to more than {most:,}, "
            f"which is no {purpose.what}; unpack it yourself and look what it holds"
        )
    return unpacked


def _read(file: IO[bytes] | gzip.GzipFile, most: int) -> bytes:
    """Read to the end, or somewhat beyond a limit; in pieces, as each takes up its memory first."""
    pieces, total = [], 0
    while total <= most and (piece := file.read(_PIECE)):
        pieces.append(piece)
        total += len(piece)
    return b"".join(pieces)
