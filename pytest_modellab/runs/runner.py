"""Variant × task set → run record: batched, stored as it goes, never run twice."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from pytest_modellab.records.pairing import in_order
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.runs.executor import Executor
from pytest_modellab.runs.job import SEED, Job
from pytest_modellab.runs.paraphrases import averaged, paraphrased_jobs
from pytest_modellab.runs.scoring import Scorers, record_of


def run(job: Job, scorers: Scorers, executor: Executor) -> tuple[RunRecord, bool]:
    """Run a variant on a task set, or take the run from the store.

    Args:
        job: what is to be run.
        scorers: those that its samples name, by name.
        executor: obtains the answers.

    Returns:
        The run record, and whether all of it came from the store.

    Raises:
        OutOfMemory: a single sample does not fit.
        ScoringError: a scorer cannot judge what it was given.
        VariantLoadError: the variant cannot be loaded.
    """
    records, stored = [], []
    for one in paraphrased_jobs(job):
        found = executor.obtain(one)
        records.append(record_of(one, scorers, found))
        stored.append(found.stored)
    return _joined(job, records), all(stored)


def recall(job: Job, scorers: Scorers, executor: Executor) -> RunRecord | None:
    """Return a finished run from the store, or None; nothing is run or loaded.

    Args:
        job: what would be run.
        scorers: those that its samples name, by name.
        executor: knows the store.

    Raises:
        ScoringError: a scorer cannot judge what is stored.
    """
    records = []
    for one in paraphrased_jobs(job):
        found = executor.recall(one)
        if found is None:
            return None
        records.append(record_of(one, scorers, found))
    return _joined(job, records)


def _joined(job: Job, records: Sequence[RunRecord]) -> RunRecord:
    return averaged(job, records) if job.paraphrases else records[0]


def repeat(job: Job, scorers: Scorers, executor: Executor, *, first: RunRecord) -> RunRecord:
    """Run a second time, to see what flips though nothing has changed.

    The samples are asked in another order (seeded) and in batches of half the tokens that the first
    run's had, which may have been fewer than were asked for.

    Args:
        job: what is to be run.
        scorers: those that its samples name, by name.
        executor: obtains the answers.
        first: the job's first run.

    Returns:
        The run record, its samples in the task set's order.

    Raises:
        ModellabError: as :func:`run`.
    """
    samples = job.task_set.samples
    order = random.Random(SEED).sample(range(len(samples)), len(samples))
    shuffled = dataclasses.replace(job.task_set, samples=tuple(samples[i] for i in order))
    budget = max(1, int(first.environment["token_budget"]) // 2)
    again = dataclasses.replace(job, task_set=shuffled, budget=budget)
    record, stored = run(again, scorers, executor)
    if stored and record.environment["token_budget"] > budget:
        # kept beside a first run with larger batches; this one's may have been the same
        record, _ = run(dataclasses.replace(again, reuse=False), scorers, executor)
    record = in_order(record, samples)
    return dataclasses.replace(record, task_set={**record.task_set, "hash": job.task_set.hash})
