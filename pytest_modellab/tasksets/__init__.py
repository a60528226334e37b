"""Task formats, one file each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import TaskSetError
from pytest_modellab.media.generators import Generator
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.tasksets import beir, documents, header, jsonl, lines, media, packages, sts


def read(
    folder: Path,
    check: Callable[[Sample], str | None],
    cache: Path,
    generators: Mapping[str, Generator] | None = media.NONE,
) -> TaskSet:
    """Read a task set in whatever format it is.

    Args:
        folder: holds ``task_set.toml``, whose key ``format`` names the format (``jsonl`` where
            there is none); or BEIR's files alone, which make a set of the folder's name and of
            version 0.
        check: says what is wrong with a sample beyond its form (its scorer's view), or None.
        cache: root of the store; a corpus's index and what is made of a package's files are kept
            there, and what generators make.
        generators: of images and recordings, by name; None where nothing may be run or decoded
            (:class:`media.Desk`).

    Raises:
        TaskSetError: a file is missing or malformed; the message names file, line and key.
    """
    place = folder / header.NAME
    if not place.is_file() and (folder / beir.CORPUS).is_file():
        bare = {"name": folder.resolve().name, "version": "0", "format": "beir"}
        declared = header.check(place, bare)
    else:
        declared = header.read(place)
    layout = declared["format"]
    source = _source(folder, declared, layout, cache)
    if layout == "beir":
        return beir.read(folder, source, declared, check, cache)
    if layout == "sts":
        return sts.read(folder, source, declared, check)
    if layout == "documents":
        return documents.read(folder, source, declared, check)
    return jsonl.read(folder, check, media.Desk(folder, cache, generators))


def _source(folder: Path, declared: dict[str, Any], layout: str, cache: Path) -> Path:
    """Return the folder of a set's files, which need not be the one of its header."""
    place = folder / header.NAME
    given = [key for key in ("layout", "package") if key in declared]
    if layout == "jsonl" and given:
        raise TaskSetError(
            f"{place}: {given[0]}: belongs to another format; set format = "
            "'beir', 'sts' or 'documents'"
        )
    if len(given) > 1:
        raise TaskSetError(f"{place}: layout and package both say where the files are; keep one")
    if "package" in declared:
        return packages.folder(place, declared["package"], layout, cache)
    source = folder / str(declared.get("layout", "."))
    if Path(os.path.normpath(source)).is_relative_to(os.path.normpath(folder)):
        lines.check_inside(source, folder)  # a path that names its way out was chosen
    return source
