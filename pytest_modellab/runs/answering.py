"""An engine answers the samples of a job, part by part as it may be cut, and batch by batch."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import platform
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from pytest_modellab.engines import environment
from pytest_modellab.engines.budget import GENERATION_FACTOR
from pytest_modellab.engines.interface import (
    Ability,
    Done,
    Engine,
    GenerationRequest,
    ReadingRequest,
    ScoringRequest,
    probes,
    reading,
)
from pytest_modellab.engines.packages import install_command
from pytest_modellab.errors import (
    ConfigError,
    MediaError,
    ModelError,
    OutOfMemory,
    VariantLoadError,
)
from pytest_modellab.records import windows
from pytest_modellab.records.progress import Watch
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.runs.batches import (
    accelerator,
    check_media,
    check_seen,
    halved,
    token_budget,
)
from pytest_modellab.runs.corpus import open_corpus, search_probes, with_exact
from pytest_modellab.runs.job import SEED, Job
from pytest_modellab.runs.latency import audio_seconds, images
from pytest_modellab.runs.passages import Grounded
from pytest_modellab.runs.shards import spans
from pytest_modellab.scorers import in_words
from pytest_modellab.store.runs import RunEntry, StoredRun

_Request: TypeAlias = ScoringRequest | GenerationRequest | ReadingRequest
_R = TypeVar("_R", bound=_Request)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Say what to install where a library is missing that nobody had asked for before.

    Raises:
        VariantLoadError: in place of an ImportError.
    """
    try:
        yield
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or not isinstance(error, ModuleNotFoundError):
            raise VariantLoadError(f"a library cannot be imported: {error}") from error
        raise VariantLoadError(
            f"running it needs {missing}, which is not installed: {install_command(missing)}"
        ) from error


def answer(
    job: Job, prompt: Grounded, engine: Engine, entry: RunEntry, cache: Path, watch: Watch
) -> StoredRun:
    """Answer all samples of a job that are not answered yet.

    Args:
        job: what is to be run.
        prompt: the job's, with what its search has found.
        engine: the job's variant, loaded.
        entry: where answers are kept as they arrive.
        cache: the store's root.
        watch: called after each batch.

    Raises:
        OutOfMemory: a single sample does not fit.
        ScoringError: what the samples ask for is not what the engine gives, or more than its
            model can see.
    """
    open_corpus(job, engine, cache, watch)
    told = environment.of(engine)
    samples = job.task_set.samples
    contexts = [  # a document is in no chat template
        sample.input if job.need(sample) == "read" else _context(engine, prompt, sample)
        for sample in samples
    ]
    requests = [
        _request(job.need(sample), sample, context)
        for sample, context in zip(samples, contexts, strict=True)
    ]
    check_media(engine, samples)
    pairs = zip(samples, requests, strict=True)
    seen = [(one, asked) for one, asked in pairs if not isinstance(asked, ReadingRequest)]
    check_seen(engine, [one for one, _ in seen], [asked for _, asked in seen])
    # the longest prompt first, so that memory runs out there or not at all
    parts = sorted(spans(job), key=lambda part: -max((len(contexts[i]) for i in part), default=0))
    budget = token_budget(job, engine, cache)
    while True:
        answers = entry.start(budget, threads=told["threads"], parts=len(parts), resume=job.reuse)

        def keep(batch: Mapping[int, Output], answers: dict[int, Output] = answers) -> None:
            named = {i: shown(prompt, samples[i], checked(one)) for i, one in batch.items()}
            entry.append(named)
            answers.update(named)
            watch(job.advance(len(answers)))

        watch(job.advance(len(answers)))
        try:
            for part in parts:
                environment.seed(engine, SEED)
                _ask(engine, {i: requests[i] for i in part}, budget, answers, keep)
            break
        except OutOfMemory as error:
            # Begun anew with the smaller budget, so that this run's batches are the next run's.
            entry.abandon()
            longest = max(range(len(samples)), key=lambda i: len(contexts[i]))
            budget = halved(job, budget, error, cache, samples[longest].id)
        except MediaError as error:
            raise MediaError(f"{_whose(samples, str(error))}{error}") from error
    outputs = tuple(answers[i] for i in range(len(samples)))
    seconds = math.fsum(output.seconds for output in outputs)
    tokens = sum(output.tokens_in + output.tokens_out for output in outputs)
    return StoredRun(
        outputs=outputs,
        probes={
            "parameter_bytes": float(engine.parameter_bytes()),
            "seconds": round(seconds, 3),
            "tokens": float(tokens),
            "tokens_per_second": round(tokens / seconds, 1) if seconds else 0.0,
            **_media_probes(samples, outputs),
            **search_probes(
                job, engine, [one.context for one in requests if isinstance(one, GenerationRequest)]
            ),
            **probes(engine),
        },
        environment={
            "device": job.fingerprint.settings.get("device"),
            **({"accelerator": name} if (name := accelerator(job)) else {}),
            **told,
            "python": platform.python_version(),
            "platform": f"{platform.system()}-{platform.machine()}",
            "workers": workers(),
            "token_budget": budget,
            "seed": SEED,
            "recorded": time.strftime("%Y-%m-%d", time.gmtime()),
        },
    )


