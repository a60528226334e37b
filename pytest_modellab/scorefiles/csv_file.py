"""Comma- and tab-separated tables with a header line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.table import ScoreTable


def table(path: Path, text: str, delimiter: str) -> ScoreTable:
    """Read a table.

    Args:
        path: for messages.
        text: the file's content.
        delimiter: between two cells.

    Returns:
        One record a line, all values text.

    Raises:
        ScoreFileError: no header, a malformed line, or one of another length than the header.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records = []
    header: list[str] = []
    try:
        for cells in reader:
            if not cells:
                continue
            if not header:
                header = [name.strip() for name in cells]
                _check_header(path, header)
                continue
            if len(cells) != len(header):
                raise ScoreFileError(
                    f"{path}: line {reader.line_num}: {len(cells)} cells, but the header names "
                    f"{len(header)} columns; quote a cell that holds {delimiter!r}"
                )
            values = dict(zip(header, cells, strict=True))
            records.append((f"line {reader.line_num}", values))
    except csv.Error as error:
        raise ScoreFileError(
            f"{path}: line {reader.line_num}: malformed CSV: {error}; quote cells that hold "
            "quotes or line ends, and leave columns of very long text out"
        ) from error
    return ScoreTable(
        kind="CSV" if delimiter == "," else "TSV", columns=tuple(header), records=records
    )


def _check_header(path: Path, header: list[str]) -> None:
    for number, name in enumerate(header, start=1):
        if name in header[: number - 1]:
            raise ScoreFileError(
                f"{path}: line 1: columns {header.index(name) + 1} and {number} are both named "
                f"{name!r}; rename one"
            )
