"""A variant's latency and memory beside its reference's: measured, and kept in the store."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.engines import device as devices
from pytest_modellab.engines import environment
from pytest_modellab.engines.interface import Engine, GenerationRequest, abilities, searching
from pytest_modellab.errors import ModelError
from pytest_modellab.records import reading
from pytest_modellab.records.declared import PerformanceConfig
from pytest_modellab.records.progress import Advance, Work
from pytest_modellab.records.tasks import Sample
from pytest_modellab.records.timings import Performance, Timings
from pytest_modellab.records.windows import is_document
from pytest_modellab.runs import latency, memory
from pytest_modellab.runs.answering import importing, workers
from pytest_modellab.runs.batches import check_media
from pytest_modellab.runs.corpus import open_corpus
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.runs.passages import Grounded
from pytest_modellab.store import files, said
from pytest_modellab.store.place import entry

LAYOUT = 2


def obtain(
    job: Job, reference: Job | None, settings: PerformanceConfig, executor: InProcess
) -> Performance:
    """Return what the store has of this machine, or measure and keep it.

    Args:
        job: as :func:`measure`; without ``reuse`` it is measured whatever the store has.
        reference: as :func:`measure`.
        settings: as :func:`measure`.
        executor: as :func:`measure`.

    Returns:
        The measurements.

    Raises:
        ModellabError: as :func:`measure`.
        OSError: the store cannot be written.
    """
    found = recall(executor.cache, job, reference, settings) if job.reuse else None
    if found is None:
        both = [one.source for one in (job, reference) if one is not None]
        with importing(), executor.turn(both):
            found = measure(job, reference, settings, executor)
        if found.cut:  # a verdict that passes shows no notes of its own
            said.say(f"latency of {job.spec.name} on {job.task_set.name}: {found.cut}")
        if not found.environment["workers"]:  # beside other workers no figure is worth keeping
            _remember(executor.cache, job, reference, settings, found)
    return found


def measure(
    job: Job, reference: Job | None, settings: PerformanceConfig, executor: InProcess
) -> Performance:
    """Measure a variant, and its reference in turns with it.

    Args:
        job: the variant, and the task set whose prompts are asked.
        reference: what it is compared with, which is loaded beside it; None to measure the variant
            alone.
        settings: how many prompts, how often, how many at once.
        executor: loads the variant, finds what the prompts show, and is told of every round.

    Returns:
        The measurements.

    Raises:
        ModellabError: a model cannot be loaded, or does not answer.
    """
    device, cache = str(job.fingerprint.settings.get("device", "cpu")), executor.cache

    def progress(done: int, total: int, most: float) -> None:
        executor.watch(Advance(Work.LATENCY, job.spec.name, job.task_set.name, done, total, most))

    # before memory is measured: a search is loaded for what a prompt shows
    prompt = executor.grounded(job)
    its = executor.grounded(reference) if reference is not None else prompt
    memory.begin(device)
    engine = executor.load(job.source)
    if searching(engine) is not None and job.task_set.corpus is None:
        raise ModelError(f"{job.task_set.name!r} has no corpus, and what is timed is a search")
    open_corpus(job, engine, cache)
    samples = job.task_set.samples
    check_media(engine, samples)
    chosen = [samples[i] for i in latency.spread(list(map(_length, samples)), settings.requests)]
    asked = _requests(engine, prompt, chosen, settings)
    together = asked[: settings.concurrency]
    engine.generate(together, budget=latency.UNLIMITED, skip=set(), done=lambda _: None)
    peaks = memory.peaks(device)
    if reference is None:
        (timings,) = latency.measure([engine], [asked], settings, progress=progress)
        return Performance(timings, None, peaks, _environment(device, engine), settings.rounds)
    other = reference.source.open(cache)
    try:
        open_corpus(reference, other, cache)
        pair = latency.measure(
            [engine, other],
            [asked, _requests(other, its, chosen, settings)],
            settings,
            progress=progress,
        )
    finally:
        other.close()
    return Performance(pair[0], pair[1], peaks, _environment(device, engine), settings.rounds)


def recall(
    cache: Path, job: Job, reference: Job | None, settings: PerformanceConfig
) -> Performance | None:
    """Return what was last measured on this machine, or None."""

    def found(data: object) -> Performance:
        read = reading.build(Performance, data)
        for timings in (read.candidate, read.reference):
            if timings is not None:
                _check_shape(timings)
        if (read.reference is None) != (reference is None):
            raise reading.Unfit("reference: not what was asked for")
        return read

    place = _place(cache, job, reference, settings)
    name, task_set = job.spec.name, job.task_set.name
    lost = f"the stored latency of {name} on {task_set} is not used"
    return files.read(place, found, of=place.stem, lost=lost)


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
    place = _place(cache, job, reference, settings)
    files.write(place, data, of=place.stem)


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
    engine: Engine, prompt: Grounded, samples: Sequence[Sample], settings: PerformanceConfig
) -> list[GenerationRequest]:
    """The prompts as the variant is asked them; a choice is written out, as a user would see it.

    A document is in no chat template; what is timed is what comes after it. Who writes down what
    media hold is timed until all is written.
    """
    whole = "score" not in abilities(engine)
    return [
        GenerationRequest(
            sample.input if is_document(sample) else engine.render(prompt.chat(sample)),
            sample.max_tokens
            if whole and sample.max_tokens
            else min(sample.max_tokens or settings.max_tokens, settings.max_tokens),
            media=sample.media,
        )
        for sample in samples
    ]


def _length(sample: Sample) -> int:
    """How long a sample is beside others of its kind: characters, pixels, milliseconds."""
    seconds = latency.audio_seconds(sample.media)
    pixels = sum(one.width * one.height for one in sample.media)
    return len(sample.input) + pixels + round(1000 * seconds)


def _environment(device: str, engine: Engine) -> dict[str, Any]:
    return {
        "device": devices.full_name(device),
        "machine": platform.machine(),
        "threads": environment.of(engine)["threads"],
        "workers": workers(),
        "recorded": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _check_shape(found: Timings) -> None:
    """Refuse timings that are no table of rounds and prompts.

    Raises:
        ValueError: they are not.
    """
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
