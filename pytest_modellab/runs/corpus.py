"""A corpus that is searched while a job is answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pytest_modellab.engines.interface import Engine, Searching
from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import EXCLUDE, TaskSet
from pytest_modellab.runs.job import Job
from pytest_modellab.scorers.interface import SetScorer

DEPTH = 100
"""Documents in a ranking, unless a metric looks at more."""


def depth_of(task_set: TaskSet) -> int:
    """Return how many documents a ranking needs: :data:`DEPTH`, or what a metric or sample asks.

    A document that a sample excludes must not take the place of another.
    """
    excluded = [len(s.metadata.get(EXCLUDE, ())) for s in task_set.samples]
    return wanted_depth(task_set) + max(excluded, default=0)


def wanted_depth(task_set: TaskSet) -> int:
    """How many documents of a ranking count."""
    names = {*task_set.metrics, *(s.scorer for s in task_set.samples)}
    cutoffs = [int(cut) for cut in (name.partition("@")[2] for name in names) if cut.isdecimal()]
    return max([DEPTH, *cutoffs])


def open_corpus(
    job: Job,
    engine: Engine,
    cache: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Let an engine that searches open the task set's corpus, so that it can answer.

    Raises:
        ScoringError: what the samples ask for is not what the engine gives.
        ModellabError: a document cannot be encoded.
    """
    task_set, searches = job.task_set, isinstance(engine, Searching)
    for sample in task_set.samples:
        scorer = job.scorers[sample.scorer]
        ranked = isinstance(scorer, SetScorer) and scorer.ranking
        if ranked and not searches:
            raise ScoringError(
                f"{task_set.name!r} asks for rankings of its corpus and {job.spec.kind!r} variants "
                'answer in words; select others: @pytest.mark.variants(kind="embedding")'
            )
        if ranked and task_set.corpus is None:
            raise ScoringError(
                f"sample {sample.id!r} asks for a ranking (scorer {sample.scorer!r}), but "
                f'{task_set.name!r} has no corpus; a set with one has format = "beir"'
            )
        compared = isinstance(scorer, SetScorer) and scorer.likelihood
        if searches and not ranked and not compared:
            asks = "a choice by likelihood" if scorer.likelihood else "a reply"
            raise ScoringError(
                f"sample {sample.id!r} asks for {asks}, which the scorer {sample.scorer!r} "
                f"judges, and {job.spec.kind!r} variants give none; select others: "
                "@pytest.mark.variants(kind=…)"
            )
    if isinstance(engine, Searching) and task_set.corpus is not None:
        engine.open_corpus(task_set.corpus, depth_of(task_set), cache, progress)


def with_exact(
    engine: Engine, batch: Mapping[int, Output], contexts: Sequence[str]
) -> Mapping[int, Output]:
    """Put what exact search finds beside what an approximate index found."""
    if not isinstance(engine, Searching):
        return batch
    found = engine.audit([contexts[k] for k in batch])
    if not found:
        return batch
    return {
        k: dataclasses.replace(output, exact=one)
        for (k, output), one in zip(batch.items(), found, strict=True)
    }


def search_probes(job: Job, engine: Engine, queries: Sequence[str]) -> Mapping[str, float]:
    """Return what was measured of a search."""
    if not isinstance(engine, Searching) or job.task_set.corpus is None:
        return {}
    return engine.measurements(queries)
