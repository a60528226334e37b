"""What was seen of an image or a recording, remembered by its content: it is decoded once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import MediaError
from pytest_modellab.media import content, images, sound
from pytest_modellab.media.content import Content
from pytest_modellab.records import reading
from pytest_modellab.records.media import Media, MediaKind
from pytest_modellab.store import files, hashes
from pytest_modellab.store.place import entry

VERSION = 2
"""Raised when something else is looked at, or refused: all is looked at anew then."""

_LOOK: Mapping[MediaKind, Callable[[Path, Content], Media]] = {
    "image": images.look,
    "audio": sound.look,
}


@dataclasses.dataclass(frozen=True)
class _Seen:
    """What a file's content says; equal content, equal words."""

    format: str
    width: reading.Count
    height: reading.Count
    seconds: reading.Amount
    sample_rate: reading.Count
    channels: reading.Count


def look(path: Path, kind: MediaKind, cache: Path) -> Media:
    """Look at a file as ``inspect`` does, unless its content was looked at before.

    Args:
        path: of the file.
        kind: what it is to be.
        cache: root of the store.

    Raises:
        MediaError: it cannot be used.
    """
    content.check(path, kind)
    try:
        sha256 = hashes.sha256(path)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error}") from error
    place = entry(cache, "media", [VERSION, kind, sha256]).with_suffix(".json")
    seen = files.read(place, lambda data: reading.build(_Seen, data), of=sha256)
    if seen is not None:
        return Media(kind, sha256, str(path.absolute()), **dataclasses.asdict(seen))
    found = content.read(path, kind)
    media = _LOOK[kind](path, found)
    facts: dict[str, Any] = {
        field.name: getattr(media, field.name) for field in dataclasses.fields(_Seen)
    }
    place = entry(cache, "media", [VERSION, kind, media.sha256]).with_suffix(".json")
    with contextlib.suppress(OSError):  # a store that is only read does without
        files.write(place, facts, of=media.sha256)
    return media
