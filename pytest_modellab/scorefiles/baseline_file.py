"""Accepted runs of pytest-modellab: ``baselines/<task set>/<variant>.json``."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.baselines import file
from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.table import ScoreTable


def table(path: Path, content: bytes) -> ScoreTable:
    """Read an accepted run.

    Args:
        path: for messages.
        content: the file's content.

    Returns:
        One record a sample.

    Raises:
        ScoreFileError: it is another kind of JSON file.
        BaselineInvalid: it was edited or truncated.
    """
    if b'"schema"' not in content or b'"task_set"' not in content:
        raise ScoreFileError(
            f"{path}: neither a baseline of pytest-modellab nor a log of inspect; per-sample "
            "scores of lm-evaluation-harness are in samples_*.jsonl (--log_samples), other "
            "tools' belong into JSON lines (.jsonl)"
        )
    run = file.parse(content, path, "restore it: git checkout").run
    records = [
        (f"sample {s.id!r}", {"id": s.id, "score": s.score, "hash": s.hash}) for s in run.samples
    ]
    name, version = run.task_set["name"], run.task_set["version"]
    return ScoreTable(
        kind=f"baseline of {run.variant['name']!r} on {name} {version}",
        columns=("id", "score", "hash"),
        records=records,
    )
