"""A variant's latency and memory beside its reference's: measured, and kept in the store."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.engines import environment
from pytest_modellab.engines.interface import Engine, GenerationRequest, Searching
from pytest_modellab.errors import ModelError
from pytest_modellab.records.declared import PerformanceConfig
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.records.timings import Performance, Timings
from pytest_modellab.runs import latency, memory
from pytest_modellab.runs.answering import importing, workers
from pytest_modellab.runs.corpus import open_corpus
from pytest_modellab.runs.job import Job
from pytest_modellab.store import files
from pytest_modellab.store.place import entry

LAYOUT = 2


def obtain(
    job: Job,
    reference: Job | None,
    settings: PerformanceConfig,
    cache: Path,
    reuse: bool,
    progress: Callable[[int, int], None],
) -> Performance:
    """Return what the store has of this machine, or measure and keep it.

    Args:
        job: as :func:`measure`.
        reference: as :func:`measure`.
        settings: as :func:`measure`.
        cache: the store's root.
        reuse: False to measure whatever the store has.
        progress: as :func:`measure`.

    Returns:
        The measurements.

    Raises:
        ModellabError: as :func:`measure`.
        OSError: the store cannot be written.
    """
    found = recall(cache, job, reference, settings) if reuse else None
    if found is None:
        with importing():
            found = measure(job, reference, settings, cache, progress=progress)
        if not found.environment["workers"]:  # beside other workers no figure is worth keeping
            _remember(cache, job, reference, settings, found)
    return found


def measure(
    job: Job,
    reference: Job | None,
    settings: PerformanceConfig,
    cache: Path,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Performance:
    """Measure a variant, and its reference in turns with it.

    Args:
        job: the variant, and the task set whose prompts are asked.
        reference: what it is compared with; None to measure the variant alone.
        settings: how many prompts, how often, how many at once.
        cache: the store's root, where the index of a variant that searches is.
        progress: called with rounds done and rounds in all.

    Returns:
        The measurements.

    Raises:
        ModellabError: a model cannot be loaded, or does not answer.
    """
    device = str(job.fingerprint.settings.get("device", "cpu"))
    for one in (job, reference) if reference is not None else (job,):
        # before memory is measured: a prompt that shows what a search found loads that search
        one.prompt.messages(one.task_set.samples[0].input)
    memory.begin(device)
    engine = job.load()
    if isinstance(engine, Searching) and job.task_set.corpus is None:
        raise ModelError(f"{job.task_set.name!r} has no corpus, and what is timed is a search")
    open_corpus(job, engine, cache)
    chosen = latency.spread([len(s.input) for s in job.task_set.samples], settings.requests)
    asked = _requests(job, engine, job.task_set, chosen, settings)
    together = asked[: settings.concurrency]
    engine.generate(together, budget=latency.UNLIMITED, skip=set(), done=lambda _: None)
    peaks = memory.peaks(device)
    if reference is None:
        (timings,) = latency.measure([engine], [asked], settings, progress=progress)
        return Performance(timings, None, peaks, _environment(device, engine))
    other = reference.load()
    try:
        open_corpus(reference, other, cache)
        pair = latency.measure(
            [engine, other],
            [asked, _requests(reference, other, job.task_set, chosen, settings)],
            settings,
            progress=progress,
        )
    finally:
        other.close()
    return Performance(pair[0], pair[1], peaks, _environment(device, engine))


def recall(
    cache: Path, job: Job, reference: Job | None, settings: PerformanceConfig
) -> Performance | None:
    """Return what was last measured on this machine, or None."""

    def found(data: Mapping[str, Any]) -> Performance:
        return Performance(
            candidate=_timings(data["candidate"]),
            reference=None if reference is None else _timings(data["reference"]),
            memory=dict(data["memory"]),
            environment=dict(data["environment"]),
        )

    return files.read(_place(cache, job, reference, settings), found)


def _remember(
    cache: Path,
    job: Job,
    reference: Job | None,
    settings: PerformanceConfig,
    found: Performance,
) -> None:
    data = {
        **dataclasses.asdict(dataclasses.replace(found, memory={}, environment={})),
        "memory": dict(found.memory),
        "environment": dict(found.environment),
    }
    files.write(_place(cache, job, reference, settings), data)


def _place(cache: Path, job: Job, reference: Job | None, settings: PerformanceConfig) -> Path:
    made_of = [
        LAYOUT,
        job.fingerprint.key,
        None if reference is None else reference.fingerprint.key,
        job.task_set.hash,
        dataclasses.asdict(settings),
        platform.node(),
        os.cpu_count(),
        [os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")],
    ]
    return entry(cache, "performance", made_of).with_suffix(".json")


def _requests(
    job: Job,
    engine: Engine,
    task_set: TaskSet,
    chosen: tuple[int, ...],
    settings: PerformanceConfig,
) -> list[GenerationRequest]:
    """The prompts as the variant is asked them; a choice is written out, as a user would see it."""
    return [
        GenerationRequest(
            engine.render(job.prompt.messages(sample.input)),
            min(sample.max_tokens or settings.max_tokens, settings.max_tokens),
        )
        for sample in (task_set.samples[i] for i in chosen)
    ]


def _environment(device: str, engine: Engine) -> dict[str, Any]:
    name = device
    if device.startswith("cuda"):
        import torch

        name = torch.cuda.get_device_name()
    return {
        "device": str(name),
        "machine": platform.machine(),
        "threads": environment.of(engine)["threads"],
        "workers": workers(),
        "recorded": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _timings(data: Mapping[str, Any]) -> Timings:
    fields: dict[str, Any] = {
        name: tuple(tuple(v) if isinstance(v, list) else v for v in values)
        for name, values in data.items()
    }
    found = Timings(**fields)
    widths = {
        *(len(row) for row in (*found.first_token, *found.end_to_end)),
        len(found.tokens_in),
        len(found.tokens_out),
    }
    seconds = [
        s for rows in (found.first_token, found.end_to_end, found.loaded) for r in rows for s in r
    ]
    right = len(widths) == 1 and sum(found.groups) in widths and min(seconds) > 0
    if not right or {len(row) for row in found.loaded} != {len(found.groups)}:
        raise ValueError("not what was written")
    return found
