"""An engine answers the samples of a job, batch by batch."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pytest_modellab.engines import environment
from pytest_modellab.engines.budget import GENERATION_FACTOR
from pytest_modellab.engines.interface import (
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
from pytest_modellab.scorers import in_words
from pytest_modellab.store.runs import RunEntry, StoredRun


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
    environment.seed(engine, SEED)
    told = environment.of(engine)
    samples = job.task_set.samples
    documents = [i for i, s in enumerate(samples) if job.need(s) == "read"]
    plain = set(documents)  # a document is in no chat template
    contexts = [
        sample.input if i in plain else _context(engine, prompt, sample)
        for i, sample in enumerate(samples)
    ]
    scored = [i for i, s in enumerate(samples) if job.need(s) in ("score", "compare")]
    generated = [i for i, s in enumerate(samples) if job.need(s) in ("generate", "rank")]
    asked_for = [contexts[i] for i in generated]
    to_score = [
        ScoringRequest(contexts[i], samples[i].choices, media=samples[i].media) for i in scored
    ]
    to_write = [
        GenerationRequest(contexts[i], in_words.tokens(samples[i]), media=samples[i].media)
        for i in generated
    ]
    check_media(engine, samples)
    check_seen(engine, [samples[i] for i in (*scored, *generated)], [*to_score, *to_write])
    budget = token_budget(job, engine, cache)
    while True:
        answers = entry.start(budget, threads=told["threads"], resume=job.reuse)

        def keep(
            indices: Sequence[int],
            batch: Mapping[int, Output],
            answers: dict[int, Output] = answers,
        ) -> None:
            named = {
                indices[k]: shown(prompt, samples[indices[k]], checked(output))
                for k, output in batch.items()
            }
            entry.append(named)
            answers.update(named)
            watch(job.advance(len(answers)))

        watch(job.advance(len(answers)))
        try:
            engine.score_options(
                to_score,
                budget=budget,
                skip={k for k, i in enumerate(scored) if i in answers},
                done=lambda batch: keep(scored, batch),
            )
            engine.generate(
                to_write,
                budget=GENERATION_FACTOR * budget,
                skip={k for k, i in enumerate(generated) if i in answers},
                done=lambda batch: keep(generated, with_exact(engine, batch, asked_for)),
            )
            if documents:
                reading(engine).read_documents(
                    [ReadingRequest(samples[i].input, **windows.of(samples[i])) for i in documents],
                    budget=budget,
                    skip={k for k, i in enumerate(documents) if i in answers},
                    done=lambda batch: keep(documents, batch),
                )
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
            **search_probes(job, engine, asked_for),
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
