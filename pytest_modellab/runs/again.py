"""Samples are scored again, by an engine that is loaded already; nothing of it is kept."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from pytest_modellab.engines.interface import Engine
from pytest_modellab.runs.answering import answer
from pytest_modellab.runs.job import Job
from pytest_modellab.runs.passages import Grounded
from pytest_modellab.runs.scoring import Scorers, record_of
from pytest_modellab.store.runs import RunEntry


def scores(
    job: Job, scorers: Scorers, engine: Engine, prompt: Grounded
) -> tuple[float | None, ...]:
    """Ask an engine the samples of a job.

    Args:
        job: whose samples and scorers count; neither its source nor its search is opened.
        scorers: those that its samples name, by name.
        engine: who answers.
        prompt: how a sample becomes chat messages.

    Returns:
        A score each, or None where there is none.

    Raises:
        ModellabError: it does not answer, or a scorer cannot judge what it says.
    """
    job = dataclasses.replace(job, reuse=False, search=None, paraphrases=())
    with tempfile.TemporaryDirectory(prefix="modellab-") as folder:
        entry = RunEntry(Path(folder), job.task_set, job.fingerprint)
        with entry.lock():
            stored = answer(job, prompt, engine, entry, Path(folder), lambda _: None)
    return tuple(result.score for result in record_of(job, scorers, stored).samples)
