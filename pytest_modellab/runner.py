"""Variant × task set → run record: batched, stored as it goes, never run twice."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import platform
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pytest_modellab import store
from pytest_modellab.engines import environment
from pytest_modellab.errors import OutOfMemory, ScoringError, VariantLoadError
from pytest_modellab.records import (
    EXACT,
    EXCLUDE,
    INDEX_RECALL,
    BucketScore,
    Engine,
    Fingerprint,
    GenerationRequest,
    Output,
    Ranking,
    RunRecord,
    RunSummary,
    Sample,
    SampleResult,
    Scored,
    Scorer,
    ScoringRequest,
    Searching,
    SetScorer,
    TaskSet,
    VariantSpec,
)
from pytest_modellab.variants.plan import install_command

DEFAULT_BUDGET = 512
"""Tokens in a batch unless the caller says otherwise."""

GENERATION_FACTOR = 8
"""Generated batches may be larger: a decoding step costs about the same for 1 row as for 32."""

DEPTH = 100
"""Documents in a ranking, unless a metric looks at more."""

DECIMALS = 6
"""To which figures of samples that are scored together are rounded, so that a baseline's difference
can be read."""

BLOCK = 1024
"""Documents that are read at once."""

SEED = 0
"""Decoding is greedy; the seed is set all the same, and recorded."""


class Prompting(Protocol):
    """Turns a sample's input into chat messages."""

    @property
    def hash(self) -> str:
        """Changes with every change of the prompt."""

    def messages(self, input_: str, /) -> Sequence[Mapping[str, str]]:
        """Return the chat for one sample."""


@runtime_checkable
class Grounding(Protocol):
    """A :class:`Prompting` that shows what a search found."""

    def passages(self, input_: str, /) -> tuple[str, ...]:
        """Return what is shown beside an input."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be run.

    Attributes:
        spec: the variant as declared.
        fingerprint: what it consists of.
        prompt: turns a sample into chat messages.
        load: loads the variant; called only where the store has no finished run.
        task_set: the samples.
        scorers: by name.
        paraphrases: other prompts that the same samples are asked with; scores are averaged.
    """

    spec: VariantSpec
    fingerprint: Fingerprint
    prompt: Prompting
    load: Callable[[], Engine]
    task_set: TaskSet
    scorers: Mapping[str, Scorer | SetScorer]
    paraphrases: Sequence[Prompting] = ()


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
    jobs = _jobs(job)
    records, stored = [], []
    for number, one in enumerate(jobs):

        def count(done: int, _: int, before: int = number * size) -> None:
            progress(before + done, len(jobs) * size)

        record, was_stored = _run_prompt(one, cache, budget, reuse, count)
        records.append(record)
        stored.append(was_stored)
    return _averaged(job, records), all(stored)


def recall(job: Job, cache: Path) -> RunRecord | None:
    """Return a finished run from the store, or None; nothing is run or loaded.

    Args:
        job: what would be run.
        cache: the store's root.

    Raises:
        ScoringError: a scorer cannot judge what is stored.
    """
    records = []
    for one in _jobs(job) if job.paraphrases else [job]:
        stored = _entry(one, cache).read()
        if stored is None:
            return None
        records.append(_record(one, stored))
    return _averaged(job, records) if job.paraphrases else records[0]


def _entry(job: Job, cache: Path) -> store.Entry:
    return store.Entry(cache, job.task_set, job.fingerprint, depth_of(job.task_set))


def depth_of(task_set: TaskSet) -> int:
    """Return how many documents a ranking needs: :data:`DEPTH`, or what a metric or sample asks.

    A document that a sample excludes must not take the place of another.
    """
    excluded = [len(s.metadata.get(EXCLUDE, ())) for s in task_set.samples]
    return _wanted(task_set) + max(excluded, default=0)


def _wanted(task_set: TaskSet) -> int:
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


