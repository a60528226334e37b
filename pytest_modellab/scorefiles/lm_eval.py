"""Samples of lm-evaluation-harness: ``lm_eval run … --log_samples --output_path FOLDER``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ScoreFileError, near_misses
from pytest_modellab.scorefiles.purpose import PURPOSE
from pytest_modellab.scorefiles.table import ScoreTable, nested_columns
from pytest_modellab.tables import objects, source
from pytest_modellab.tables.objects import Records

KIND = "samples of lm-evaluation-harness"


_NAME = re.compile(r"samples_(?P<task>.+?)(_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+))?\.jsonl?(\.gz)?")


_FIELDS = frozenset(
    {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}
    | {"doc_hash", "prompt_hash", "target_hash"}
)
"""What a record holds beside its metrics, which versions before 0.4.7 do not list."""


def table(path: Path, records: Records, wanted_filter: str | None) -> ScoreTable | None:
    """The records as a table, one a sample, or None where another tool wrote them.

    A record stands for one sample under one filter (a way to extract the answer).

    Args:
        path: for messages.
        records: what the file holds.
        wanted_filter: the filter to take; needed where there are several.

    Raises:
        ScoreFileError: there are several filters and none, or an unknown one, was named; or no
            metric is a number a sample.
    """
    if not records or not all("doc_id" in r and "resps" in r for _, r in records):
        return None
    records, chosen = _one_filter(path, records, wanted_filter)
    return ScoreTable(
        kind=KIND,
        columns=nested_columns(records),
        records=records,
        scores=_scores(path, records),
        lower=_lower(path),
        notes=(f"filter {chosen!r}",) if chosen != "none" else (),
    )


def _one_filter(path: Path, records: Records, wanted: str | None) -> tuple[Records, str]:
    """Return the records of one filter, and its name.

    Raises:
        ScoreFileError: there are several filters and none, or an unknown one, was named.
    """
    found = [str(r.get("filter", "none")) for _, r in records]
    unnamed = not any("filter" in r for _, r in records)
    if unnamed or (wanted not in found and (wanted or "").isdecimal()):
        found = _numbered(records)  # which a number means where filters have names, too
    filters = sorted(set(found))
    if len(filters) == 1:
        return records, "none" if unnamed else filters[0]
    if wanted is None:
        raise ScoreFileError(
            f"{path}: scored under {len(filters)} filters"
            f"{_UNNAMED if unnamed else ''}; name one: --filter {filters[0]} "
            f"(or {', '.join(filters[1:])})"
        )
    if wanted not in filters:
        raise ScoreFileError(
            f"{path}: --filter: unknown filter {wanted!r}"
            f"{_UNNAMED if unnamed else ''}; {near_misses(wanted, filters)}"
        )
    return [one for one, name in zip(records, found, strict=True) if name == wanted], wanted


_UNNAMED = ", numbered in the order of the task's filter_list (versions before 0.4.7 name none)"


def _numbered(records: Records) -> list[str]:
    """Number the filters where the file does not name them: they follow one after the other."""
    seen: Counter[str] = Counter()
    numbers = []
    for _, record in records:
        seen[str(record["doc_id"])] += 1
        numbers.append(str(seen[str(record["doc_id"])]))
    # unless every sample stands there as often, these are no filters, but ids given twice
    return numbers if len(set(seen.values())) == 1 else ["none"] * len(numbers)


def _scores(path: Path, records: Records) -> tuple[str, ...]:
    """Return the metrics that have one number a sample.

    Raises:
        ScoreFileError: there is none.
    """
    metrics: dict[str, bool] = {}
    for _, record in records:
        named = record.get("metrics")
        names = named if isinstance(named, list) else record.keys() - _FIELDS
        for name in sorted(name for name in names if isinstance(name, str)):
            metrics[name] = metrics.get(name, True) and not isinstance(record.get(name), list)
    if "bypass" in metrics:
        raise ScoreFileError(
            f"{path}: made with --predict_only, so nothing was scored; run lm_eval without it"
        )
    if metrics and not any(metrics.values()):
        raise ScoreFileError(
            f"{path}: scored by {', '.join(metrics)}, which lm-evaluation-harness computes over "
            "all samples together; score the task by acc or exact_match, which every sample has"
        )
    return tuple(name for name, single in metrics.items() if single)


def _lower(path: Path) -> dict[str, bool]:
    """Tell of each metric whether a lower one is better, as the summary beside the samples says."""
    name = _NAME.fullmatch(path.name)
    beside = path.with_name(f"results_{name['time']}.json" if name else "results.json")
    try:
        summary = _document(beside)
    except ScoreFileError:
        return {}
    task = name["task"] if name else _task_of(path, _inner(summary, "configs"))
    listed = _inner(_inner(_inner(summary, "configs"), task), "metric_list")
    declared = [
        (metric.get("metric"), metric.get("higher_is_better"))
        for metric in (listed if isinstance(listed, list) else ())
        if isinstance(metric, dict)
    ]
    newer = _inner(_inner(summary, "higher_is_better"), task)
    declared += newer.items() if isinstance(newer, dict) else ()
    return {str(metric): not high for metric, high in declared if isinstance(high, bool)}


def _inner(values: Any, name: str | None) -> Any:
    return values.get(name) if isinstance(values, dict) else None


def _task_of(path: Path, tasks: Any) -> str | None:
    """Return the task of a file ``MODELARGS_TASK.jsonl``: the longest name that fits."""
    names = sorted(tasks, key=len, reverse=True) if isinstance(tasks, dict) else []
    return next((name for name in names if path.stem.endswith(f"_{name}")), None)


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
        others = sorted(folder.glob("*.eval")) + sorted(folder.glob("*.json*"))
        raise ScoreFileError(
            f"{folder}: a folder without samples_*.jsonl; name a file"
            f"{f' ({others[0]})' if others else ''}, or make lm-evaluation-harness write samples: "
            "lm_eval run … --log_samples --output_path FOLDER"
        )
    tasks: dict[str, list[tuple[str, Path]]] = {}
    for time, task, file in sorted(found):
        tasks.setdefault(task, []).append((time, file))
    times = {task: files[-1][0] for task, files in tasks.items()}
    notes = [
        f"{task}: {files[-1][1].name} is the newest of {len(files)} files"
        for task, files in sorted(tasks.items())
        if len(files) > 1
    ]
    if len(set(times.values())) > 1:
        notes.append(f"tasks of several runs, from {min(times.values())} to {max(times.values())}")
    return {task: tasks[task][-1][1] for task in sorted(tasks)}, tuple(notes)


def _files(folder: Path) -> list[tuple[str, str, Path]]:
    """Time, task and path of each file of samples."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ScoreFileError(f"{folder}: cannot be read: {error.strerror}") from error
    named = [(_NAME.fullmatch(path.name), path) for path in paths]
    found = [(name["time"] or "", name["task"], path) for name, path in named if name]
    return found or _early_files(folder, [path for path in paths if path.suffix == ".jsonl"])


def _early_files(folder: Path, paths: Sequence[Path]) -> list[tuple[str, str, Path]]:
    """Find ``MODELARGS_TASK.jsonl``, as versions 0.4.0 to 0.4.2 name them beside results.json.

    Raises:
        ScoreFileError: two models wrote into the folder.
    """
    results = folder / "results.json"
    if not paths or not results.is_file():
        return []
    summary = _document(results)
    found: dict[str, Path] = {}
    for path in paths:
        task = _task_of(path, _inner(summary, "configs"))
        if task in found:
            raise ScoreFileError(
                f"{folder}: {found[task].name} and {path.name} are both of task {task}; name "
                "one of the files"
            )
        if task is not None:
            found[task] = path
    return [("", task, path) for task, path in found.items()]


def is_summary(document: Any) -> bool:
    """Tell whether this is ``results_TIME.json``, which holds means and no sample."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("results"), dict)
        and ("configs" in document or "versions" in document)
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _document(path: Path) -> Any:
    return objects.document(
        path, source.text(path, source.read_bytes(path, PURPOSE), PURPOSE), PURPOSE
    )
