"""Parquet tables, read by pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.table import HASHES, IDS, SCORES, ScoreTable


def table(path: Path, content: bytes, named: Sequence[str]) -> ScoreTable:
    """Read a table.

    Args:
        path: for messages.
        content: the file's content.
        named: the columns that a caller named; others than these and the usual ones stay unread.

    Returns:
        One record a row.

    Raises:
        ScoreFileError: pyarrow is not installed, or the file is damaged.
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
            read = file.read([name for name in columns if name in wanted])
            rows = read.to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        raise ScoreFileError(f"{path}: malformed or truncated Parquet: {error}") from error
    if len(set(columns)) < len(columns):
        raise ScoreFileError(f"{path}: two columns have the same name; rename one")
    records = [(f"row {number}", row) for number, row in enumerate(rows, start=1)]
    return ScoreTable(kind="Parquet", columns=columns, records=records)
