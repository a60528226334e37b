"""Accepted runs of pytest-modellab: ``baselines/<task set>/<variant>.json``."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.baselines import file
from pytest_modellab.scorefiles.table import ScoreTable


def is_baseline(content: bytes) -> bool:
    """Tell whether a JSON file is, or was, an accepted run."""
    return all(key in content for key in (b'"schema"', b'"task_set"', b'"fingerprint"'))


def table(path: Path, content: bytes) -> ScoreTable:
    """Read an accepted run.

    Args:
        path: for messages.
        content: the file's content.

    Returns:
        One record a sample.

    Raises:
        BaselineInvalid: it was edited or truncated.
    """
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
