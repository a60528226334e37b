"""Logs of inspect_ai, read through its own library."""

from __future__ import annotations

import importlib.metadata
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.reports.words import plural
from pytest_modellab.scorefiles.labels import digest, first_line
from pytest_modellab.scorefiles.table import NoScore, ScoreTable
from pytest_modellab.tables import source

UNREAD = frozenset({"attachments", "events", "messages", "output", "store"})
"""Parts of a sample that may be large and say nothing about its score."""


OLDEST = (0, 3, 200)
"""The first release of inspect_ai that is asked to read logs, as pyproject.toml says."""


_GRADES = frozenset({"C", "I", "P", "N"})


_TRUTHS = frozenset({"yes", "no", "true", "false"})


def is_json_log(content: bytes) -> bool:
    """Tell whether a JSON file is a log in inspect's older format: it begins with these keys."""
    start = content[:2000]
    return b'"version"' in start and b'"status"' in start and b'"eval"' in start


def table(path: Path) -> ScoreTable:
    """Read a log.

    A scorer's values are columns of the scorer's name; a scorer that returns several values has
    them as ``scorer.value``. Grades become numbers by inspect's own ``value_to_float``.

    Args:
        path: an ``.eval`` file, or a log in JSON.

    Returns:
        One record a sample and epoch; a sample that failed has no scores.

    Raises:
        ScoreFileError: inspect_ai is not installed or too old, the log is damaged, or no sample
            of it was scored.
    """
    try:
        import inspect_ai.log as logs
        from inspect_ai.scorer import value_to_float
    except ImportError as error:
        raise ScoreFileError(
            f"{path}: logs of inspect need inspect_ai: pip install 'pytest-modellab[inspect]'"
        ) from error
    installed = _check_version(path)
    _check_size(path)
    try:
        header, samples = _read(logs, str(path))
    # a damaged log ends in whatever zip, JSON or pydantic raise
    except Exception as error:
        raise ScoreFileError(
            f"{path}: not a log that inspect_ai {installed} can read: {type(error).__name__}: "
            f"{error}; if a newer version wrote it: pip install -U inspect-ai"
        ) from error
    _check_scored(path, header, samples)
    to_float = value_to_float()
    records = [
        (
            f"sample {sample.id!r}, epoch {sample.epoch}",
            {
                **_scores(sample, to_float),
                "id": sample.id,
                "content_hash": _content(sample),
                "metadata": sample.metadata,
            },
        )
        for sample in samples
    ]
    scorers = dict.fromkeys(name for sample in samples for name in _scorers(sample))
    metadata = dict.fromkeys(f"metadata.{key}" for sample in samples for key in sample.metadata)
    failed = sum(_failed(sample) for sample in samples)
    scored = sum(sample.error is not None for sample in samples) - failed
    notes = [
        *([f"the log's status is {header.status!r}"] if header.status != "success" else []),
        *([f"{plural(failed, 'sample')} failed, without a score"] if failed else []),
        *([f"{plural(scored, 'sample')} failed but scored"] if scored else []),
    ]
    return ScoreTable(
        kind=f"log of inspect_ai, task {header.eval.task}",
        columns=("id", "content_hash", *scorers, *metadata),
        records=records,
        scores=tuple(scorers),
        repeats=(header.eval.config.epochs or 1) > 1,
        notes=tuple(notes),
    )


def _check_version(path: Path) -> str:
    """Return the version of inspect_ai.

    Raises:
        ScoreFileError: it is older than what is supported.
    """
    installed = importlib.metadata.version("inspect-ai")
    numbers = tuple(int(part) for part in installed.split(".")[:3] if part.isdecimal())
    if numbers < OLDEST:
        raise ScoreFileError(
            f"{path}: logs of inspect need inspect_ai {'.'.join(map(str, OLDEST))} or newer, and "
            f"{installed} is installed: pip install -U 'pytest-modellab[inspect]'"
        )
    return installed


def _read(logs: Any, path: str) -> tuple[Any, Sequence[Any]]:
    """Return a log's header and samples; they are read one by one where the log lists them."""
    header = logs.read_eval_log(path, header_only=not path.endswith(".json"))
    if header.eval.dataset.sample_ids is None and header.samples is None:
        header = logs.read_eval_log(path)
    if header.samples is not None:
        return header, header.samples
    found = logs.read_eval_log_samples(path, all_samples_required=False, exclude_fields=UNREAD)
    return header, list(found)


def _check_scored(path: Path, header: Any, samples: Sequence[Any]) -> None:
    """Refuse a run that failed as a whole, and say of what.

    Raises:
        ScoreFileError: no sample has a score.
    """
    if not samples:
        cause = f": {first_line(header.error.message)}" if header.error else ""
        raise ScoreFileError(
            f"{path}: holds no sample; the run's status is {header.status!r}{cause}; run it again"
        )
    failed = [sample.error for sample in samples if _failed(sample)]
    if len(failed) == len(samples):
        raise ScoreFileError(
            f"{path}: all {plural(len(samples), 'sample')} failed, none has a score; the first: "
            f"{first_line(failed[0].message)}; mend that, and run it again"
        )
    if not any(_scorers(sample) for sample in samples):
        raise ScoreFileError(
            f"{path}: none of {plural(len(samples), 'sample')} was scored (status "
            f"{header.status!r}); score the log: inspect score {path.name}"
        )


def _check_size(path: Path) -> None:
    """Refuse a log, which is a zip file, that unpacks to what no log is.

    Raises:
        ScoreFileError: it does.
    """
    packed = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return  # in JSON, or damaged, which inspect_ai tells
    if size > source.limit(packed):
        raise ScoreFileError(
            f"{path}: {packed:,} bytes of a log unpack to {size:,}, more than "
            f"{source.limit(packed):,}; hand in its scores as CSV or JSONL"
        )


def _content(sample: Any) -> str:
    """Hash of what was asked; messages get new ids in every run, so these stay out."""
    asked = sample.input
    if not isinstance(asked, str):
        asked = [message.model_dump(mode="json", exclude={"id"}) for message in asked]
    return digest([asked, sample.target, sample.choices])


def _failed(sample: Any) -> bool:
    """Tell whether a sample has an error and no score; one that has both counts for inspect."""
    return sample.error is not None and not sample.scores


def _scorers(sample: Any) -> list[str]:
    return [
        name
        for scorer, score in (sample.scores or {}).items()
        for name in (
            [f"{scorer}.{key}" for key in score.value]
            if isinstance(score.value, dict)
            else [scorer]
        )
    ]


def _scores(sample: Any, to_float: Callable[[Any], float]) -> Mapping[str, Any]:
    def number(value: Any) -> float | NoScore | None:
        if value is None:
            return None
        if not _is_grade(value):  # to_float answers 0 to these, and unscored is not zero
            return NoScore(
                f"{str(value)[:80]!r} is no grade that inspect turns into a number; choose another "
                "scorer (--score NAME), or make this one return a number"
            )
        return to_float(value)

    return {
        scorer: {key: number(inner) for key, inner in score.value.items()}
        if isinstance(score.value, dict)
        else number(score.value)
        for scorer, score in (sample.scores or {}).items()
    }


def _is_grade(value: Any) -> bool:
    if not isinstance(value, str):
        return isinstance(value, bool | int | float)
    if value in _GRADES or value.lower() in _TRUTHS:
        return True
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False
