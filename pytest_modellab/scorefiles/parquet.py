"""Parquet tables, read by pyarrow."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.table import HASHES, IDS, SCORES, ScoreTable
from pytest_modellab.tables import source

VALUES = 5_000_000
"""Values that are read of a table: each becomes an object of Python."""

_ROWS = 1000
"""Rows that are decoded at a time, at most."""

_AT_ONCE = 1 << 28
"""Bytes that are decoded at a time, at most."""


def table(path: Path, content: bytes, named: Sequence[str]) -> ScoreTable:
    """Read a table.

    Args:
        path: for messages.
        content: the file's content.
        named: the columns that a caller named; others than these and the usual ones stay unread.

    Returns:
        One record a row.

    Raises:
        ScoreFileError: pyarrow is not installed, the file is damaged, or larger than a table of
            scores is.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ScoreFileError(
            f"{path}: Parquet needs pyarrow: pip install 'pytest-modellab[parquet]'"
        ) from error
    wanted = {*IDS, *SCORES, *HASHES, *named, *(name.partition(".")[0] for name in named)}
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            columns = tuple(file.schema_arrow.names)
            rows = _rows(path, file, _leaves(path, file, wanted), len(content))
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        raise ScoreFileError(f"{path}: malformed or truncated Parquet: {error}") from error
    if len(set(columns)) < len(columns):
        raise ScoreFileError(f"{path}: two columns have the same name; rename one")
    records = [(f"row {number}", row) for number, row in enumerate(rows, start=1)]
    return ScoreTable(kind="Parquet", columns=columns, records=records)


def _leaves(path: Path, file: Any, wanted: Set[str]) -> list[str]:
    """Return the columns to read; lists within a struct are left out, they are no scores.

    Raises:
        ScoreFileError: a column that is wanted holds lists.
    """
    leaves = []
    for number in range(len(file.schema)):
        column = file.schema.column(number)
        name, _, inner = column.path.partition(".")
        if name not in wanted:
            continue
        if column.max_repetition_level == 0:
            leaves.append(column.path)
        elif not str(file.schema_arrow.field(name).type).startswith("struct"):
            raise ScoreFileError(
                f"{path}: column {name!r} holds lists ({inner}), and a sample has one value; "
                "write it into a column of its own"
            )
    return leaves


def _rows(path: Path, file: Any, leaves: list[str], packed: int) -> list[dict[str, Any]]:
    """Decode some rows at a time: a long text may stand in the file once and in every row.

    Raises:
        ScoreFileError: there are more than a table of scores has.
    """
    meta, most = file.metadata, max(source.limit(packed), _AT_ONCE)
    # what a group's columns say of themselves is not asked for: damaged, it ends the process
    sizes = [meta.row_group(number).total_byte_size for number in range(meta.num_row_groups)]
    values, size, longest = meta.num_rows * max(1, len(leaves)), sum(sizes), max(sizes, default=1)
    if values > VALUES or size > source.limit(packed):
        raise _too_large(path, f"{values:,} values in {size:,} bytes", packed)
    rows: list[dict[str, Any]] = []
    size = 0
    for batch in file.iter_batches(min(_ROWS, 1 + _AT_ONCE // max(1, longest)), columns=leaves):
        found = batch.to_pylist()
        size += sum(map(_size, found))
        rows += found
        if size > most or len(rows) > VALUES:
            raise _too_large(path, f"{size:,} bytes in {len(rows):,} rows", packed)
    return rows


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return len(value) if isinstance(value, str | bytes) else 8


def _too_large(path: Path, found: str, packed: int) -> ScoreFileError:
    return ScoreFileError(
        f"{path}: {packed:,} bytes of Parquet hold {found}, which is no table of scores; write the "
        "columns that matter into a file of their own"
    )
