"""``task_set.toml``: what every format says of itself."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Corpus, Sample, TaskSet

NAME = "task_set.toml"


def read(path: Path) -> dict[str, Any]:
    """Read a header and check the keys that all formats have.

    Args:
        path: of the file.

    Raises:
        TaskSetError: it cannot be read, or a key is missing or of another type.
    """
    try:
        header = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TaskSetError(f"{path}: cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:  # also a number too long, a table too deep
        raise TaskSetError(f"{path}: malformed TOML: {error}") from error
    for key in ("name", "version"):
        if not isinstance(header.get(key), str):
            raise TaskSetError(f"{path}: {key}: missing, or not a string")
    if not isinstance(header.get("description", ""), str):
        raise TaskSetError(f"{path}: description: not a string")
    if not isinstance(header.get("capabilities", {}), dict):
        raise TaskSetError(f"{path}: capabilities: must be a table")
    return header


def task_set(
    folder: Path,
    header: dict[str, Any],
    samples: Sequence[Sample],
    file: str,
    *,
    note: str = "",
    corpus: Corpus | None = None,
    metrics: tuple[str, ...] = (),
) -> TaskSet:
    """Put header and samples together.

    Args:
        folder: the task set's.
        header: from :func:`read`.
        samples: in file order.
        file: name of the file that holds them, for messages.
        note: as :class:`TaskSet` has it; it joins the description, too.
        corpus: as :class:`TaskSet` has it.
        metrics: as :class:`TaskSet` has them.

    Raises:
        TaskSetError: a capability is declared that no sample has.
    """
    for name in header.get("capabilities", {}):
        if not any(sample.capability == name for sample in samples):
            raise TaskSetError(
                f"{folder / NAME}: capabilities.{name}: declared but {file} has no sample of it"
            )
    return TaskSet(
        name=header["name"],
        version=header["version"],
        samples=tuple(samples),
        description=f"{header.get('description', '')} {note}".strip(),
        path=str(folder),
        corpus=corpus,
        metrics=metrics,
        note=note,
    )
