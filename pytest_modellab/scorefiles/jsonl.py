"""One JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.table import ScoreTable, nested_columns

Records = Sequence[tuple[str, Mapping[str, Any]]]


def records(path: Path, text: str) -> Records:
    """Read every line.

    Args:
        path: for messages.
        text: the file's content.

    Returns:
        The place and the values of each line that is not blank.

    Raises:
        ScoreFileError: a line is no JSON object.
    """
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise ScoreFileError(
                f"{path}: {where}, column {error.colno}: malformed JSON: {error.msg}"
            ) from error
        except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
            raise ScoreFileError(f"{path}: {where}: malformed JSON: {error}") from error
        if not isinstance(values, dict):
            raise ScoreFileError(
                f"{path}: {where}: holds {type(values).__name__}, expected a JSON object with the "
                "sample's id and score"
            )
        found.append((where, values))
    return found


def table(found: Records) -> ScoreTable:
    """The lines as a table."""
    return ScoreTable(kind="JSON lines", columns=nested_columns(found), records=found)
