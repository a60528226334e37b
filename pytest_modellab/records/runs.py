"""What a variant answered, and what reports show of it."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from pytest_modellab.records import reading
from pytest_modellab.records.hashing import canonical_json, digest
from pytest_modellab.records.preprocessing import Unlike
from pytest_modellab.records.reading import Amount, Count, Id, Share

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
    recall: Share


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
    tokens_in: Count = 0
    tokens_out: Count = 0
    seconds: Amount = 0.0
    failed: str = ""
    ranking: Ranking = ()
    exact: Audited | None = None
    passages: tuple[str, ...] = ()


NOT_KEPT = "(not kept)"
"""What stands for an output of an anchor or a second run, of which only figures are kept."""


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

    id: Id
    hash: Id
    score: Share | None
    output: str
    tokens_in: Count
    tokens_out: Count
    seconds: Amount | None = None
    stability: Share | None = None
    confidence: Share | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)


_BUILD = re.compile(r"\+(?:cpu|cu\d+|rocm[\d.]+|xpu)$")
"""What a build of PyTorch's adds to its version; a fork's own label is another version."""


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
        """sha256 of all parts, 16 hex digits.

        What a build adds to a version (``+cu130``, ``+cpu``) is left out, as the kind of processor
        is: what a node with a GPU has answered is judged where there is none.
        """
        settings = dict(self.settings)
        if versions := settings.get("versions"):
            settings["versions"] = {
                name: _BUILD.sub("", str(version)) for name, version in versions.items()
            }
        return digest({**dataclasses.asdict(self), "settings": settings})[:16]


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """One variant's answers to one task set: immutable, complete, content-addressed.

    Attributes:
        task_set: ``{"name", "version", "hash"}``, and ``"limited"`` of a part: ``200 of 606``.
        variant: ``{"name", "kind", "strategy", "base"}``.
        fingerprint: what was run.
        scorers: version of every scorer used.
        samples: in the task set's order; a baseline's in its file's, so pair them by id.
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

    @property
    def mean(self) -> float:
        """The mean score, in [0, 1]; a sample without one counts as 0."""
        return math.fsum(sample.score or 0.0 for sample in self.samples) / len(self.samples)


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
        replaced: the mean score of the baseline that this one took the place of, or None.
        churn: share of samples that flipped in a second run, or None where none was made.
        abnormal_churn: True where that is more than three times what the accepted run or the base
            flipped.
        task_set_hash: hash of the task set's samples; empty in reports of older versions.
        metrics: means of the samples' further figures by name.
        preprocessing: where media are not prepared as for the variant's base.
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
    replaced: float | None = None
    churn: float | None = None
    abnormal_churn: bool = False
    task_set_hash: str = ""
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    preprocessing: tuple[Unlike, ...] = ()

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
        if not data["preprocessing"]:
            del data["preprocessing"]
        return canonical_json(data)

    @classmethod
    def from_json(cls, text: str) -> RunSummary:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        return reading.build(cls, json.loads(text))

    @property
    def worst(self) -> BucketScore:
        """The bucket with the lowest mean; the first by name among equals."""
        return min(self.buckets, key=lambda b: (b.mean, b.name))


INDEX_CUTOFF = 10
"""Of an approximate index the recall of so many documents is told."""


INDEX_RECALL = f"index_recall@{INDEX_CUTOFF}"
"""The metric of a sample that tells what an approximate index found of the exact best documents."""


EXACT = "exact:"
"""Begins the name of a metric that exact search over the same vectors has."""


Verdict = Literal["block", "pass", "inconclusive"]