def _jobs(job: Job) -> list[Job]:
    """One job a prompt."""
    return [
        dataclasses.replace(
            job,
            prompt=prompt,
            paraphrases=(),
            fingerprint=dataclasses.replace(job.fingerprint, prompt=prompt.hash),
        )
        for prompt in (job.prompt, *job.paraphrases)
    ]


def _run_prompt(
    job: Job, cache: Path, budget: int, reuse: bool, progress: Callable[[int, int], None]
) -> tuple[RunRecord, bool]:
    stored, known = _obtain(job, cache, budget, reuse, progress)
    return _record(job, stored), known


def _obtain(
    job: Job, cache: Path, budget: int, reuse: bool, progress: Callable[[int, int], None]
) -> tuple[store.StoredRun, bool]:
    entry = _entry(job, cache)
    with entry.lock():
        stored = entry.read() if reuse else None
        if stored is not None:
            return stored, True
        with importing():
            stored = _answer(job, entry, cache, budget, reuse, progress)
        entry.write(stored)
    return stored, False


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


def best_passages(job: Job, cache: Path, count: int, *, reuse: bool) -> dict[str, tuple[str, ...]]:
    """Search the corpus of a task set for each of its samples.

    Args:
        job: a variant that searches, on samples that are scored as rankings.
        cache: the store's root.
        count: how many documents a sample gets.
        reuse: False to search anew whatever the store has.

    Returns:
        The texts of the best documents by the sample's input, the best first.

    Raises:
        ModellabError: as :func:`run`.
    """
    stored, _ = _obtain(job, cache, DEFAULT_BUDGET, reuse, lambda _done, _total: None)
    samples, corpus = job.task_set.samples, job.task_set.corpus
    assert corpus is not None  # open_corpus() has refused what ranks nothing
    found: dict[str, list[str]] = {}
    for sample, output in zip(samples, stored.outputs, strict=True):
        ids = [id_ for id_, _ in _searched(sample, output, job.task_set).ranking[:count]]
        if found.setdefault(sample.input, ids) != ids:
            raise ScoringError(
                f"sample {sample.id!r} asks what another one asks and excludes other documents, "
                "so that nothing says which passages to show; give it another wording"
            )
    wanted = {id_ for ids in found.values() for id_ in ids}
    texts = {
        document.id: document.content
        for block in corpus.blocks(BLOCK)
        for document in block
        if document.id in wanted
    }
    return {input_: tuple(texts[id_] for id_ in ids) for input_, ids in found.items()}


def _averaged(job: Job, records: Sequence[RunRecord]) -> RunRecord:
    """Join the runs of several prompts: a sample's score is its mean over them.

    ``prompt_stability`` is the mean over samples of the share of prompts whose score is the most
    frequent one; ``prompt_spread`` the largest difference between two prompts' means (Sclar et al.
    2023, "Quantifying Language Models' Sensitivity to Spurious Features in Prompt Design").
    """
    samples = []
    for asked in zip(*(record.samples for record in records), strict=True):
        scores = [result.score for result in asked if result.score is not None]
        shown = next((result for result in asked if result.score is None), asked[0])
        most = max(Counter(result.score for result in asked).values())
        seconds = [result.seconds for result in asked if result.seconds is not None]
        samples.append(
            dataclasses.replace(
                shown,
                score=math.fsum(scores) / len(scores) if len(scores) == len(asked) else None,
                stability=most / len(asked),
                metrics={
                    name: round(math.fsum(r.metrics[name] for r in asked) / len(asked), DECIMALS)
                    for name in shown.metrics
                    if all(name in r.metrics for r in asked)
                },
                tokens_in=round(statistics.fmean(result.tokens_in for result in asked)),
                tokens_out=round(statistics.fmean(result.tokens_out for result in asked)),
                seconds=round(statistics.fmean(seconds), 4) if seconds else None,
                confidence=None,  # the score is a mean over prompts, which no one answer has
            )
        )
    means = [statistics.fmean(r.score or 0.0 for r in record.samples) for record in records]
    seconds_in_all = math.fsum(record.probes["seconds"] for record in records)
    tokens = math.fsum(record.probes["tokens"] for record in records)
    return dataclasses.replace(
        records[0],
        fingerprint=job.fingerprint,
        samples=tuple(samples),
        probes={
            **records[0].probes,
            "seconds": round(seconds_in_all, 3),
            "tokens": tokens,
            "tokens_per_second": round(tokens / seconds_in_all, 1) if seconds_in_all else 0.0,
            "prompts": float(len(records)),
            "prompt_stability": statistics.fmean(s.stability or 0.0 for s in samples),
            "prompt_spread": max(means) - min(means),
        },
        environment={
            **records[0].environment,
            "token_budget": min(record.environment["token_budget"] for record in records),
        },
    )


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


