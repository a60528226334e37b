"""JSON: one object a line, or one array of objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.table import ScoreTable, nested_columns

Records = Sequence[tuple[str, Mapping[str, Any]]]


def records(path: Path, text: str) -> Records:
    """Read every line that is not blank, or every entry of an array.

    Args:
        path: for messages.
        text: the file's content.

    Returns:
        The place and the values of each.

    Raises:
        ScoreFileError: one is no JSON object.
    """
    if text.lstrip().startswith("["):
        found = [(f"entry {n}", values) for n, values in enumerate(document(path, text), start=1)]
    else:
        found = [
            (f"line {number}", document(path, line, number))
            for number, line in enumerate(text.split("\n"), start=1)
            if line.strip()
        ]
    for where, values in found:
        if not isinstance(values, dict):
            raise ScoreFileError(
                f"{path}: {where}: holds {type(values).__name__}, expected a JSON object with the "
                "sample's id and score"
            )
    return found


def document(path: Path, text: str, first: int = 1) -> Any:
    """Read one JSON value.

    Args:
        path: for messages.
        text: the value.
        first: the line on which it begins.

    Raises:
        ScoreFileError: it is malformed.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first + error.lineno - 1
        raise ScoreFileError(
            f"{path}: line {line}, column {error.colno}: malformed JSON: {error.msg}"
        ) from error
    except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
        raise ScoreFileError(f"{path}: line {first}: malformed JSON: {error}") from error


def table(path: Path, found: Records) -> ScoreTable:
    """The records as a table.

    Raises:
        ScoreFileError: there is none.
    """
    if not found:
        raise ScoreFileError(f"{path}: holds no sample; hand in one score a sample")
    kind = "JSON lines" if found[0][0].startswith("line") else "JSON array"
    return ScoreTable(kind=kind, columns=nested_columns(found), records=found)
