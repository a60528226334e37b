"""From a format's records to one score in [0, 1] a sample."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ScoreFileError, near_misses
from pytest_modellab.records.reading import decimal, id_problem, shown
from pytest_modellab.scorefiles.notation import MISSING, PLAIN, Notation, notation
from pytest_modellab.scorefiles.table import (
    ABSENT,
    HASHES,
    IDS,
    SCORES,
    NoScore,
    ScoreTable,
    lookup,
)

SHOWN = 10
"""How many ids a message names."""


_TOLERANCE = 1e-9


_UNNAMED = "'' (which has no name)"
"""How a column is told to which pandas gave its index."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of a score file; what stays empty is found by its usual names.

    Attributes:
        id: columns that may hold the sample's id; the first that a file has is taken.
        score: columns, metrics or scorers that may hold the score; likewise.
        by: columns that name a sample's bucket, joined by ``/``.
        cluster: the column that says which samples belong together.
        hash: columns that identify a sample's content.
        filter: the filter of lm-evaluation-harness, or the provider of promptfoo, to take.
        low: the worst score (the best one where lower is better).
        high: the best score (the worst one where lower is better).
        lower_is_better: True turns the scale round.
        repeats: True averages rows of one id; otherwise they are an error.
    """

    id: tuple[str, ...] = ()
    score: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    cluster: str | None = None
    hash: tuple[str, ...] = ()
    filter: str | None = None
    low: float = 0.0
    high: float = 1.0
    lower_is_better: bool = False
    repeats: bool = False

    @property
    def named(self) -> tuple[str, ...]:
        """Every column that was named."""
        cluster = () if self.cluster is None else (self.cluster,)
        return (*self.id, *self.score, *self.by, *cluster, *self.hash)


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One sample.

    Attributes:
        id: unique in its file.
        score: in [0, 1], higher is better; None where missing.
        where: its place in the file, for messages.
        hash: of its content, or None.
        bucket: its bucket, or None where none was asked for.
        cluster: what it shares with others, or None.
        contents: every column that may identify its content, taken or not, with its value.
    """

    id: str
    score: float | None
    where: str
    hash: str | None = None
    bucket: str | None = None
    cluster: str | None = None
    contents: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class ScoreFile:
    """The scores of one file or folder.

    Attributes:
        path: as the caller named it.
        kind: the format in words.
        rows: one a sample, in file order.
        sources: path and sha256 of every file read.
        notes: which columns were taken, and what else a reader must know.
    """

    path: str
    kind: str
    rows: tuple[ScoreRow, ...]
    sources: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def has_hashes(self) -> bool:
        """True where contents can be compared."""
        return any(row.hash for row in self.rows)


def score_file(
    path: Path, table: ScoreTable, wanted: Wanted, sources: tuple[tuple[str, str], ...]
) -> ScoreFile:
    """Choose the columns and read every row.

    Args:
        path: for messages.
        table: what the format found.
        wanted: which columns to take, and the scale of the scores.
        sources: path and sha256 of what was read.

    Raises:
        ScoreFileError: a column is missing, a value is no score, an id is missing or given twice.
    """
    if not table.records:
        raise ScoreFileError(f"{path}: holds no sample; hand in one score a sample")
    id_column = _column(path, table, "id", wanted.id, IDS)
    usual = tuple(n for n in SCORES if n in table.scores) or table.scores or SCORES
    if len(table.scores) > 1 and usual == table.scores:
        usual = ()
    score_column = _column(path, table, "score", wanted.score, usual)
    if table.lower.get(score_column, wanted.lower_is_better) != wanted.lower_is_better:
        raise ScoreFileError(
            f"{path}: a low {score_column!r} is better here; say --lower-is-better"
            if table.lower[score_column]
            else f"{path}: a high {score_column!r} is better here, so leave --lower-is-better out; "
            "where the other file, or another task of the folder, has it the other way round, "
            "compare each with its like"
        )
    for option, names in (("by", wanted.by), ("hash", wanted.hash)):
        for name in names:
            _column(path, table, option, (name,), ())
    if wanted.cluster is not None:
        _column(path, table, "cluster", (wanted.cluster,), ())
    known = tuple(name for name in HASHES if table.has(name))
    hashes = wanted.hash or known
    columns = _Columns(
        id=id_column,
        score=score_column,
        hashes=hashes,
        contents=tuple(dict.fromkeys((*hashes, *known, id_column))),
        written=notation(lookup(record, score_column) for _, record in table.records),
    )
    rows = []
    for where, record in table.records:
        try:
            rows.append(_row(where, record, columns, wanted))
        except ValueError as error:
            raise ScoreFileError(f"{path}: {where}: {error}") from error
    taken = [f"id from {id_column!r}, score from {score_column!r}"]
    taken += [f"content from {', '.join(map(repr, hashes))}"] if hashes else []
    notes = [", ".join(taken)]
    merged = _merged(path, rows, average=table.repeats or wanted.repeats)
    if len(merged) < len(rows):
        notes.append(f"{len(rows)} rows averaged to {len(merged)} samples")
    return ScoreFile(str(path), table.kind, merged, sources, (*table.notes, *notes))