def _answer(
    job: Job,
    entry: store.Entry,
    cache: Path,
    budget: int,
    resume: bool,
    progress: Callable[[int, int], None],
) -> store.StoredRun:
    engine = job.load()
    open_corpus(job, engine, cache, progress)
    environment.seed(engine, SEED)
    told = environment.of(engine)
    samples = job.task_set.samples
    contexts = [engine.render(job.prompt.messages(s.input)) for s in samples]
    scored = [i for i, s in enumerate(samples) if job.scorers[s.scorer].likelihood]
    generated = [i for i, s in enumerate(samples) if not job.scorers[s.scorer].likelihood]
    asked_for = [contexts[i] for i in generated]
    asked, budget = budget, store.recall_budget(cache, job.fingerprint, budget)
    while True:
        answers = entry.start(budget, threads=told["threads"], resume=resume)

        def keep(
            indices: Sequence[int],
            batch: Mapping[int, Output],
            answers: dict[int, Output] = answers,
        ) -> None:
            named = {
                indices[k]: _shown(job.prompt, samples[indices[k]], _checked(output))
                for k, output in batch.items()
            }
            entry.append(named)
            answers.update(named)
            progress(len(answers), len(samples))

        progress(len(answers), len(samples))
        try:
            engine.score_options(
                [ScoringRequest(contexts[i], samples[i].choices) for i in scored],
                budget=budget,
                skip={k for k, i in enumerate(scored) if i in answers},
                done=lambda batch: keep(scored, batch),
            )
            engine.generate(
                [
                    GenerationRequest(context, samples[i].max_tokens)
                    for context, i in zip(asked_for, generated, strict=True)
                ],
                budget=GENERATION_FACTOR * budget,
                skip={k for k, i in enumerate(generated) if i in answers},
                done=lambda batch: keep(generated, _with_exact(engine, batch, asked_for)),
            )
            break
        except OutOfMemory as error:
            # Begun anew with the smaller budget, so that this run's batches are the next run's.
            entry.abandon()
            if budget == 1:
                store.remember_budget(cache, job.fingerprint, asked)  # another day has more memory
                raise OutOfMemory(
                    f"variant {job.spec.name!r}: memory runs out even with one sample a batch: "
                    f"{error}"
                ) from error
            budget //= 2
            store.remember_budget(cache, job.fingerprint, budget)
    outputs = tuple(answers[i] for i in range(len(samples)))
    seconds = math.fsum(output.seconds for output in outputs)
    tokens = sum(output.tokens_in + output.tokens_out for output in outputs)
    return store.StoredRun(
        outputs=outputs,
        probes={
            "parameter_bytes": float(engine.parameter_bytes()),
            "seconds": round(seconds, 3),
            "tokens": float(tokens),
            "tokens_per_second": round(tokens / seconds, 1) if seconds else 0.0,
            **_search_probes(job, engine, asked_for),
        },
        environment={
            "device": job.fingerprint.settings.get("device"),
            **told,
            "python": platform.python_version(),
            "platform": f"{platform.system()}-{platform.machine()}",
            "workers": workers(),
            "token_budget": budget,
            "seed": SEED,
            "recorded": time.strftime("%Y-%m-%d", time.gmtime()),
        },
    )


