"""A corpus that is searched while a job is answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_modellab.engines.interface import Ability, Engine, abilities, searching
from pytest_modellab.errors import ScoringError, Unable
from pytest_modellab.records.progress import Advance, Watch, Work
from pytest_modellab.records.runs import Output, Ranking
from pytest_modellab.records.tasks import EXCLUDE, Sample, TaskSet
from pytest_modellab.runs.job import Job
from pytest_modellab.scorers.choice import MultipleChoice

_ASKS: Mapping[Ability, str] = {
    "score": "a choice by likelihood",
    "compare": "a comparison",
    "generate": "a reply",
    "rank": "a ranking",
    "read": "the likelihood of a document",
}


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


def searched(sample: Sample, output: Output, task_set: TaskSet) -> Output:
    """Leave the documents out of a ranking that its sample excludes."""
    excluded = set(sample.metadata.get(EXCLUDE, ()))
    if not output.ranking:
        return output
    size = wanted_depth(task_set)

    def kept(hits: Ranking) -> Ranking:
        return tuple(hit for hit in hits if hit[0] not in excluded)[:size]

    exact = output.exact
    if exact is not None:
        exact = dataclasses.replace(exact, ranking=kept(exact.ranking))
    return dataclasses.replace(output, ranking=kept(output.ranking), exact=exact)


_IN_WORDS = (
    'set scoring = "generated" on it and on what it is compared with, so that multiple choice is '
    "asked in words; or "
)


def open_corpus(
    job: Job,
    engine: Engine,
    cache: Path,
    watch: Watch = lambda _: None,
) -> None:
    """Let an engine that searches open the task set's corpus, so that it can answer.

    Args:
        job: what is to be run.
        engine: the variant's.
        cache: the store's root.
        watch: called as documents are indexed.

    Raises:
        ScoringError: what the samples ask for is not what the engine gives.
        ModellabError: a document cannot be encoded.
    """
    task_set, able = job.task_set, abilities(engine)
    for sample in task_set.samples:
        need = job.need(sample)
        if need == "rank" and need not in able:
            raise ScoringError(
                f"{task_set.name!r} asks for rankings of its corpus and {job.spec.kind!r} variants "
                'answer in words; select others: @pytest.mark.variants(kind="embedding")'
            )
        if need == "rank" and task_set.corpus is None:
            raise ScoringError(
                f"sample {sample.id!r} asks for a ranking (scorer {sample.scorer!r}), but "
                f'{task_set.name!r} has no corpus; a set with one has format = "beir"'
            )
        if need not in able:
            why = getattr(engine, "lacks", "")
            raise Unable(
                f"sample {sample.id!r} asks for {_ASKS[need]}, which the scorer {sample.scorer!r} "
                f"judges, and {job.spec.kind!r} variants give none"
                + (f" here: {why}; or " if why else "; ")
                + (_IN_WORDS if why and sample.scorer == MultipleChoice.name else "")
                + "select others: @pytest.mark.variants(kind=…)"
            )
    search = searching(engine)
    if search is not None and task_set.corpus is not None:

        def indexed(done: int, total: int) -> None:
            watch(Advance(Work.INDEX, job.spec.name, task_set.name, done, total))

        search.open_corpus(task_set.corpus, depth_of(task_set), cache, indexed)


def with_exact(
    engine: Engine, batch: Mapping[int, Output], contexts: Sequence[str]
) -> Mapping[int, Output]:
    """Put what exact search finds beside what an approximate index found."""
    search = searching(engine)
    found = search.audit([contexts[k] for k in batch]) if search is not None else ()
    if not found:
        return batch
    return {
        k: dataclasses.replace(output, exact=one)
        for (k, output), one in zip(batch.items(), found, strict=True)
    }


def search_probes(job: Job, engine: Engine, queries: Sequence[str]) -> Mapping[str, float]:
    """Return what was measured of a search."""
    search = searching(engine)
    if search is None or job.task_set.corpus is None:
        return {}
    return search.measurements(queries)
