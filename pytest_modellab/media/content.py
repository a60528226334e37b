"""The bytes of an image or a recording: bounded, and told apart, before any library sees them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from pytest_modellab.errors import MediaError
from pytest_modellab.media import formats
from pytest_modellab.records.media import Media, MediaKind
from pytest_modellab.store import checkout, regular
from pytest_modellab.visible import raised

IMAGE_BYTES, AUDIO_BYTES = 32_000_000, 256_000_000
"""Of one file; larger ones are refused unread."""

MOST_BYTES: dict[MediaKind, int] = {"image": IMAGE_BYTES, "audio": AUDIO_BYTES}

NAMES: dict[MediaKind, str] = {"image": "image", "audio": "recording"}

_EXTRAS: dict[MediaKind, tuple[str, str]] = {
    "image": ("reading images needs Pillow", "vision"),
    "audio": ("reading recordings needs PyAV", "speech"),
}

_OBJECT = re.compile(r" <[^<>]* at 0x[0-9a-f]+>")
"""An object in the words of a library, which are others in each process."""

_INSTEAD = {
    "gif": "save the picture that is meant as PNG",
    "tiff": "save it as PNG",
    "pdf": "save the page that is meant as PNG",
    "svg or xml": "draw it as PNG",
}


@dataclasses.dataclass(frozen=True)
class Content:
    """A file's bytes.

    Attributes:
        data: all of them.
        format: what they are.
        sha256: of them, 64 hex digits.
    """

    data: bytes
    format: str
    sha256: str


def read(path: Path, kind: MediaKind) -> Content:
    """Read a file that is to be an image or a recording.

    Raises:
        MediaError: it is missing, empty, too large, no file, stands for another (Git LFS), or is of
            a format that is not read.
    """
    check(path, kind)
    with _readable(path), path.open("rb") as file:
        data = file.read(MOST_BYTES[kind] + 1)
    return Content(data, _format(path, data, kind), hashlib.sha256(data).hexdigest())


def check(path: Path, kind: MediaKind) -> None:
    """Refuse a file by what the system says of it, before it is read.

    Raises:
        MediaError: it is missing, no file, or too large.
    """
    with _readable(path):
        regular.check(path)
        size = path.stat().st_size
    if size > MOST_BYTES[kind]:
        raise MediaError(
            f"{path}: {size / 1e6:.0f} MB; {NAMES[kind]}s of samples have at most "
            f"{MOST_BYTES[kind] / 1e6:.0f} MB each"
        )


def again(media: Media) -> Content:
    """Read a medium's file when it is needed.

    Raises:
        MediaError: as :func:`read`, or its content is no longer what it was.
    """
    found = read(Path(media.path), media.kind)
    if found.sha256 != media.sha256:
        raise MediaError(
            f"{media.path}: it has changed since its task set was read: the sha256 was "
            f"{media.sha256[:16]}… and is {found.sha256[:16]}… now; leave it alone during a run, "
            "and run again"
        )
    return found


@contextlib.contextmanager
def library(kind: MediaKind) -> Iterator[None]:
    """Say what to install where a library that is imported inside is missing.

    Raises:
        MediaError: in place of an ImportError.
    """
    needs, extra = _EXTRAS[kind]
    try:
        yield
    except ImportError as error:
        raise MediaError(f"{needs}: pip install 'pytest-modellab[{extra}]'") from error


@contextlib.contextmanager
def decoding(path: Path, kind: MediaKind) -> Iterator[None]:
    """Tell whatever a library raises for a damaged file as one kind of error.

    Raises:
        MediaError: in place of any other.
    """
    try:
        yield
    except MediaError:
        raise
    except Exception as error:  # decoders raise SyntaxError, struct.error, …
        why = _OBJECT.sub("", raised(error))
        raise MediaError(
            f"{path}: a damaged or truncated {NAMES[kind]} ({why}); put a whole file there"
        ) from error


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MediaError(f"{path}: no such file; put it there, or correct the path") from error
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error}") from error


def _format(path: Path, data: bytes, kind: MediaKind) -> str:
    """Return the format of a kind that a file has.

    Raises:
        MediaError: it has none that is read.
    """
    known = formats.read_of(kind)
    if not data:
        raise MediaError(f"{path}: an empty file; put the {NAMES[kind]} there")
    if said := checkout.standing_in(data[: checkout.HEAD], path):
        raise MediaError(f"{path}: {said}")
    found = formats.told(data[: formats.HEAD])
    if found in known:
        return found
    may = f"{', '.join(known)} are read, whatever the file's name"
    if not found:
        raise MediaError(f"{path}: its content is no {NAMES[kind]} of a known format; {may}")
    other = [of for of in NAMES if found in formats.read_of(of)]
    if other:
        raise MediaError(f"{path}: {found}, a format of {NAMES[other[0]]}s; {may}")
    instead = _INSTEAD.get(found, f"convert it to {known[0]}")
    raise MediaError(f"{path}: its content is {found}; {may}: {instead}")
