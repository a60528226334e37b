"""The images and recordings of a sample, as a line of ``samples.jsonl`` names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pytest_modellab.errors import MediaError, TaskSetError, near_misses
from pytest_modellab.media import images, sound
from pytest_modellab.records.media import PLACE, Media, MediaKind
from pytest_modellab.records.reading import shown
from pytest_modellab.tasksets import lines

KINDS: tuple[MediaKind, ...] = get_args(MediaKind)

MOST = 64
"""Images and recordings of one sample."""

_LOOK: Mapping[MediaKind, Callable[[Path], Media]] = {
    "image": images.inspect,
    "audio": sound.inspect,
}


def of(where: str, data: Mapping[str, Any], folder: Path) -> tuple[str, tuple[Media, ...]]:
    """Return what a sample says to the model: its text, and what it shows with it.

    Args:
        where: file and line, for messages.
        data: the line. ``input`` is a text, with ``image`` and ``audio`` beside it (one, or a
            list of them; images come first); or a list of parts in order.
        folder: the task set's, which no path leaves.

    Returns:
        The text, with a :data:`PLACE` for each medium where the sample says where they stand; and
        the media in order.

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
        raise TaskSetError(f"{where}: {len(named)} images and recordings; at most {MOST} of them")
    places = text.count(PLACE)
    if places and not named:
        raise TaskSetError(
            f"{where}: input: holds U+FFFC, which stands for an image or a recording, and the "
            "sample has none; take the character out, or add 'image' or 'audio'"
        )
    if places and places != len(named):
        raise TaskSetError(
            f"{where}: input: {places} places (U+FFFC) for {len(named)} images and recordings; "
            "give each one a place, or none"
        )
    for choice in data.get("choices", []):
        if PLACE in choice:
            raise TaskSetError(
                f"{where}: choices: {shown(choice)} holds U+FFFC, which stands for an image or a "
                "recording; take the character out"
            )
    return text, tuple(_medium(f"{where}: {key}", kind, one, folder) for kind, key, one in named)


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


def _medium(where: str, kind: MediaKind, value: object, folder: Path) -> Media:
    if not isinstance(value, str) or not value or "\0" in value:
        raise TaskSetError(f"{where}: {shown(value)}: expected the path of a file")
    path = folder / value
    try:
        lines.check_inside(path, folder)
        return _LOOK[kind](path)
    except (TaskSetError, MediaError) as error:
        raise TaskSetError(f"{where}: {error}") from error
