"""Width and height of an image as its first bytes say them, before anything is decoded."""

from __future__ import annotations

import struct

MOST_SCANS = 100
"""Of a JPEG: each is decoded over all pixels, and may be a few bytes."""

_SCAN = b"\xff\xda"
_IEND = b"IEND\xae\x42\x60\x82"


def size(data: bytes, format: str) -> tuple[int, int]:  # noqa: A002 (the field's word)
    """Return width and height in pixels.

    Args:
        data: the file's bytes.
        format: ``png``, ``jpeg``, ``webp`` or ``bmp``.

    Raises:
        ValueError: they are not there.
        struct.error: the file ends before them.
    """
    width, height = _SIZES[format](data)
    if width < 1 or height < 1:
        raise ValueError(f"{width} × {height} pixels")
    return width, height


def check_end(data: bytes, format: str) -> None:  # noqa: A002
    """Refuse an image whose end is not there though all its pixels may be, or has no end of scans.

    Raises:
        ValueError: the message says which.
    """
    if format == "png" and _IEND not in data:
        raise ValueError("no IEND chunk at its end")
    if format == "jpeg" and data.count(_SCAN) > MOST_SCANS:
        raise ValueError(f"more than {MOST_SCANS} scans of the same picture")


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise ValueError("no IHDR chunk at its start")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    """Walk from segment to segment up to the frame's; each lies behind the one before."""
    at = 2
    while True:
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] == b"\xff":
            at += 1  # fill bytes
        mark, kind, length = struct.unpack_from(">BBH", data, at)
        if mark != 0xFF or length < 2:
            raise ValueError("no frame header")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + length


def _webp(data: bytes) -> tuple[int, int]:
    chunk = data[12:16]
    if chunk == b"VP8X":
        ends = data[24:30]
        width, height = (int.from_bytes(ends[i : i + 3], "little") + 1 for i in (0, 3))
        return (width, height) if len(ends) == 6 else (0, 0)
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("no frame in it")


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    if header == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return width, height
    width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


_SIZES = {"png": _png, "jpeg": _jpeg, "webp": _webp, "bmp": _bmp}
