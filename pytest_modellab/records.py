"""What crosses from one stage to the next: frozen records, built-in types only.

They travel between processes, into JSON and back, so no field ever holds a numpy or torch value.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIFFICULTIES = ("easy", "medium", "hard")


def canonical_json(value: object) -> str:
    """Serialize ``value`` so that equal values give equal text (sorted keys, no spaces)."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: object) -> str:
    """Return the sha256 (hex) of ``value``'s canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


# --- tasks -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Sample:
    """One task of a task set.

    Attributes:
        id: unique in its task set.
        input: what the user says to the model.
        target: what the scorer compares with: an option's index for ``choice``, a string, a JSON
            schema, ``{"relevant": {document id: grade}}`` for a ranking, ``{"similarity": number}``
            for a pair, ``{"answers": [text]}`` for a question about the corpus.
        scorer: name of the scorer, for example ``choice``.
        capability: the category that scores are reported by.
        difficulty: ``easy``, ``medium`` or ``hard``.
        choices: the options of a multiple-choice sample, else empty.
        cluster: what the sample shares with others (a passage, a template), or None.
        max_tokens: most tokens generated for an answer; 0 where nothing is generated.
        metadata: anything else, reported and usable as a slice.
    """

    id: str
    input: str
    target: Any
    scorer: str
    capability: str
    difficulty: str
    choices: tuple[str, ...] = ()
    cluster: str | None = None
    max_tokens: int = 0
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=lambda: MappingProxyType({}))

    @functools.cached_property
    def content_hash(self) -> str:
        """sha256 of all that defines the sample, 16 hex digits."""
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return digest({**content, "metadata": dict(self.metadata)})[:16]

    @property
    def bucket(self) -> str:
        """``capability/difficulty``."""
        return f"{self.capability}/{self.difficulty}"


@dataclasses.dataclass(frozen=True)
class Document:
    """One document of a corpus.

    Attributes:
        id: unique in its corpus.
        text: what it says.
        title: what it is called, or empty.
    """

    id: str
    text: str
    title: str = ""

    @property
    def content(self) -> str:
        """Title and text as one, as BEIR joins them (Thakur et al. 2021)."""
        return f"{self.title} {self.text}".strip()


class Corpus(Protocol):
    """The documents that are searched, never all of them in memory.

    ``hash`` is the sha256 over every document in order, 16 hex digits; a document's *row* is its
    place in that order, from 0.
    """

    @property
    def hash(self) -> str: ...

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Document:
        """Return the document of a row."""

    def blocks(self, size: int, start: int = 0) -> Iterator[Sequence[Document]]:
        """Return all documents from row ``start`` on, ``size`` at a time, the last block less."""


@dataclasses.dataclass(frozen=True)
class TaskSet:
    """A versioned, hashed, ordered set of samples.

    Attributes:
        name: as declared in the configuration.
        version: as declared by the task set.
        samples: in file order.
        description: one line.
        path: where it was read from, for messages.
        corpus: the documents that its queries search, or None.
        metrics: what is computed of a ranking beside each sample's scorer, for example
            ``recall@10``.
        note: what a reader of a verdict must know of it, for example what was left out.
    """

    name: str
    version: str
    samples: tuple[Sample, ...]
    description: str = ""
    path: str = ""
    corpus: Corpus | None = None
    metrics: tuple[str, ...] = ()
    note: str = ""

    @functools.cached_property
    def hash(self) -> str:
        """sha256 over every sample's content in order and the corpus, 16 hex digits."""
        samples = [[s.id, s.content_hash] for s in self.samples]
        return digest(samples if self.corpus is None else [samples, self.corpus.hash])[:16]

    @functools.cached_property
    def capabilities(self) -> tuple[str, ...]:
        """Capability names, sorted."""
        return tuple(sorted({s.capability for s in self.samples}))


