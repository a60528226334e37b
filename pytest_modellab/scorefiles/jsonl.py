"""Scores as JSON: one object a line, or one array of objects."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.table import ScoreTable, nested_columns
from pytest_modellab.tables.objects import Records


def table(path: Path, found: Records) -> ScoreTable:
    """The records as a table.

    Raises:
        ScoreFileError: there is none.
    """
    if not found:
        raise ScoreFileError(f"{path}: holds no sample; hand in one score a sample")
    kind = "JSON lines" if found[0][0].startswith("line") else "JSON array"
    return ScoreTable(kind=kind, columns=nested_columns(found), records=found)