def _request(need: Ability, sample: Sample, context: str) -> _Request:
    if need == "read":
        return ReadingRequest(sample.input, **windows.of(sample))
    if need in ("score", "compare"):
        return ScoringRequest(context, sample.choices, media=sample.media)
    return GenerationRequest(context, in_words.tokens(sample), media=sample.media)


def _ask(
    engine: Engine,
    requests: Mapping[int, _Request],
    budget: int,
    answers: Collection[int],
    keep: Done,
) -> None:
    """Have an engine answer what is computed together, by each of its abilities.

    Args:
        engine: who is asked.
        requests: by the number of their sample.
        budget: tokens in a batch.
        answers: numbers of samples that have an answer already.
        keep: called after each batch.
    """

    def of(kind: type[_R]) -> dict[int, _R]:
        return {i: one for i, one in requests.items() if isinstance(one, kind)}

    def skipped(asked: Collection[int]) -> set[int]:
        return {k for k, i in enumerate(asked) if i in answers}

    def kept(asked: Sequence[int], batch: Mapping[int, Output]) -> None:
        keep({asked[k]: output for k, output in batch.items()})

    scored, written, read = of(ScoringRequest), of(GenerationRequest), of(ReadingRequest)
    engine.score_options(
        [*scored.values()],
        budget=budget,
        skip=skipped(scored),
        done=lambda batch: kept([*scored], batch),
    )
    contexts = [one.context for one in written.values()]
    engine.generate(
        [*written.values()],
        budget=GENERATION_FACTOR * budget,
        skip=skipped(written),
        done=lambda batch: kept([*written], with_exact(engine, batch, contexts)),
    )
    if read:
        reading(engine).read_documents(
            [*read.values()],
            budget=budget,
            skip=skipped(read),
            done=lambda batch: kept([*read], batch),
        )


def _media_probes(samples: Sequence[Sample], outputs: Sequence[Output]) -> dict[str, float]:
    """Return how much was heard and seen, and how long it took for each second and image."""
    found = {}
    for name, rate, measure in (
        ("audio_seconds", "real_time_factor", audio_seconds),
        ("images", "seconds_per_image", images),
    ):
        amounts = [measure(sample.media) for sample in samples]
        pairs = zip(amounts, outputs, strict=True)
        seconds = math.fsum(output.seconds for amount, output in pairs if amount)
        if total := math.fsum(amounts):
            found[name] = round(total, 3)
            found[rate] = float(f"{seconds / total:.4g}")
    return found


def _context(engine: Engine, prompt: Grounded, sample: Sample) -> str:
    """Render a sample's chat, and name the sample where a template fails."""
    try:
        return engine.render(prompt.chat(sample))
    except (ConfigError, ModelError) as error:
        raise type(error)(f"sample {sample.id}: {error}") from error


def _whose(samples: Sequence[Sample], text: str) -> str:
    """Name the first sample that shows a file which a message names."""
    found = [s.id for s in samples if any(one.path and one.path in text for one in s.media)]
    return f"sample {found[0]}: " if found else ""


def workers() -> int:
    """How many xdist workers share the machine; 0 outside xdist."""
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))


def shown(prompt: Grounded, sample: Sample, output: Output) -> Output:
    """Note the passages that a prompt has shown."""
    passages = prompt.passages(sample.input)
    return dataclasses.replace(output, passages=passages) if passages else output


def checked(output: Output) -> Output:
    """Mark an answer with a likelihood that is not a finite number as failed."""
    for value in output.option_logprobs:
        if not math.isfinite(value):
            what = "NaN" if math.isnan(value) else "infinite"
            return dataclasses.replace(
                output, option_logprobs=(), failed=f"the model's likelihoods are {what}"
            )
    return output
