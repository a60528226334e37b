"""JSON: one object a line, or one array of objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.tables.purpose import Purpose

Records = Sequence[tuple[str, Mapping[str, Any]]]


def records(path: Path, text: str, purpose: Purpose) -> Records:
    """Read every line that is not blank, or every entry of an array.

    Args:
        path: for messages.
        text: the file's content.
        purpose: what it is read for.

    Returns:
        The place and the values of each.

    Raises:
        ModellabError: of the purpose's kind: one is no JSON object, or they are too many.
    """
    if text.lstrip().startswith("["):
        found = [
            (f"entry {n}", values)
            for n, values in enumerate(document(path, text, purpose), start=1)
        ]
    else:
        found = []
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                found.append((f"line {number}", document(path, line, purpose, number)))
                purpose.check(path, len(found))
    purpose.check(path, len(found))
    for where, values in found:
        if not isinstance(values, dict):
            raise purpose.error(
                f"{path}: {where}: holds {type(values).__name__}, expected a JSON object with "
                f"{purpose.row}"
            )
    return found


def document(path: Path, text: str, purpose: Purpose, first: int = 1) -> Any:
    """Read one JSON value.

    Args:
        path: for messages.
        text: the value.
        purpose: what it is read for.
        first: the line on which it begins.

    Raises:
        ModellabError: of the purpose's kind: it is malformed.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first + error.lineno - 1
        raise purpose.error(
            f"{path}: line {line}, column {error.colno}: malformed JSON: {error.msg}"
        ) from error
    except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
        raise purpose.error(f"{path}: line {first}: malformed JSON: {error}") from error
