"""``task_set.toml``: what every format says of itself."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ConfigError, TaskSetError
from pytest_modellab.records.setting import OPTIONAL, Setting, misspelt, resolve
from pytest_modellab.records.tasks import Corpus, Sample, TaskSet
from pytest_modellab.tasksets import lines
from pytest_modellab.visible import visible

NAME = "task_set.toml"


FORMATS = ("jsonl", "beir", "sts", "documents")


def _of(type_: type, wrong: str, default: Any = OPTIONAL) -> Setting:
    return Setting(
        object, default, check=lambda value: isinstance(value, type_), wrong=wrong, editor=type_
    )


HEADER = {
    "name": _of(str, "missing, or not a string"),
    "version": _of(str, "missing, or not a string"),
    "description": _of(str, "not a string", ""),
    "capabilities": _of(dict, "must be a table", {}),
    "format": Setting(object, "jsonl", choices=FORMATS),
    "layout": _of(str, "{value!r} is not the path of a folder"),
}
"""The keys that all formats have."""


def read(path: Path) -> dict[str, Any]:
    """Read a header, see :func:`check`.

    Args:
        path: of the file.

    Raises:
        TaskSetError: it cannot be read, or a key is missing or of another type.
    """
    try:
        header = tomllib.loads(lines.read_file(path, path.parent))
    except (ValueError, RecursionError) as error:  # also a number too long, a table too deep
        raise TaskSetError(f"{path}: malformed TOML: {error}") from error
    return check(path, header)


def check(path: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    """Check the keys that all formats have.

    Args:
        path: of the file, for messages.
        header: as read.

    Returns:
        The header with what it leaves out, and with the keys of its format as they are.

    Raises:
        TaskSetError: a key is missing or of another type.
    """
    for key in HEADER.keys() - header.keys():
        if (given := misspelt(key, header.keys() - HEADER.keys())) is not None:
            raise TaskSetError(f"{path}: {visible(given)}: unknown key; did you mean {key!r}?")
    required = {"name": None, "version": None, **header}
    return {**header, **settings(HEADER, required, f"{path}: ", others=True)}


def settings(
    known: Mapping[str, Setting], given: Mapping[str, Any], where: str, *, others: bool = False
) -> dict[str, Any]:
    """Check settings of a header, as :func:`resolve` does.

    Raises:
        TaskSetError: an unknown or missing key, or a wrong value.
    """
    try:
        return resolve(known, given, where, others=others)
    except ConfigError as error:
        raise TaskSetError(str(error)) from error


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
