"""From a path to bytes or text, with every way in which that can go wrong."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from pytest_modellab.errors import ScoreFileError

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def read_bytes(path: Path) -> bytes:
    """The file's content.

    Raises:
        ScoreFileError: it is missing, empty, or a Git LFS pointer.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ScoreFileError(f"{path}: cannot be read: {error.strerror}") from error
    if not content.strip():
        raise ScoreFileError(f"{path}: empty; hand in one score a sample")
    if content.startswith(_LFS_POINTER):
        raise ScoreFileError(
            f"{path}: a Git LFS pointer, not the file itself; fetch it: "
            f"git lfs pull --include {path.name}"
        )
    return content


def text(path: Path, content: bytes) -> str:
    """Content as text; a byte order mark is dropped, ``.gz`` is unpacked.

    Raises:
        ScoreFileError: it is not gzip where its name says so, or not UTF-8.
    """
    if path.suffix.lower() == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ScoreFileError(f"{path}: malformed or truncated gzip: {error}") from error
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ScoreFileError(
            f"{path}: line {line}: not UTF-8 ({error.reason}, byte {error.start}); "
            "save the file as UTF-8 text"
        ) from error
    if "\0" in decoded:
        line = decoded.count("\n", 0, decoded.index("\0")) + 1
        raise ScoreFileError(f"{path}: line {line}: holds a zero byte, so this is no text file")
    if not decoded.strip():
        raise ScoreFileError(f"{path}: empty; hand in one score a sample")
    return decoded