# --- what the configuration declares ------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """Where a base model comes from: ``[models.NAME]``.

    Attributes:
        name: as declared.
        source: ``package:NAME/FILE``, a folder, or a hub id.
        sha256: expected hash of the package's or folder's weight file, or None.
        install: the command that installs the package, for messages.
        allow_pickle: True where pickled weights may be read.
        trust_remote_code: True where the model's own Python code may run.
        tokenizer: where the tokenizer of a bare ``.onnx`` file comes from, as ``source``.
    """

    name: str
    source: str
    sha256: str | None = None
    install: str | None = None
    allow_pickle: bool = False
    trust_remote_code: bool = False
    tokenizer: str | None = None


NO_MODEL = ModelSource("none", "")
"""The model of a variant of a kind that needs none."""


@dataclasses.dataclass(frozen=True)
class TaskSetConfig:
    """Where a task set lies and how strictly it is gated: ``[task_sets.NAME]``.

    Attributes:
        name: as declared.
        path: the task set's folder.
        margin: allowed drop of the mean over all samples, in [0, 1).
        capability_margin: allowed drop of one capability's mean, in [0, 1).
        floor: least score of the worst bucket, in (0, 1), or None for no floor.
    """

    name: str
    path: Path
    margin: float = 0.0
    capability_margin: float = 0.0
    floor: float | None = None


@dataclasses.dataclass(frozen=True)
class VariantSpec:
    """A variant as declared: ``[variants.NAME]``.

    Attributes:
        name: as declared.
        kind: ``prompted``, ``quantized`` …; chooses the loader and the marker.
        strategy: the family that a decision chooses between.
        base: the variant that this one adapts, or None.
        model: name in ``[models]``; None takes the base's.
        targets: the capabilities that the adaptation is meant to change.
        options: the kind's own settings, checked by the kind.
        recipe: how ``modellab build`` makes the variant, checked by the recipe; None where it does
            not.
        slow: True where its tests get the marker ``slow``.
        price: name in ``[prices]``; None takes the one of the device that it runs on.
        adapts_prompt: whether a changed prompt is judged and not refused; the kind says so.
    """

    name: str
    kind: str
    strategy: str
    base: str | None = None
    model: str | None = None
    targets: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    recipe: Mapping[str, Any] | None = None
    slow: bool = False
    price: str | None = None
    adapts_prompt: bool = False


@dataclasses.dataclass(frozen=True)
class Price:
    """What computing costs: ``[prices.NAME]``.

    Attributes:
        name: as declared; a device whose name contains it as a word, in any case, has this price.
        usd_per_hour: of the device, or None for an endpoint.
        usd_per_million_input: of prompt tokens, or None for a device.
        usd_per_million_output: of generated tokens, or None for a device.
    """

    name: str
    usd_per_hour: float | None = None
    usd_per_million_input: float | None = None
    usd_per_million_output: float | None = None


@dataclasses.dataclass(frozen=True)
class PerformanceConfig:
    """How latency is measured: ``[performance]``.

    Attributes:
        requests: prompts asked in a round, spread evenly over the task set's prompt lengths.
        rounds: how often, the variant and its reference in turns.
        concurrency: requests that arrive together, beside those asked one at a time.
        max_tokens: most tokens generated for one.
    """

    requests: int = 4
    rounds: int = 5
    concurrency: int = 4
    max_tokens: int = 8


@dataclasses.dataclass(frozen=True)
class MlflowConfig:
    """Where sessions and comparisons are logged: ``[mlflow]``.

    Attributes:
        folder: the configuration's; a local store lies in it.
        experiment: the experiment's name.
        tracking_uri: server or database; None takes MLFLOW_TRACKING_URI, else the local store.
            Never shown, since it may hold a password.
    """

    folder: Path
    experiment: str = "modellab"
    tracking_uri: str | None = dataclasses.field(default=None, repr=False)


METRICS = ("quality", "cost", "latency", "memory", "risk")
"""What a scenario weighs."""

LIMITS = (
    "quality",
    "worst_bucket",
    "forgetting",
    "churn",
    "cost",
    "latency",
    "memory",
    "risk",
)
"""What a scenario may limit: the first two from below, the others from above."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """What a deployment asks for: ``[scenarios.NAME]``.

    Attributes:
        name: as declared.
        title: for a reader, for example "rapid iteration".
        weights: of :data:`METRICS`, at least 0, summing to 1.
        limits: by names of :data:`LIMITS`. ``quality`` and ``worst_bucket`` are the least mean
            score, ``forgetting`` the most capabilities lost, ``churn`` the largest flip rate,
            ``cost`` dollars per 1,000 requests with training, ``latency`` seconds at the 95th
            percentile, ``memory`` gigabytes held, ``risk`` the largest risk.
        volume: requests that the training is paid by.
    """

    name: str
    title: str
    weights: Mapping[str, float]
    limits: Mapping[str, float] = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    volume: int = 1_000_000


# --- a run --------------------------------------------------------------------------------------


Ranking = tuple[tuple[str, float], ...]
"""Documents as ``(id, score)``, best first, never two at the same place."""


@dataclasses.dataclass(frozen=True)
class Audited:
    """What exact search says of an approximate index, for one query.

    Attributes:
        ranking: what the whole search gives with exact search in the index' place.
        recall: share of the exact best :data:`INDEX_CUTOFF` that the index itself found, before
            any fusion or second stage (Malkov & Yashunin 2018).
    """

    ranking: Ranking
    recall: float


@dataclasses.dataclass(frozen=True)
class Output:
    """What a variant returned for one sample.

    Attributes:
        text: the generated reply; for multiple choice the option that the scorer chose.
        option_logprobs: natural-log likelihood of each option given the prompt, or an embedding
            model's similarity of each option to it; empty where a reply was generated.
        tokens_in: prompt tokens.
        tokens_out: generated tokens, or tokens of all options scored.
        seconds: the sample's share of its batch's wall time, by tokens computed.
        failed: why there is no usable answer (NaN), else empty.
        ranking: of a search the best documents; empty elsewhere.
        exact: where an approximate index took part, what exact search says of it, else None.
        passages: the texts that a variant with retrieval was shown beside the input.
    """

    text: str
    option_logprobs: tuple[float, ...] = ()
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    failed: str = ""
    ranking: Ranking = ()
    exact: Audited | None = None
    passages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class SampleResult:
    """One sample's line in a run record.

    Attributes:
        id: the sample's id.
        hash: the sample's content hash.
        score: in [0, 1], or None where the variant failed or answered NaN.
        output: what the variant said, for the reader.
        tokens_in: prompt tokens.
        tokens_out: tokens generated or scored.
        seconds: wall time, None in a baseline (time is measured anew in every run).
        stability: share of the paraphrased prompts whose score is the most frequent one, in
            (0, 1]; None where there is one prompt.
        confidence: of a multiple choice, the share that the chosen option has of the likelihood of
            all options; None elsewhere.
        metrics: further figures of the sample by name, for example ``recall@10``; their means over
            the samples are the run's. Empty where the score is all there is.
    """

    id: str
    hash: str
    score: float | None
    output: str
    tokens_in: int
    tokens_out: int
    seconds: float | None = None
    stability: float | None = None
    confidence: float | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What makes a variant's answers what they are; two equal ones are never run twice.

    Attributes:
        weights: hash of the weight files.
        tokenizer: hash of the tokenizer's files and the chat template.
        prompt: hash of prompt file, examples and how they are put together.
        settings: dtype, generation and quantization settings and the library versions that matter.
    """

    weights: str
    tokenizer: str
    prompt: str
    settings: Mapping[str, Any]

    @functools.cached_property
    def key(self) -> str:
        """sha256 of all parts, 16 hex digits."""
        return digest({**dataclasses.asdict(self), "settings": dict(self.settings)})[:16]


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """One variant's answers to one task set: immutable, complete, content-addressed.

    Attributes:
        task_set: ``{"name", "version", "hash"}``.
        variant: ``{"name", "kind", "strategy", "base"}``.
        fingerprint: what was run.
        scorers: version of every scorer used.
        samples: in the task set's order.
        probes: measurements of the model: ``parameter_bytes``, ``seconds``, ``tokens_per_second`` …
        environment: python, torch, transformers, device, threads, token budget, seed.
    """

    task_set: Mapping[str, str]
    variant: Mapping[str, str | None]
    fingerprint: Fingerprint
    scorers: Mapping[str, int]
    samples: tuple[SampleResult, ...]
    probes: Mapping[str, float]
    environment: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class BucketScore:
    """Mean score of one bucket: name, number of samples, mean in [0, 1]."""

    name: str
    n: int
    mean: float


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """What reports show of one run.

    Attributes:
        variant: the variant's name.
        kind: its kind.
        strategy: its strategy.
        base: its base's name or None.
        task_set: the task set's name.
        task_set_version: the task set's version.
        fingerprint: the run's key.
        n: samples scored.
        mean: mean score over all samples, in [0, 1].
        stderr: standard error of the mean over clusters, descriptive only.
        capabilities: mean per capability, sorted by name.
        buckets: mean per capability and difficulty, sorted by name.
        missing: samples without a score.
        probes: as in the run record.
        environment: as in the run record.
        cached: True where the run was read from the store instead of being run.
        recorded: the path of the baseline that this session wrote, or None.
        churn: share of samples that flipped in a second run, or None where none was made.
        abnormal_churn: True where that is more than three times what the accepted run or the base
            flipped.
        task_set_hash: hash of the task set's samples; empty in reports of older versions.
        metrics: means of the samples' further figures by name.
    """

    variant: str
    kind: str
    strategy: str
    base: str | None
    task_set: str
    task_set_version: str
    fingerprint: str
    n: int
    mean: float
    stderr: float
    capabilities: tuple[BucketScore, ...]
    buckets: tuple[BucketScore, ...]
    missing: int
    probes: Mapping[str, float]
    environment: Mapping[str, Any]
    cached: bool = False
    recorded: str | None = None
    churn: float | None = None
    abnormal_churn: bool = False
    task_set_hash: str = ""
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """Return one line of JSON, keys sorted."""
        data = dataclasses.asdict(
            dataclasses.replace(
                self,
                probes=dict(self.probes),
                environment=dict(self.environment),
                metrics=dict(self.metrics),
            )
        )
        return canonical_json(data)

    @classmethod
    def from_json(cls, text: str) -> RunSummary:
        """Read what :meth:`to_json` wrote."""
        data = json.loads(text)
        for name in ("capabilities", "buckets"):
            data[name] = tuple(BucketScore(**bucket) for bucket in data[name])
        return cls(**data)

    @property
    def worst(self) -> BucketScore:
        """The bucket with the lowest mean; the first by name among equals."""
        return min(self.buckets, key=lambda b: (b.mean, b.name))