def score_of(value: Any, wanted: Wanted, written: Notation = PLAIN) -> float | None:
    """Map one value to [0, 1], higher is better; None where it is missing.

    Args:
        value: a number, a truth value, text of either, a grade, or None.
        wanted: its scale.
        written: how its column is written.

    Raises:
        ValueError: it is no score; the message says why and what to do.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return None
    if isinstance(value, bool):
        number = wanted.high if value else wanted.low
    elif isinstance(value, str):
        number = _number(value.strip(), wanted, written)
    elif isinstance(value, int | float | Decimal):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    elif isinstance(value, NoScore):
        raise ValueError(value.why)
    else:
        raise ValueError(
            f"holds {type(value).__name__}, but one number a sample is needed; choose another "
            "column: --score NAME"
        )
    if math.isnan(number):
        return None
    slack = _TOLERANCE * (wanted.high - wanted.low)
    if not wanted.low - slack <= number <= wanted.high + slack:
        raise ValueError(
            f"{number:g} lies outside [{wanted.low:g}, {wanted.high:g}]; say which range the "
            "metric has, for percent: --range 0 100"
        )
    share = (number - wanted.low) / (wanted.high - wanted.low)
    share = min(max(share, 0.0), 1.0)
    return 1.0 - share if wanted.lower_is_better else share


def _number(text: str, wanted: Wanted, written: Notation) -> float:
    """Return what a text says, on the scale that is wanted.

    Raises:
        ValueError: it says no number, or one of two.
    """
    grade = written.grade(text.lower())
    if grade is not None:
        return wanted.low + grade * (wanted.high - wanted.low)
    digits = text.removesuffix("%").rstrip()
    plain = written.plain(digits)
    try:
        number = decimal(plain)
    except ValueError:
        raise ValueError(
            f"{_short(text)} is not a number; write 0.71, true or false, or leave it empty "
            "where the score is missing"
        ) from None
    if digits == text or (wanted.low, wanted.high) == (0.0, 100.0):
        return number
    if (wanted.low, wanted.high) == (0.0, 1.0):
        return number / 100
    raise ValueError(
        f"{_short(text)} is a share of a hundred, and the range is {wanted.low:g} to "
        f"{wanted.high:g}; write both alike"
    )


def _column(
    path: Path, table: ScoreTable, what: str, named: Sequence[str], usual: Sequence[str]
) -> str:
    for name in named or usual:
        if table.has(name):
            return name
    known = table.scores if what == "score" and table.scores else table.columns
    if named:
        shown = " or ".join(repr(name) for name in named)
        raise ScoreFileError(f"{path}: --{what}: no column {shown}; {near_misses(named[0], known)}")
    raise ScoreFileError(
        f"{path}: which column holds the {what}? Name it: --{what} NAME. "
        f"Known: {', '.join(sorted(name or _UNNAMED for name in known))}"
    )


@dataclass(frozen=True)
class _Columns:
    """The columns that were chosen, and how the scores are written."""

    id: str
    score: str
    hashes: Sequence[str]
    contents: Sequence[str]
    written: Notation


def _row(where: str, record: Mapping[str, Any], columns: _Columns, wanted: Wanted) -> ScoreRow:
    id_ = _label(record, columns.id)
    if id_ is None:
        raise ValueError(f"{columns.id}: the sample has no id")
    if problem := id_problem(id_):
        raise ValueError(f"{columns.id}: {shown(id_)} {problem}; give the sample another id")
    value = lookup(record, columns.score)
    try:
        score = None if value is ABSENT else score_of(value, wanted, columns.written)
    except ValueError as error:
        raise ValueError(f"sample {id_!r}: {columns.score}: {error}") from None
    parts = []
    for name in wanted.by:
        label = _label(record, name)
        if label is None:
            raise ValueError(f"sample {id_!r}: {name}: empty, so the sample has no bucket")
        parts.append(label)
    found = {name: label for name in columns.contents if (label := _label(record, name))}
    hashed = any(name in found for name in columns.hashes)
    return ScoreRow(
        id=id_,
        score=score,
        where=where,
        hash=" ".join(found.get(name, "-") for name in columns.hashes) if hashed else None,
        bucket="/".join(parts) or None,
        cluster=None if wanted.cluster is None else _label(record, wanted.cluster),
        contents=found,
    )


def _label(record: Mapping[str, Any], name: str) -> str | None:
    """A value as text, None where missing; 7, 7.0 and "7" are the same label."""
    value = lookup(record, name)
    if isinstance(value, str):
        return value or None
    if value is ABSENT or value is None or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, Mapping | Sequence):
        raise ValueError(f"{name}: holds {type(value).__name__}, expected text or a number")
    try:
        return str(value)
    except ValueError:  # an integer of more digits than Python prints
        raise ValueError(f"{name}: the number has too many digits; use text") from None


def _merged(path: Path, rows: Iterable[ScoreRow], *, average: bool) -> tuple[ScoreRow, ...]:
    """One row an id."""
    grouped: dict[str, list[ScoreRow]] = {}
    for row in rows:
        grouped.setdefault(row.id, []).append(row)
    double = [group for group in grouped.values() if len(group) > 1]
    if double and not average:
        shown = "; ".join(
            f"{group[0].id!r} ({', '.join(row.where for row in group[:3])})"
            for group in double[:SHOWN]
        )
        more = f" and {len(double) - SHOWN} more" if len(double) > SHOWN else ""
        raise ScoreFileError(
            f"{path}: {len(double)} ids stand on several lines: {shown}{more}. Ids must be unique; "
            "if these are repeated runs of one sample: --repeats mean"
        )
    return tuple(_averaged(path, group) for group in grouped.values())


def _averaged(path: Path, group: Sequence[ScoreRow]) -> ScoreRow:
    """The mean of a sample's repeats; where one has no score, nor has the sample."""
    first = group[0]
    if len(group) == 1:
        return first
    for row in group[1:]:
        if (row.bucket, row.cluster) != (first.bucket, first.cluster):
            raise ScoreFileError(
                f"{path}: {row.where}: sample {row.id!r} has another bucket or cluster than at "
                f"{first.where}; repeats of a sample share them"
            )
    scores = [row.score for row in group if row.score is not None]
    names = dict.fromkeys(name for row in group for name in row.contents)
    return ScoreRow(
        id=first.id,
        score=math.fsum(scores) / len(scores) if len(scores) == len(group) else None,
        where=first.where,
        hash=_joined(row.hash for row in group) or None,
        bucket=first.bucket,
        cluster=first.cluster,
        contents={name: _joined(row.contents.get(name) for row in group) for name in names},
    )


def _joined(contents: Iterable[str | None]) -> str:
    return " ".join(sorted({content or "" for content in contents}))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
