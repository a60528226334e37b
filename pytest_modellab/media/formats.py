"""What a file is, by its first bytes; its name says nothing."""

from __future__ import annotations

from collections.abc import Callable

from pytest_modellab.records.media import MediaKind

HEAD = 64
"""Bytes at the start of a file that tell its format."""

IMAGES = ("png", "jpeg", "webp", "bmp")
SOUNDS = ("wav", "flac", "ogg", "mp3")

SUFFIXES = {
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "webp": (".webp",),
    "bmp": (".bmp", ".dib"),
    "wav": (".wav", ".wave"),
    "flac": (".flac",),
    "ogg": (".ogg", ".oga", ".opus"),
    "mp3": (".mp3",),
}
"""How files of a format are named; the first is the usual one."""

_BOXES = (b"ftyp", b"moov", b"mdat")
_BLANK = b"\xef\xbb\xbf \t\r\n"


def _is_mp3(head: bytes) -> bool:
    """Whether a frame of MPEG layer III begins there, or a tag that stands before one."""
    frame = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 == 0x02
    return frame or head.startswith(b"ID3")


_KNOWN: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("png", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n")),
    ("jpeg", lambda head: head.startswith(b"\xff\xd8\xff")),
    ("webp", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    ("bmp", lambda head: head.startswith(b"BM") and head[6:10] == bytes(4)),
    ("wav", lambda head: head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE"),
    ("flac", lambda head: head.startswith(b"fLaC")),
    ("ogg", lambda head: head.startswith(b"OggS")),
    ("gif", lambda head: head.startswith((b"GIF87a", b"GIF89a"))),
    ("tiff", lambda head: head.startswith((b"II*\x00", b"MM\x00*"))),
    ("heif or avif", lambda head: head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"mif", b"avi")),
    ("mp4 or m4a", lambda head: head[4:8] in _BOXES),
    ("webm or mkv", lambda head: head.startswith(b"\x1aE\xdf\xa3")),
    ("aiff", lambda head: head[:4] == b"FORM" and head[8:11] == b"AIF"),
    ("pdf", lambda head: head.startswith(b"%PDF-")),
    (
        "svg or xml",
        lambda head: head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<svg")),
    ),
    ("mp3", _is_mp3),
)


def told(head: bytes) -> str:
    """Return the format of a file, or an empty string.

    Args:
        head: its first :data:`HEAD` bytes.

    Returns:
        One of :data:`IMAGES` or :data:`SOUNDS`, or the name of a format that is not read here.
    """
    return next((name for name, fits in _KNOWN if fits(head)), "")


def read_of(kind: MediaKind) -> tuple[str, ...]:
    """Return the formats of a kind that are read."""
    return IMAGES if kind == "image" else SOUNDS