# --- what layers hand to each other -------------------------------------------------------------


Done = Callable[[Mapping[int, "Output"]], None]
"""Takes a finished batch as ``{index of the request: output}``."""


@runtime_checkable
class Scorer(Protocol):
    """Turns an output into a score; one file per scorer in ``scorers/``.

    Example:
        class Exact:
            name = "exact"
            version = 1
            likelihood = False

            def check(self, sample): ...
            def score(self, sample, output):
                return float(output.text.strip() == sample.target), output.text
    """

    name: str
    version: int
    likelihood: bool
    """True where options are scored by likelihood, False where a reply is generated."""

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong with the sample's target or choices, or None."""

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        """Return the score in [0, 1] and the answer as a reader should see it."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a :class:`SetScorer` made of one output.

    Attributes:
        score: in [0, 1].
        answer: the answer as a reader should see it.
        metrics: further figures by name.
    """

    score: float
    answer: str
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)


@runtime_checkable
class SetScorer(Protocol):
    """Turns the outputs of many samples into scores at once; ``check`` as in :class:`Scorer`.

    For what one sample cannot be scored by alone (ranks over all pairs), what a library computes of
    many faster than of one (metrics of rankings), and what has more than one figure a sample.
    """

    name: str
    version: int
    likelihood: bool
    ranking: bool
    """True where the outputs are rankings of a corpus, which only a search gives."""

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong with the sample's target or choices, or None."""

    def score_all(
        self, samples: Sequence[Sample], outputs: Sequence[Output], metrics: Sequence[str]
    ) -> Sequence[Scored]:
        """Score outputs that have not failed, in the samples' order.

        Args:
            samples: of one task set, at least one.
            outputs: one for each sample.
            metrics: further metrics that the task set asks for.
        """


