"""What a format hands on: records of named values, before columns are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

IDS = ("id", "sample_id", "doc_id", "question_id", "item_id", "task_id")


SCORES = ("score", "acc", "accuracy", "correct", "exact_match")


HASHES = ("content_hash", "hash", "doc_hash", "prompt_hash", "target_hash")
"""Columns that are taken unless others are named: the first id, the first score, every hash."""


ABSENT: Final = object()
"""What :func:`lookup` returns where a record lacks a value."""


@dataclass(frozen=True)
class NoScore:
    """A value that a format knows to be none, which matters where its column is chosen.

    Attributes:
        why: the rest of a sentence about it.
    """

    why: str


@dataclass(frozen=True)
class ScoreTable:
    """Records of one file.

    Attributes:
        kind: the format in words.
        columns: every name that a record may hold, nested ones as ``outer.inner``.
        records: where a record stands, for messages, and its values.
        scores: the columns that hold scores where the format says so, else empty.
        repeats: True where the format declares that a sample was run several times.
        lower: the scores of which is known whether a lower one is better.
        notes: what a reader must know.
    """

    kind: str
    columns: tuple[str, ...]
    records: Sequence[tuple[str, Mapping[str, Any]]]
    scores: tuple[str, ...] = ()
    repeats: bool = False
    lower: Mapping[str, bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        """Tell whether any record can hold ``name``, however deep."""
        if name in self.columns:
            return True
        return "." in name and any(lookup(r, name) is not ABSENT for _, r in self.records)


def lookup(record: Mapping[str, Any], name: str) -> Any:
    """A record's value; ``doc.subject`` finds ``{"doc": {"subject": …}}``. Else ABSENT."""
    if name in record:
        return record[name]
    outer, dot, inner = name.partition(".")
    nested = record.get(outer) if dot else None
    return lookup(nested, inner) if isinstance(nested, Mapping) else ABSENT


def nested_columns(records: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[str, ...]:
    """Names of all values and of those one level below, in order of appearance."""
    names: dict[str, None] = {}
    for _, record in records:
        for name, value in record.items():
            names[name] = None
            if isinstance(value, Mapping):
                names.update(dict.fromkeys(f"{name}.{inner}" for inner in value))
    return tuple(names)
