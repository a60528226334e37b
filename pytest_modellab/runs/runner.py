"""Variant × task set → run record: batched, stored as it goes, never run twice."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

from pytest_modellab.records.runs import RunRecord
from pytest_modellab.runs.answering import answer, importing
from pytest_modellab.runs.corpus import depth_of
from pytest_modellab.runs.job import DEFAULT_BUDGET, SEED, Job
from pytest_modellab.runs.paraphrases import averaged, paraphrased_jobs
from pytest_modellab.runs.scoring import record_of
from pytest_modellab.store.runs import RunEntry, StoredRun


def run(
    job: Job,
    cache: Path,
    *,
    budget: int = DEFAULT_BUDGET,
    reuse: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[RunRecord, bool]:
    """Run a variant on a task set, or take the run from the store.

    Args:
        job: what is to be run.
        cache: the store's root.
        budget: tokens in a batch; halved, and remembered, where memory runs out.
        reuse: False to run anew whatever the store has.
        progress: called with samples answered and samples in all.

    Returns:
        The run record, and whether it came from the store.

    Raises:
        OutOfMemory: a single sample does not fit.
        ScoringError: a scorer cannot judge what it was given.
        VariantLoadError: the variant cannot be loaded.
    """
    if not job.paraphrases:
        return _run_prompt(job, cache, budget, reuse, progress)
    size = len(job.task_set.samples)
    jobs = paraphrased_jobs(job)
    records, stored = [], []
    for number, one in enumerate(jobs):

        def count(done: int, _: int, before: int = number * size) -> None:
            progress(before + done, len(jobs) * size)

        record, was_stored = _run_prompt(one, cache, budget, reuse, count)
        records.append(record)
        stored.append(was_stored)
    return averaged(job, records), all(stored)


def recall(job: Job, cache: Path) -> RunRecord | None:
    """Return a finished run from the store, or None; nothing is run or loaded.

    Args:
        job: what would be run.
        cache: the store's root.

    Raises:
        ScoringError: a scorer cannot judge what is stored.
    """
    records = []
    for one in paraphrased_jobs(job) if job.paraphrases else [job]:
        stored = _entry(one, cache).read()
        if stored is None:
            return None
        records.append(record_of(one, stored))
    return averaged(job, records) if job.paraphrases else records[0]


def _entry(job: Job, cache: Path) -> RunEntry:
    return RunEntry(cache, job.task_set, job.fingerprint, depth_of(job.task_set))


def _run_prompt(
    job: Job, cache: Path, budget: int, reuse: bool, progress: Callable[[int, int], None]
) -> tuple[RunRecord, bool]:
    stored, known = _obtain(job, cache, budget, reuse, progress)
    return record_of(job, stored), known


def _obtain(
    job: Job, cache: Path, budget: int, reuse: bool, progress: Callable[[int, int], None]
) -> tuple[StoredRun, bool]:
    entry = _entry(job, cache)
    with entry.lock():
        stored = entry.read() if reuse else None
        if stored is not None:
            return stored, True
        with importing():
            stored = answer(job, entry, cache, budget, reuse, progress)
        entry.write(stored)
    return stored, False


def repeat(
    job: Job,
    cache: Path,
    *,
    first: RunRecord,
    reuse: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> RunRecord:
    """Run a second time, to see what flips though nothing has changed.

    The samples are asked in another order (seeded) and in batches of half the tokens that the first
    run's had, which may have been fewer than were asked for.

    Args:
        job: what is to be run.
        cache: the store's root.
        first: the job's first run.
        reuse: False to run anew whatever the store has.
        progress: called with samples answered and samples in all.

    Returns:
        The run record, its samples in the task set's order.

    Raises:
        ModellabError: as :func:`run`.
    """
    samples = job.task_set.samples
    order = random.Random(SEED).sample(range(len(samples)), len(samples))
    shuffled = dataclasses.replace(job.task_set, samples=tuple(samples[i] for i in order))
    again = dataclasses.replace(job, task_set=shuffled)
    budget = max(1, int(first.environment["token_budget"]) // 2)
    record, stored = run(again, cache, budget=budget, reuse=reuse, progress=progress)
    if stored and record.environment["token_budget"] > budget:
        # kept beside a first run with larger batches; this one's may have been the same
        record, _ = run(again, cache, budget=budget, reuse=False, progress=progress)
    results = dict(zip(order, record.samples, strict=True))
    return dataclasses.replace(
        record,
        task_set={**record.task_set, "hash": job.task_set.hash},
        samples=tuple(results[i] for i in range(len(samples))),
    )