@dataclasses.dataclass(frozen=True)
class ScoringRequest:
    """Score ``options`` as replies to ``context``; both are text, already in the chat template."""

    context: str
    options: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class GenerationRequest:
    """Generate at most ``max_tokens`` tokens after ``context``.

    Attributes:
        context: text, already in the chat template.
        max_tokens: the limit.
        temperature: 0 for greedy decoding; above it tokens are drawn from the model's distribution
            at that temperature.
        seed: of the draws; the same request gives the same reply in any batch.
    """

    context: str
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0


class Engine(Protocol):
    """A model that is loaded and can answer: score options of a context, or generate.

    Both methods work through a batch plan that depends on the requests and the budget alone, so
    that two runs compute the same sums. A batch whose requests are all in ``skip`` is left out.
    """

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Put chat messages into the model's template, ready for its reply."""

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score every request; call ``done`` after each batch of about ``budget`` tokens.

        Raises:
            OutOfMemory: a batch did not fit; ask again with a smaller budget.
        """

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer every request; call ``done`` after each batch of about ``budget`` tokens.

        Raises:
            OutOfMemory: a batch did not fit; ask again with a smaller budget.
        """

    def seed(self, seed: int) -> None:
        """Take the seed of whatever is drawn beside the requests' own draws; may be left out."""

    def environment(self) -> Mapping[str, Any]:
        """Tell what decides about the numbers beside the model, for the run record.

        Versions of libraries by name, and ``threads``; stored answers of another number of threads
        are not taken up. May be left out: then the record has the threads of this process.
        """

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the model."""


Role = Literal["query", "passage"]
"""What a text is embedded as; many models want another prefix for each."""


class Encoder(Protocol):
    """An embedding model that is loaded: texts in, one vector each out."""

    @property
    def key(self) -> str:
        """16 hex digits, of all that a document's vector depends on.

        Weights, tokenizer, the passage's prompt, pooling, dtype, device, versions.
        """

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""

    def encode(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: any number; batched inside by a plan that depends on the texts alone.
            role: decides the prompt.

        Returns:
            Float32 of shape (texts, dimension), C-contiguous, in the order of the texts.

        Raises:
            OutOfMemory: a batch of one did not fit.
            ModelError: a vector holds NaN or infinity; the message names the text.
        """

    def count_tokens(self, texts: Sequence[str], role: Role) -> Sequence[int]:
        """Tokens of each text as it is encoded: with the prompt, cut off at the model's limit."""

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the model."""


@runtime_checkable
class Searching(Protocol):
    """An :class:`Engine` that answers a context with a ranking, once it has opened a corpus."""

    def open_corpus(
        self, corpus: Corpus, depth: int, cache: Path, progress: Callable[[int, int], None]
    ) -> None:
        """Index a corpus, or take the index from the store.

        Args:
            corpus: what is searched.
            depth: documents in a ranking.
            cache: the store's root.
            progress: called with documents indexed and documents in all.

        Raises:
            ModelError: a document cannot be encoded.
            OutOfMemory: as :meth:`Encoder.encode`.
        """

    def audit(self, queries: Sequence[str]) -> Sequence[Audited]:
        """Ask exact search over the same vectors, where the index is approximate.

        Args:
            queries: any number; those just answered are not embedded again.

        Returns:
            One a query, or nothing where the search is exact already.
        """

    def measurements(self, queries: Sequence[str]) -> Mapping[str, float]:
        """Return what was measured of index and search, as probes of a run record.

        Args:
            queries: some of which are asked one at a time, to time them.
        """


EXCLUDE = "exclude"
"""The key of a sample's metadata that lists documents which are left out of its ranking."""

INDEX_CUTOFF = 10
"""Of an approximate index the recall of so many documents is told."""

INDEX_RECALL = f"index_recall@{INDEX_CUTOFF}"
"""The metric of a sample that tells what an approximate index found of the exact best documents."""

EXACT = "exact:"
"""Begins the name of a metric that exact search over the same vectors has."""

Verdict = Literal["block", "pass", "inconclusive"]