def _with_exact(
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


def _search_probes(job: Job, engine: Engine, queries: Sequence[str]) -> Mapping[str, float]:
    if not isinstance(engine, Searching) or job.task_set.corpus is None:
        return {}
    return engine.measurements(queries)


def workers() -> int:
    """How many xdist workers share the machine; 0 outside xdist."""
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))


def _shown(prompt: Prompting, sample: Sample, output: Output) -> Output:
    """Note the passages that a prompt has shown."""
    if not isinstance(prompt, Grounding):
        return output
    return dataclasses.replace(output, passages=prompt.passages(sample.input))


def _checked(output: Output) -> Output:
    """Mark an answer with a likelihood that is not a finite number as failed."""
    for value in output.option_logprobs:
        if not math.isfinite(value):
            what = "NaN" if math.isnan(value) else "infinite"
            return dataclasses.replace(
                output, option_logprobs=(), failed=f"the model's likelihoods are {what}"
            )
    return output


def _record(job: Job, run: store.StoredRun) -> RunRecord:
    samples = job.task_set.samples
    outputs = [_searched(s, o, job.task_set) for s, o in zip(samples, run.outputs, strict=True)]
    together = _score_sets(job, outputs)
    results = tuple(
        _score(job, s, o, together.get(i))
        for i, (s, o) in enumerate(zip(samples, outputs, strict=True))
    )
    spec = job.spec
    return RunRecord(
        task_set={
            "name": job.task_set.name,
            "version": job.task_set.version,
            "hash": job.task_set.hash,
        },
        variant={
            "name": spec.name,
            "kind": spec.kind,
            "strategy": spec.strategy,
            "base": spec.base,
        },
        fingerprint=job.fingerprint,
        scorers={name: job.scorers[name].version for name in sorted({s.scorer for s in samples})},
        samples=results,
        probes=run.probes,
        environment=run.environment,
    )


def _searched(sample: Sample, output: Output, task_set: TaskSet) -> Output:
    """Leave the documents out of a ranking that its sample excludes."""
    excluded = set(sample.metadata.get(EXCLUDE, ()))
    if not output.ranking:
        return output
    size = _wanted(task_set)

    def kept(hits: Ranking) -> Ranking:
        return tuple(hit for hit in hits if hit[0] not in excluded)[:size]

    exact = output.exact
    if exact is not None:
        exact = dataclasses.replace(exact, ranking=kept(exact.ranking))
    return dataclasses.replace(output, ranking=kept(output.ranking), exact=exact)


def _score_sets(job: Job, outputs: Sequence[Output]) -> dict[int, Scored]:
    """Score what is scored together, by index; what failed is left out."""
    samples, found = job.task_set.samples, dict[int, Scored]()
    for name in dict.fromkeys(s.scorer for s in samples):
        scorer = job.scorers[name]
        if not isinstance(scorer, SetScorer):
            continue
        chosen = [i for i, s in enumerate(samples) if s.scorer == name and not outputs[i].failed]
        if not chosen:
            continue
        asked, given = [samples[i] for i in chosen], [outputs[i] for i in chosen]
        scored = scorer.score_all(asked, given, job.task_set.metrics)
        audits = [output.exact for output in given if output.exact is not None]
        if len(audits) == len(given):
            best = [
                dataclasses.replace(output, ranking=audit.ranking)
                for output, audit in zip(given, audits, strict=True)
            ]
            exact = scorer.score_all(asked, best, ())
            scored = [
                dataclasses.replace(
                    one,
                    metrics={
                        **one.metrics,
                        INDEX_RECALL: audit.recall,
                        f"{EXACT}{name}": other.score,
                    },
                )
                for one, audit, other in zip(scored, audits, exact, strict=True)
            ]
        found.update(zip(chosen, scored, strict=True))
    return found


def _rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, DECIMALS) for name, value in metrics.items()}


