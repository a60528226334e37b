"""From a path to bytes or text, with every way in which that can go wrong."""

from __future__ import annotations

import codecs
import gzip
import io
import re
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


_WIDE = (
    ("utf-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    ("utf-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
)


_OTHERS = (
    (b"PK\3\4", "an Excel workbook or another zip archive"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook of the old kind"),
    (b"\x1f\x8b", "gzip, whose name would end in .gz"),
    (b"PAR1\x15", "Parquet"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
)
"""How files begin that are handed in for tables under their names."""


_HEAD = 256
"""Bytes at the start that tell UTF-16, in which every other byte of most texts is zero."""


_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
"""What is in no line that names columns; an escape may be, as colours of a terminal are."""


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
            much, is no text, or not UTF-8.
    """
    if path.suffix.lower() == ".gz":
        content = _unpacked(path, content, purpose)
    content = _narrow(content)
    if said := _no_text(content):
        raise purpose.error(f"{path}: {said}; save the table as CSV or JSON lines, in UTF-8")
    try:
        decoded = checkout.unmarked(checkout.decoded(content))
    except checkout.Unready as error:
        raise purpose.error(f"{path}: {error}") from error
    if not decoded.strip():
        raise purpose.error(f"{path}: empty; {purpose.wanted}")
    return decoded


def _narrow(content: bytes) -> bytes:
    """Return UTF-16, which Excel calls Unicode text, or UTF-32 as UTF-8; malformed stays as it is.

    The mark of UTF-32 begins with that of UTF-16, so it is looked for first.
    """
    for encoding, marks in _WIDE:
        if content.startswith(marks):
            try:
                return content.decode(encoding).encode()
            except UnicodeError:
                return content
    return content


def _no_text(content: bytes) -> str | None:
    """Say why this is no text: what it is instead, or the first byte that none has; or None."""
    for begin, name in _OTHERS:
        if content.startswith(begin):
            return f"is no text, but {name}"
    every_other = content[:_HEAD:2], content[1:_HEAD:2]
    if any(2 * part.count(0) > len(part) > 1 for part in every_other):
        return "looks like UTF-16 without a byte order mark"
    at = content.find(0)
    if at < 0:
        first = _CONTROL.search(content.partition(b"\n")[0])
        if first is None:
            return None
        at = first.start()
    line, before = content.count(b"\n", 0, at) + 1, content.rfind(b"\n", 0, at)
    return f"line {line}, byte {at - before}: 0x{content[at]:02X}, which is in no text"


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
