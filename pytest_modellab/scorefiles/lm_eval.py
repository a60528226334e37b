"""Samples of lm-evaluation-harness: ``lm_eval run … --log_samples --output_path FOLDER``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ScoreFileError, near_misses
from pytest_modellab.scorefiles.jsonl import Records
from pytest_modellab.scorefiles.table import ScoreTable, nested_columns

KIND = "samples of lm-evaluation-harness"


_NAME = re.compile(r"samples_(?P<task>.+?)(_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+))?\.jsonl(\.gz)?")


def table(path: Path, records: Records, wanted_filter: str | None) -> ScoreTable | None:
    """The lines as a table, one record a sample, or None where another tool wrote them.

    A line stands for one sample under one filter (a way to extract the answer).

    Args:
        path: for messages.
        records: what the file holds.
        wanted_filter: the filter to take; needed where there are several.

    Raises:
        ScoreFileError: there are several filters and none, or an unknown one, was named.
    """
    if not records or not all("doc_id" in r and "resps" in r for _, r in records):
        return None
    filters = sorted({str(r.get("filter", "none")) for _, r in records})
    chosen = filters[0]
    if len(filters) > 1:
        if wanted_filter is None:
            raise ScoreFileError(
                f"{path}: scored under {len(filters)} filters; name one: --filter {filters[0]} "
                f"(or {', '.join(filters[1:])})"
            )
        if wanted_filter not in filters:
            raise ScoreFileError(
                f"{path}: --filter: unknown filter {wanted_filter!r}; "
                f"{near_misses(wanted_filter, filters)}"
            )
        chosen = wanted_filter
    records = [(at, r) for at, r in records if str(r.get("filter", "none")) == chosen]
    return ScoreTable(
        kind=KIND,
        columns=nested_columns(records),
        records=records,
        scores=tuple(dict.fromkeys(name for _, r in records for name in _metrics(r))),
        notes=(f"filter {chosen!r}",) if chosen != "none" else (),
    )


def _metrics(record: Mapping[str, Any]) -> list[str]:
    named = record.get("metrics")
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def newest(folder: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Find each task's newest file in a folder of results.

    Args:
        folder: the ``--output_path``, or the model's folder in it.

    Returns:
        Task to file, sorted by task, and notes on files that were passed over.

    Raises:
        ScoreFileError: there is no file of samples, or there are several models' files.
    """
    found = _files(folder)
    if not found:
        below = {sub: files for sub in _folders(folder) if (files := _files(sub))}
        if len(below) > 1:
            raise ScoreFileError(
                f"{folder}: holds results of {len(below)} models; name one of them: "
                + ", ".join(str(sub) for sub in below)
            )
        found = next(iter(below.values()), [])
    if not found:
        raise ScoreFileError(
            f"{folder}: a folder without samples_*.jsonl; name a file, or make lm-evaluation-"
            "harness write samples: lm_eval run … --log_samples --output_path FOLDER"
        )
    tasks: dict[str, list[Path]] = {}
    for _, task, file in sorted(found):
        tasks.setdefault(task, []).append(file)
    return (
        {task: tasks[task][-1] for task in sorted(tasks)},
        tuple(
            f"{task}: {files[-1].name} is the newest of {len(files)} files"
            for task, files in sorted(tasks.items())
            if len(files) > 1
        ),
    )


def _files(folder: Path) -> list[tuple[str, str, Path]]:
    """Time, task and path of each file of samples."""
    try:
        named = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    except OSError as error:
        raise ScoreFileError(f"{folder}: cannot be read: {error.strerror}") from error
    return [(name["time"] or "", name["task"], path) for name, path in named if name]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())
