"""Scores in cells with a header line, as programs and spreadsheets write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_modellab.scorefiles.purpose import PURPOSE
from pytest_modellab.scorefiles.table import ScoreTable
from pytest_modellab.tables import sheets

_KINDS = {",": "CSV", "\t": "TSV"}


def table(path: Path, found: sheets.Sheet, named: Sequence[str]) -> ScoreTable:
    """Give the cells the header's names.

    Args:
        path: for messages.
        found: the cells.
        named: the columns that a caller named.

    Returns:
        One record a line, all values text.

    Raises:
        ScoreFileError: no header, or a line of another length than the header.
    """
    unnamed = found.header.count("") > 1
    return ScoreTable(
        kind=_KINDS.get(found.delimiter, f"CSV, separated by {found.delimiter!r}"),
        columns=tuple(name for name in found.header if name or not unnamed),
        records=sheets.rows(path, found, PURPOSE, named),
    )
