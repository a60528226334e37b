"""Images and recordings that code of the repository makes from a seed, and the store keeps."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from pytest_modellab.errors import MediaError, near_misses
from pytest_modellab.media import content, formats
from pytest_modellab.records.media import MediaKind
from pytest_modellab.records.reading import shown
from pytest_modellab.store import atomic, files, regular, said
from pytest_modellab.store.place import entry
from pytest_modellab.visible import raised

_NAME = re.compile(r"([0-9a-f]{64})\.[a-z0-9]+")


@dataclasses.dataclass(frozen=True)
class Generator:
    """Makes images or recordings; a sample names it with a seed.

    Attributes:
        name: as samples have it: ``"image": {"generator": NAME, "seed": 7, …}``.
        version: a whole number; raise it when a seed gives another file.
        kind: ``image`` or ``audio``.
        make: takes the seed and the sample's further options, and returns the bytes of a file in
            one of the formats that are read. Equal arguments must give equal bytes.
    """

    name: str
    version: int
    kind: MediaKind
    make: Callable[[int, Mapping[str, Any]], bytes]

    def problem(self) -> str | None:
        """Say what is wrong with what is declared, or None."""
        if type(self.version) is not int or self.version < 1:
            return f"version: {shown(self.version)}: expected a whole number of at least 1"
        if self.kind not in get_args(MediaKind):
            return f"kind: unknown {shown(self.kind)}; {near_misses(str(self.kind), content.NAMES)}"
        return None

    def said(self, seed: int, options: Mapping[str, Any] | None = None) -> str:
        """Name what is made, for messages."""
        more = f", options {shown(dict(options))}" if options else ""
        return f"generator {self.name!r} version {self.version}, seed {seed}{more}"


def made(
    generator: Generator, seed: int, options: Mapping[str, Any], sha256: str, cache: Path
) -> Path:
    """Return the file that a generator makes, from the store where it was made before.

    Args:
        generator: makes it.
        seed: of it.
        options: of the sample.
        sha256: what it must be, 64 hex digits; empty where the sample does not say.
        cache: root of the store.

    Raises:
        MediaError: the generator fails, makes no bytes of a known format or too many, or others
            than the sample says.
    """
    made_of = [generator.name, generator.version, generator.kind, seed, dict(options)]
    folder = entry(cache, "generated", made_of)
    kept = _kept(folder)
    if kept is not None and sha256 in ("", kept[0]):
        return kept[1]
    what = generator.said(seed, options)
    try:
        data = generator.make(seed, options)
    except Exception as error:  # code of others may raise anything
        raise MediaError(f"{what}: {raised(error)}; mend the generator, or the sample") from error
    if not isinstance(data, bytes):
        raise MediaError(f"{what}: made {shown(data)}, expected the bytes of a file")
    if len(data) > content.MOST_BYTES[generator.kind]:
        most = content.MOST_BYTES[generator.kind] / 1e6
        raise MediaError(f"{what}: made {len(data) / 1e6:.0f} MB, expected at most {most:.0f}")
    known = formats.read_of(generator.kind)
    found = formats.told(data[: formats.HEAD])
    if found not in known:
        raise MediaError(
            f"{what}: made {found or 'no known format'}; expected one of {', '.join(known)}"
        )
    is_now = hashlib.sha256(data).hexdigest()
    if sha256 not in ("", is_now):
        raise MediaError(
            f"{what}: made a file with sha256 {is_now}, the sample says {sha256}: the generator "
            "has changed, or a library or a font in another version draws other bytes; install "
            "the versions that the task set was made with, or give it a new version with the new "
            "sha256"
        )
    return _keep(folder, data, f"{is_now}{formats.SUFFIXES[found][0]}", what)


def _kept(folder: Path) -> tuple[str, Path] | None:
    """Return hash and path of a file that is kept whole, or None."""
    try:
        paths = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except OSError:
        return None
    for path in paths:
        sha256 = path.name[:64]
        with contextlib.suppress(OSError):
            regular.check(path)
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                    return sha256, path
        said.say(f"{'/'.join(path.parts[-3:])} is damaged; it is made anew")
        with contextlib.suppress(OSError):
            files.remove(path)
    return None


def _keep(folder: Path, data: bytes, name: str, what: str) -> Path:
    path = folder / name
    try:
        atomic.write_bytes(path, data)
        for other in folder.iterdir():
            if _NAME.fullmatch(other.name) and other.name != name:
                files.remove(other)
    except OSError as error:
        raise MediaError(
            f"{what}: {folder} cannot be written: {error}. Free some space, or choose another "
            "folder: MODELLAB_CACHE=/some/folder"
        ) from error
    return path
