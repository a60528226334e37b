"""What modellab.toml declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.records.asked import Allowed
from pytest_modellab.records.graded import GRADED


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
        language: the model whose weights are its language part, where ``source`` holds only what
            was added to them.
        date: what a chat template that asks for the date is told, or None for an accepted run's.
        revision: commit, tag or branch of a hub id; None for the main branch.
        more: further folders, as ``source``, that are laid together with it.
    """

    name: str
    source: str
    sha256: str | None = None
    install: str | None = None
    allow_pickle: bool = False
    trust_remote_code: bool = False
    tokenizer: str | None = None
    language: ModelSource | None = None
    date: str | None = None
    revision: str | None = None
    more: tuple[str, ...] = ()


NO_MODEL = ModelSource("none", "")
"""The model of a variant of a kind that needs none."""


@dataclasses.dataclass(frozen=True)
class MetricConfig:
    """How strictly one metric is gated: ``[task_sets.NAME.metrics.METRIC]``.

    Attributes:
        margin: allowed drop of its mean over all samples that have it, in [0, 1); 0, at which
            nothing is judged, only where the task set allows none either.
        capability_margin: allowed drop of its mean over one capability's, likewise.
        floor: least mean of the worst bucket, in (0, 1), or None for no floor.
    """

    margin: float
    capability_margin: float
    floor: float | None = None


@dataclasses.dataclass(frozen=True)
class TaskSetConfig:
    """Where a task set lies and how strictly it is gated: ``[task_sets.NAME]``.

    Attributes:
        name: as declared.
        path: the task set's folder.
        margin: allowed drop of the mean over all samples, in [0, 1).
        capability_margin: allowed drop of one capability's mean, in [0, 1).
        floor: least score of the worst bucket, in (0, 1), or None for no floor.
        metrics: what is declared of graded metrics, by name.
        kl: what ``gate.fidelity`` allows, in nats a token, or None.
        agreement: the least share of tokens with the base's first choice, in (0, 1), or None.
        limit: most samples that are asked, or None for all.
    """

    name: str
    path: Path
    margin: float = 0.0
    capability_margin: float = 0.0
    floor: float | None = None
    metrics: Mapping[str, MetricConfig] = dataclasses.field(default_factory=dict)
    kl: float | None = None
    agreement: float | None = None
    limit: int | None = None

    def allowed(self, asked: float | None = None, metric: str | None = None) -> Allowed:
        """Return the drops that are allowed.

        Args:
            asked: what a test or the session asks for; None for what is declared.
            metric: what is judged; None for the score. Where nothing is declared of it, it may
                drop by as much as the score.
        """
        if asked is not None:
            return Allowed(asked, asked)
        declared = self.metrics.get(metric or "", self)
        return Allowed(declared.margin, declared.capability_margin)

    def least(self, metric: str | None = None) -> float | None:
        """Return the floor of the worst bucket.

        Args:
            metric: what is judged; None for the score. A graded metric has its own floor or none:
                a probability is no share of right answers.
        """
        if metric is not None and metric in self.metrics:
            return self.metrics[metric].floor
        return None if metric in GRADED else self.floor

    def key(self, rule: str, metric: str | None = None) -> str:
        """Return where a rule stands in the task set's table: ``metrics.probability.margin``."""
        return f"metrics.{metric}.{rule}" if metric in GRADED else rule


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
        engine: what runs it in the place of its base's engine; empty for that, or the kind's own.
    """

    name: str
    kind: str
    strategy: str
    base: str | None = None
    model: str | None = None
    targets: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    recipe: Mapping[str, Any] | None = None
    slow: bool = False
    price: str | None = None
    adapts_prompt: bool = False
    engine: str = ""


def bases(spec: VariantSpec, variants: Mapping[str, VariantSpec]) -> tuple[VariantSpec, ...]:
    """Return what a variant adapts, and what that one adapts, and so on; the nearest first.

    Args:
        spec: the variant.
        variants: all that are declared, by name. A circle, which is refused when it is resolved,
            ends where it closes.
    """
    chain = [spec]
    while (base := variants.get(chain[-1].base or "")) is not None and base not in chain:
        chain.append(base)
    return tuple(chain[1:])


def values(spec: VariantSpec, key: str, variants: Mapping[str, VariantSpec]) -> tuple[str, ...]:
    """Return what ``@pytest.mark.variants(key=VALUE)`` may say to select a variant.

    Args:
        spec: the variant.
        key: ``kind``, ``strategy`` or ``base``: a variant that it adapts, near or far, not itself.
        variants: all that are declared.
    """
    if key == "base":
        return tuple(base.name for base in bases(spec, variants))
    return (spec.kind if key == "kind" else spec.strategy,)


@dataclasses.dataclass(frozen=True)
class Price:
    """What computing costs: ``[prices.NAME]``.

    Attributes:
        name: as declared; a device whose name contains it as a word, in any case, has this price.
        usd_per_hour: of the device, or None for an endpoint.
        usd_per_million_input: of prompt tokens, or None for a device.
        usd_per_million_output: of generated tokens, or None for a device.
        usd_per_minute_audio: of recordings, or None for a device.
        usd_per_image: of images, or None for a device.
    """

    name: str
    usd_per_hour: float | None = None
    usd_per_million_input: float | None = None
    usd_per_million_output: float | None = None
    usd_per_minute_audio: float | None = None
    usd_per_image: float | None = None


@dataclasses.dataclass(frozen=True)
class PerformanceConfig:
    """How latency is measured: ``[performance]``.

    Attributes:
        requests: prompts asked in a round, spread evenly over the task set's prompt lengths.
        rounds: how often, the variant and its reference in turns.
        concurrency: requests that arrive together, beside those asked one at a time.
        max_tokens: most tokens generated for one.
        seconds: most seconds that all rounds of a variant and its reference take; fewer rounds are
            made where they would take longer.
    """

    requests: int = 4
    rounds: int = 5
    concurrency: int = 4
    max_tokens: int = 8
    seconds: int = 600


@dataclasses.dataclass(frozen=True)
class EngineConfig:
    """How engines work, whatever the variant: ``[engine]``.

    Attributes:
        token_budget: most tokens in a batch; None for what the engine's device holds.
    """

    token_budget: int | None = None


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
    "real_time_factor",
    "wer",
    "cer",
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
            percentile, ``memory`` gigabytes held, ``risk`` the largest risk, ``real_time_factor``
            seconds of computing a second of audio, ``wer`` and ``cer`` error rates of the corpus.
        volume: requests that the training is paid by.
    """

    name: str
    title: str
    weights: Mapping[str, float]
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    volume: int = 1_000_000