def _score(job: Job, sample: Sample, output: Output, scored: Scored | None) -> SampleResult:
    score: float | None
    scorer = job.scorers[sample.scorer]
    if output.failed:
        score, text = None, f"({output.failed})"
    else:
        if scored is not None:
            score, text = round(scored.score, DECIMALS), scored.answer
        else:
            assert isinstance(scorer, Scorer)
            score, text = scorer.score(sample, output)
        if not 0.0 <= score <= 1.0:
            raise ScoringError(
                f"sample {sample.id!r}: the scorer {sample.scorer!r} gave {score!r}, "
                "which lies outside [0, 1]"
            )
    return SampleResult(
        id=sample.id,
        hash=sample.content_hash,
        score=score,
        output=text,
        tokens_in=output.tokens_in,
        tokens_out=output.tokens_out,
        seconds=round(output.seconds, 4),
        confidence=None if output.failed else _confidence(sample, output, text),
        metrics={} if scored is None else _rounded(scored.metrics),
    )


def _confidence(sample: Sample, output: Output, answer: str) -> float | None:
    """The answer's share of the likelihood of all options (Kadavath et al. 2022)."""
    if not output.option_logprobs or answer not in sample.choices:
        return None
    top = max(output.option_logprobs)
    shares = [math.exp(value - top) for value in output.option_logprobs]
    return round(shares[sample.choices.index(answer)] / math.fsum(shares), 4)


def summarize(
    record: RunRecord, task_set: TaskSet, *, cached: bool = False, recorded: str | None = None
) -> RunSummary:
    """Reduce a run to what reports show; a sample without a score counts as 0.

    Args:
        record: the run.
        task_set: what was asked, in the same order.
        cached: whether the run came from the store.
        recorded: path of the baseline that this session wrote, or None.

    Returns:
        Means over all samples, per capability and per bucket.
    """
    scores = [result.score or 0.0 for result in record.samples]
    clusters: dict[str, list[float]] = {}
    for sample, score in zip(task_set.samples, scores, strict=True):
        clusters.setdefault(sample.cluster or f"\0{sample.id}", []).append(score)
    mean = math.fsum(scores) / len(scores)
    # residuals summed by cluster: the linearized variance of a ratio (Cochran 1977, section 9A)
    residuals = [math.fsum(values) - mean * len(values) for values in clusters.values()]
    groups = len(residuals)
    stderr = (
        math.sqrt(groups / (groups - 1) * math.fsum(r * r for r in residuals)) / len(scores)
        if groups > 1
        else 0.0
    )

    def means(key: Callable[[Sample], str]) -> tuple[BucketScore, ...]:
        found: dict[str, list[float]] = {}
        for sample, score in zip(task_set.samples, scores, strict=True):
            found.setdefault(key(sample), []).append(score)
        return tuple(
            BucketScore(name, len(values), math.fsum(values) / len(values))
            for name, values in sorted(found.items())
        )

    variant: Mapping[str, Any] = record.variant
    return RunSummary(
        variant=variant["name"],
        kind=variant["kind"],
        strategy=variant["strategy"],
        base=variant["base"],
        task_set=record.task_set["name"],
        task_set_version=record.task_set["version"],
        task_set_hash=record.task_set["hash"],
        fingerprint=record.fingerprint.key,
        n=len(scores),
        mean=mean,
        stderr=stderr,
        capabilities=means(lambda s: s.capability),
        buckets=means(lambda s: s.bucket),
        missing=sum(result.score is None for result in record.samples),
        probes=record.probes,
        environment=record.environment,
        cached=cached,
        recorded=recorded,
        metrics=mean_metrics(record),
    )


def mean_metrics(record: RunRecord) -> dict[str, float]:
    """Return the means of a run's further figures over the samples that have them, by name."""
    found: dict[str, list[float]] = {}
    for result in record.samples:
        for name, value in result.metrics.items():
            found.setdefault(name, []).append(value)
    return {name: math.fsum(values) / len(values) for name, values in sorted(found.items())}
