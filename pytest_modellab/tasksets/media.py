"""The images and recordings of a sample, as a line of ``samples.jsonl`` names them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from pytest_modellab.errors import MediaError, TaskSetError, near_misses
from pytest_modellab.media import content, generators, known
from pytest_modellab.media.generators import Generator
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.media import PLACE, Media, MediaKind
from pytest_modellab.records.reading import shown
from pytest_modellab.store.place import default_folder
from pytest_modellab.tasksets import lines

KINDS: tuple[MediaKind, ...] = get_args(MediaKind)

MOST = 64
"""Images and recordings of one sample."""

_SHA256 = re.compile("[0-9a-f]{64}")

NONE: Mapping[str, Generator] = MappingProxyType({})
"""No generator is known."""


class Desk:
    """Where the media of a task set are looked at, each file once.

    Args:
        folder: the task set's, which no path leaves.
        cache: root of the store; the usual one where it is None.
        generators: by name. None where nothing may be run: what they would make is told apart by
            what it is made of, and files are hashed but not decoded.
    """

    def __init__(
        self,
        folder: Path,
        cache: Path | None = None,
        generators: Mapping[str, Generator] | None = NONE,
    ) -> None:
        self._folder = folder
        self._cache = cache or default_folder()
        self._generators = generators
        self._seen: dict[tuple[MediaKind, Path], Media] = {}

    def shown(self, where: str, data: Mapping[str, Any]) -> tuple[str, tuple[Media, ...]]:
        """Return what a sample says to the model: its text, and what it shows with it.

        Args:
            where: file and line, for messages.
            data: the line. ``input`` is a text, with ``image`` and ``audio`` beside it (one, or a
                list of them; images come first); or a list of parts in order.

        Returns:
            The text, with a :data:`PLACE` for each medium where the sample says where they stand;
            and the media in order.

        Raises:
            TaskSetError: a medium cannot be used, or stands nowhere.
        """
        where = f"{where}: sample {shown(data['id'])}"
        if isinstance(data["input"], list):
            text, named = _parts(where, data)
        else:
            text = data["input"]
            named = [(kind, kind, one) for kind in KINDS for one in _listed(where, data, kind)]
        if len(named) > MOST:
            raise TaskSetError(f"{where}: {len(named)} images and recordings; at most {MOST}")
        _check_places(where, text, len(named), data.get("choices", []))
        return text, tuple(self._medium(f"{where}: {key}", kind, one) for kind, key, one in named)

    def _medium(self, where: str, kind: MediaKind, value: object) -> Media:
        table = {"path": value} if isinstance(value, str) else value
        if not isinstance(table, dict) or ("path" in table) == ("generator" in table):
            raise TaskSetError(
                f'{where}: {shown(value)}: expected the path of a file, {{"path": …}}, or '
                '{"generator": …, "seed": …}'
            )
        sha256 = table.get("sha256", "")
        if "sha256" in table and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
            raise TaskSetError(f"{where}.sha256: {shown(sha256)}: expected 64 hex digits, small")
        try:
            if "path" in table:
                found = self._file(where, kind, table)
                if sha256 not in ("", found.sha256):
                    raise TaskSetError(
                        f"{found.path}: changed: its sha256 is {found.sha256}, the sample says "
                        f"{sha256}; put the old file back, or give the task set a new version "
                        "with the new sha256"
                    )
            else:
                found = self._made(where, kind, table, sha256)
        except (TaskSetError, MediaError) as error:
            text = str(error)
            raise TaskSetError(text if text.startswith(where) else f"{where}: {text}") from error
        return dataclasses.replace(found, pinned=bool(sha256))

    def _file(self, where: str, kind: MediaKind, table: Mapping[str, Any]) -> Media:
        for key in table:
            if key not in ("path", "sha256"):
                raise TaskSetError(f"{where}.{key}: unknown key; Known: path, sha256")
        value = table["path"]
        if not isinstance(value, str) or not value or "\0" in value:
            raise TaskSetError(f"{where}: {shown(value)}: expected the path of a file")
        if Path(value).is_absolute():
            raise TaskSetError(
                f"{where}: {shown(value)}: an absolute path is right on one machine alone; name it "
                "from the task set's folder"
            )
        path = self._folder / value
        lines.check_inside(path, self._folder)
        return self._look(path, kind)

    def _made(self, where: str, kind: MediaKind, table: Mapping[str, Any], sha256: str) -> Media:
        seed = table.get("seed")
        if type(seed) is not int or not 0 <= seed < 1 << 63:
            raise TaskSetError(
                f"{where}.seed: {shown(seed)}: expected a whole number of at least 0"
            )
        if self._generators is None:
            return Media(kind, sha256 or digest([kind, dict(table)]), "")
        name = table["generator"]
        found = self._generators.get(name) if isinstance(name, str) else None
        if found is None:
            hint = near_misses(str(name), self._generators)
            raise TaskSetError(f"{where}.generator: unknown {shown(name)}; {hint}")
        if found.kind != kind:
            raise TaskSetError(
                f"{where}.generator: {name!r} makes {content.NAMES[found.kind]}s; name it as "
                f"{found.kind!r}"
            )
        options = {k: v for k, v in table.items() if k not in ("generator", "seed", "sha256")}
        path = generators.made(found, seed, options, sha256, self._cache)
        try:
            media = self._look(path, kind)
        except MediaError as error:
            raise MediaError(f"{found.said(seed, options)}: {error}") from error
        return dataclasses.replace(media, generator=found.said(seed))

    def _look(self, path: Path, kind: MediaKind) -> Media:
        if (kind, path) not in self._seen:
            if self._generators is None:
                read = content.read(path, kind)
                self._seen[kind, path] = Media(kind, read.sha256, str(path), format=read.format)
            else:
                self._seen[kind, path] = known.look(path, kind, self._cache)
        return self._seen[kind, path]


def _check_places(where: str, text: str, count: int, choices: Sequence[str]) -> None:
    """Refuse places without media, and media of which some have a place.

    Raises:
        TaskSetError: there are such.
    """
    places = text.count(PLACE)
    if places and not count:
        raise TaskSetError(
            f"{where}: input: holds U+FFFC, which stands for an image or a recording, and the "
            "sample has none; take the character out, or add 'image' or 'audio'"
        )
    if places not in (0, count):
        raise TaskSetError(
            f"{where}: input: {places} places (U+FFFC) for {count} images and recordings; give "
            "each one a place, or none"
        )
    for choice in choices:
        if PLACE in choice:
            raise TaskSetError(
                f"{where}: choices: {shown(choice)} holds U+FFFC, which stands for an image or a "
                "recording; take the character out"
            )


def _parts(where: str, data: Mapping[str, Any]) -> tuple[str, list[tuple[MediaKind, str, Any]]]:
    """Return text with places, and kind, key and value of each medium in order."""
    for kind in KINDS:
        if kind in data:
            raise TaskSetError(
                f"{where}: {kind}: stands beside an input of parts; make it a part: "
                f'{{"type": "{kind}", "{kind}": …}}'
            )
    texts: list[str] = []
    named: list[tuple[MediaKind, str, Any]] = []
    for number, part in enumerate(data["input"]):
        key = f"input[{number}]"
        said = part.get("type") if isinstance(part, dict) else None
        if said not in ("text", *KINDS) or set(part) != {"type", said}:
            hint = near_misses(str(said), ("text", *KINDS))
            raise TaskSetError(
                f'{where}: {key}: {shown(part)} is no part; expected {{"type": KIND, KIND: …}}; '
                f"{hint}"
            )
        if said == "text":
            if not isinstance(part["text"], str) or PLACE in part["text"]:
                raise TaskSetError(f"{where}: {key}.text: expected a string without U+FFFC")
            texts.append(part["text"])
        for kind in KINDS:
            if said == kind:
                named.append((kind, f"{key}.{kind}", part[kind]))
                texts.append(PLACE)
    text = "".join(texts)
    if not text.replace(PLACE, "").strip():
        raise TaskSetError(f"{where}: input: no part has text")
    return text, named


def _listed(where: str, data: Mapping[str, Any], kind: MediaKind) -> Sequence[Any]:
    value = data.get(kind, [])
    if value == [] and kind in data:
        raise TaskSetError(f"{where}: {kind}: an empty list; name a file, or leave the key out")
    return value if isinstance(value, list) else [value]
