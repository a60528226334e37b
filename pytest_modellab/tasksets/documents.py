"""Running text: plain documents, whose own likelihood counts.

The text files below ``documents/`` and the lines of ``documents.jsonl``, of either of which there
may be none. A text file is one document: its id is its path without ``.txt``, its capability the
folder that it lies in (``text`` where that is ``documents/`` itself). A line is
``{"id", "text", "capability"?, "difficulty"?, "cluster"?, "metadata"?}``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pytest_modellab.errors import TaskSetError
from pytest_modellab.records import windows
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.tasksets import entries, header, lines

FOLDER, LINES, SUFFIX = "documents", "documents.jsonl", ".txt"


CAPABILITY, DIFFICULTY = "text", "medium"
"""Of a document that does not say."""


BYTES = 1 << 24
"""Of one document, in UTF-8."""


TOTAL = 1 << 28
"""Bytes of all documents together."""


ESCAPED = 4
"""How many times as large lines may be that hold them."""


FILES = 100_000
"""Most files below ``documents/``, those that are no text counted in."""


_REQUIRED: lines.Types = {"id": str, "text": str}


_OPTIONAL: lines.Types = {"capability": str, "difficulty": str, "cluster": str, "metadata": dict}


def read(
    folder: Path, source: Path, declared: dict[str, Any], check: Callable[[Sample], str | None]
) -> TaskSet:
    """Read a task set of one sample a document.

    Args:
        folder: the task set's.
        source: where the documents lie.
        declared: the header, from :func:`header.read`.
        check: says what is wrong with a sample beyond its form (its scorer's view), or None.

    Returns:
        The task set: text files by their paths, then lines in file order.

    Raises:
        TaskSetError: a file is malformed, too large or missing; the message names file, line and
            key.
    """
    given = {key: declared[key] for key in windows.KEYS if key in declared}
    if problem := windows.problem(given):
        raise TaskSetError(f"{folder / header.NAME}: {problem}")
    samples: list[Sample] = []
    places: dict[str, str] = {}
    total = 0
    for where, sample in _documents(source, given or None):
        if sample.id in places:
            raise TaskSetError(
                f"{where}: id: {sample.id!r} is that of {places[sample.id]}, too; ids must be "
                "unique"
            )
        places[sample.id] = where
        size = len(sample.input.encode())
        total += size
        if size > BYTES:
            raise TaskSetError(
                f"{where}: holds {size} bytes, more than the {BYTES} of one document; cut it"
            )
        if total > TOTAL:
            raise TaskSetError(
                f"{where}: with it the documents hold more than {TOTAL} bytes; leave some out"
            )
        if problem := check(sample):
            raise TaskSetError(f"{where}: sample {sample.id!r}: {problem}")
        samples.append(sample)
    if not samples:
        raise TaskSetError(
            f"{source}: holds no document; put text files into {FOLDER}/, or lines into {LINES}"
        )
    return header.task_set(folder, declared, samples, f"{FOLDER}/ or {LINES}")


def _documents(source: Path, target: dict[str, int] | None) -> Iterator[tuple[str, Sample]]:
    """Yield each document with its place, for messages."""
    for path in _texts(source):
        name = path.relative_to(source / FOLDER)
        yield f"{path}", _of_file(path, name, source, target)
    listed = source / LINES
    if listed.exists() or listed.is_symlink():
        _check_size(listed, source, ESCAPED * TOTAL, f"{ESCAPED * TOTAL} of such a file; cut it")
        for where, _, data in lines.objects(listed):
            yield where, _of_line(where, data, target)


def _texts(source: Path) -> Iterator[Path]:
    """Yield the text files by their names, folders in their place; hidden ones are left out."""
    root = source / FOLDER
    lines.check_inside(root, source)
    seen = 0
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        seen += len(names) + len(inner)
        if seen > FILES:
            raise TaskSetError(f"{root}: holds more than {FILES} files; put the texts into {LINES}")
        for name in sorted(names):
            if name.endswith(SUFFIX) and not name.startswith("."):
                yield Path(folder, name)


def _of_file(path: Path, name: Path, source: Path, target: dict[str, int] | None) -> Sample:
    # a file has its line ends in two bytes at most
    _check_size(path, source, 2 * BYTES, f"{BYTES} of one document; cut it")
    text = lines.read_file(path, source).removesuffix("\n")
    data = {"id": name.with_suffix("").as_posix(), "text": text}
    folder = name.parent.as_posix()
    if folder != ".":
        data["capability"] = folder
    return _sample(f"{path}", data, target)


def _check_size(path: Path, source: Path, most: int, what: str) -> None:
    """Refuse a file that is too large before it is read."""
    lines.check_inside(path, source)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise TaskSetError(f"{path}: cannot be read: {error}") from error
    if size > most:
        raise TaskSetError(f"{path}: holds {size} bytes, more than the {what}")


def _of_line(where: str, raw: dict[str, Any], target: dict[str, int] | None) -> Sample:
    data = {k: v for k, v in raw.items() if k not in _OPTIONAL or not entries.missing(v)}
    if "id" in data:
        data["id"] = entries.text(data["id"])
    lines.check_known(where, data, _REQUIRED, _OPTIONAL)
    lines.check_types(where, data, _REQUIRED, _OPTIONAL)
    return _sample(where, data, target)


def _sample(where: str, data: dict[str, Any], target: dict[str, int] | None) -> Sample:
    lines.check_sayable(where, data)
    lines.check_id(where, data, "id")
    lines.check_filled(where, data, "text", *({"capability"} & set(data)))
    lines.check_difficulty(where, data.get("difficulty", DIFFICULTY))
    return Sample(
        id=data["id"],
        input=data["text"],
        target=target,
        scorer=windows.SCORER,
        capability=data.get("capability", CAPABILITY),
        difficulty=data.get("difficulty", DIFFICULTY),
        cluster=data.get("cluster"),
        metadata=data.get("metadata", {}),
    )
