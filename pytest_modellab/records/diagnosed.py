"""A diagnosis as JSON: sorted keys, bounded, and checked key by key when it is read back."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.records import reading
from pytest_modellab.records.diagnosis import (
    SCHEMA,
    Diagnosis,
    Finding,
    Heat,
    Lines,
    Panel,
    Picture,
    Sides,
)
from pytest_modellab.visible import CELL, shortened

BYTES = 200_000
"""What a diagnosis takes as JSON, at most."""


LARGEST = sys.float_info.max
"""Written for what is not a number or infinite: JSON has neither."""


READ = 64_000_000
"""Characters of a text that is read at all."""


_DIGITS = 6


_PICTURE_DIGITS = 4


_FEW = 100  # leaves and nodes that are kept where all would be too much


_FEWEST = 20  # of everything, where even that would be too much


_KINDS: Mapping[str, type[Panel]] = {"heat": Heat, "lines": Lines, "sides": Sides}


def finite(value: float) -> bool:
    """Whether a figure was one, before it was written and read back as well."""
    return math.isfinite(value) and abs(value) < LARGEST


def to_json(diagnosis: Diagnosis, most: int | None = BYTES) -> str:
    """Write a diagnosis as one line of JSON.

    Args:
        diagnosis: any.
        most: bytes that it may have; None for all of it. Where it would have more, the values of
            the largest pictures are left out, then the leaves and nodes that stand out least, and
            a note says so.

    Returns:
        Equal text for equal diagnoses. Values of pictures have four significant digits, other
        figures six; what is not finite is written as :data:`LARGEST`.
    """
    text = _written(diagnosis)
    if most is None or len(text) <= most:
        return text
    found, left_out = diagnosis, []
    for name in _by_size(diagnosis):
        left_out.append(name)
        found = _without(diagnosis, left_out)
        if len(text := _written(found)) <= most:
            return text
    return _written(_few(found, most))


def from_json(text: str) -> Diagnosis:
    """Read what :func:`to_json` wrote.

    Args:
        text: of anybody.

    Raises:
        ValueError: it is something else, or a diagnosis of another schema; the message names the
            place.
    """
    if len(text) > READ:
        raise ValueError(f"{len(text):,} characters are no diagnosis: at most {READ:,} are read")
    try:
        data = reading.table(json.loads(text), "", "schema")
    except RecursionError:
        raise ValueError("no diagnosis: nested too deep") from None
    if type(data["schema"]) is not int or data["schema"] != SCHEMA:
        raise reading.Unfit(
            f"schema is {reading.shown(data['schema'])}, this version of pytest-modellab reads "
            f"{SCHEMA}: diagnose again"
        )
    given = reading.checked(tuple[Any, ...], data.get("pictures", []), "pictures")
    pictures = tuple(_picture(one, f"pictures[{i}]") for i, one in enumerate(given))
    rest = {key: value for key, value in data.items() if key != "pictures"}
    return dataclasses.replace(reading.build(Diagnosis, rest), pictures=pictures)


def as_read(
    findings: Sequence[Finding], pictures: Sequence[Picture], notes: Sequence[str]
) -> tuple[tuple[Finding, ...], tuple[Picture, ...], tuple[str, ...]]:
    """Parts of a diagnosis, as they are when it was written and read.

    Args:
        findings: of anybody.
        pictures: likewise.
        notes: likewise.

    Raises:
        ValueError: one of them cannot be read back; the message names the place.
        TypeError: one holds what JSON cannot say.
    """
    parts = {"findings": [*findings], "pictures": [*pictures], "notes": [*notes]}
    data = json.loads(_written(parts))
    found: tuple[Finding, ...] = reading.checked(tuple[Finding, ...], data["findings"], "findings")
    said: tuple[str, ...] = reading.checked(tuple[str, ...], data["notes"], "notes")
    drawn = tuple(_picture(one, f"pictures[{i}]") for i, one in enumerate(data["pictures"]))
    return found, drawn, said


def _written(diagnosis: object) -> str:
    """In ASCII, since a text may hold half a surrogate pair, which UTF-8 cannot say."""
    plain = _plain(diagnosis, _DIGITS)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return _figure(value, digits)
    if isinstance(value, Mapping):
        return {str(key): _plain(one, digits) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one, digits) for one in value]
    if dataclasses.is_dataclass(value):
        digits = _PICTURE_DIGITS if isinstance(value, Picture) else digits
        fields = {f.name: _plain(getattr(value, f.name), digits) for f in dataclasses.fields(value)}
        kind = next((name for name, panel in _KINDS.items() if isinstance(value, panel)), None)
        return {**fields, **({"kind": kind} if kind else {})}
    return value


def _figure(value: float, digits: int) -> float:
    if not finite(value):
        return -LARGEST if value < 0 else LARGEST
    short = float(f"{value:.{digits}g}")
    return short if math.isfinite(short) else value


def _by_size(diagnosis: Diagnosis) -> list[str]:
    """Names of the pictures, the largest first."""
    sizes = {p.name: len(_written(p)) for p in diagnosis.pictures}
    return sorted(sizes, key=lambda name: (-sizes[name], name))


def _without(diagnosis: Diagnosis, names: list[str]) -> Diagnosis:
    """The diagnosis without the values of some pictures; their sentences stay."""
    note = f"left out of the JSON, which would be too large: the values of {', '.join(names)}"
    pictures = (
        dataclasses.replace(p, panels=()) if p.name in names else p for p in diagnosis.pictures
    )
    return dataclasses.replace(
        diagnosis, pictures=tuple(pictures), notes=(*diagnosis.notes, shortened(note, CELL))
    )


def _few(diagnosis: Diagnosis, most: int) -> Diagnosis:
    """The diagnosis with what stands out most of each list."""
    note = f"left out of the JSON: all but the {_FEW} leaves and nodes that stand out most"
    kept = _most(diagnosis, _FEW)
    kept = dataclasses.replace(kept, notes=(*kept.notes, note))
    if len(_written(kept)) <= most:
        return kept
    note = f"left out of the JSON: all but {_FEWEST} of everything, and long texts"
    cut: Diagnosis = _cut(_most(diagnosis, _FEWEST))
    return dataclasses.replace(cut, notes=(*cut.notes, note))


def _most(diagnosis: Diagnosis, count: int) -> Diagnosis:
    weights, nodes = diagnosis.weights, diagnosis.nodes
    by_weight = sorted(weights, key=lambda w: (not w.stands_out, -w.relative))[:count]
    by_nats = sorted(nodes, key=lambda n: -abs(n.nats))[:count]
    chosen = {id(one) for one in (*by_weight, *by_nats)}
    return dataclasses.replace(
        diagnosis,
        weights=tuple(w for w in weights if id(w) in chosen),
        nodes=tuple(n for n in nodes if id(n) in chosen),
    )


def _cut(value: Any) -> Any:
    """A record whose texts are short, and whose lists are."""
    if isinstance(value, str):
        return shortened(value, CELL)
    if isinstance(value, tuple):
        return tuple(_cut(one) for one in value[:_FEWEST])
    if isinstance(value, Mapping):
        return {_cut(k): _cut(v) for k, v in sorted(value.items())[:_FEWEST]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _cut(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return type(value)(**fields)
    return value


def _picture(data: object, place: str) -> Picture:
    found = reading.table(data, place, "name", "title", "sentence", "panels")
    given = reading.checked(tuple[Any, ...], found["panels"], f"{place}.panels")
    panels = tuple(_panel(one, f"{place}.panels[{i}]") for i, one in enumerate(given))
    picture = reading.build(Picture, {**found, "panels": []}, place)
    return dataclasses.replace(picture, panels=panels)


def _panel(data: object, place: str) -> Panel:
    found = reading.table(data, place, "kind")
    kind = _KINDS.get(found["kind"]) if isinstance(found["kind"], str) else None
    if kind is None:
        raise reading.Unfit(
            f"{place}.kind: {reading.shown(found['kind'])}: expected {' or '.join(_KINDS)}"
        )
    panel: Panel = reading.checked(kind, {k: v for k, v in found.items() if k != "kind"}, place)
    if (wrong := _misshapen(panel)) is not None:
        raise reading.Unfit(f"{place}.{wrong}")
    return panel


def _misshapen(panel: Panel) -> str | None:
    """What of a panel does not fit the rest of it."""
    if isinstance(panel, Heat):
        rows, columns = len(panel.rows), len(panel.columns)
        if len(panel.values) != rows or any(len(row) != columns for row in panel.values):
            return f"values: expected {rows} rows of {columns}"
        if not all(0 <= r < rows and 0 <= c < columns for r, c in panel.framed):
            return "framed: outside of the values"
    if isinstance(panel, Lines):
        places = len(panel.x)
        if any(len(one.values) != places for one in panel.series):
            return f"series: expected {places} values in each"
        if not all(0 <= i < places for i in panel.framed):
            return "framed: outside of the places"
    return None
