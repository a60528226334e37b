"""What the trade-off report shows: frozen records of built-in types, written and read as JSON."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Literal

from pytest_modellab.judging.comparison import Flip
from pytest_modellab.records import reading
from pytest_modellab.records.declared import Scenario
from pytest_modellab.records.runs import BucketScore, Verdict
from pytest_modellab.tradeoff.decision import Choice, Miss, Turn
from pytest_modellab.tradeoff.risk import Calibration, Component, Level

SUCCESS = "success"
"""What quality is called where no metric is asked for."""


SCHEMA = 1
"""Version of the JSON; raised when a key changes its meaning."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval under resampling."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class LatencyFigures:
    """Seconds that a variant takes to answer.

    Attributes:
        first_token: median until the first token, one request at a time; None where no token was
            generated.
        per_token: median for each token after the first, or None where replies had only one.
        p50: median until the last token, or until the ranking is there, one request at a time.
        p95: 95th percentile of the same.
        p99: 99th percentile of the same.
        concurrency: how many requests arrived together in the figures that follow.
        loaded_p50: median until all of those were answered.
        loaded_p95: 95th percentile of the same.
        loaded_p99: 99th percentile of the same.
        requests_per_second: answered at that concurrency.
        prompts: how many prompts were asked.
        rounds: how often.
        drift: what the seconds were multiplied by, so that the reference took as long beside every
            variant.
        real_time_factor: seconds of computing a second of audio, one request at a time; None where
            nothing was heard.
    """

    first_token: float | None
    per_token: float | None
    p50: Estimate
    p95: Estimate
    p99: float
    concurrency: int
    loaded_p50: float
    loaded_p95: float
    loaded_p99: float
    requests_per_second: float
    prompts: int
    rounds: int
    drift: float
    real_time_factor: Estimate | None = None


@dataclasses.dataclass(frozen=True)
class CostFigures:
    """Dollars.

    Attributes:
        price: name in ``[prices]``.
        serving: for 1,000 requests.
        training: what making the variant cost; 0 where nothing was trained, None where that is
            not known.
        tokens_in: mean tokens of a prompt.
        tokens_out: mean tokens of a reply; 0 of a ranking.
        minute_of_audio: for a minute of the recordings that were heard, or None without one.
        image: for an image (of a reader, a page), or None without one.
    """

    price: str
    serving: Estimate
    training: float | None
    tokens_in: float
    tokens_out: float
    minute_of_audio: Estimate | None = None
    image: Estimate | None = None


@dataclasses.dataclass(frozen=True)
class MemoryFigures:
    """Bytes.

    Attributes:
        held: weights as they are held in memory.
        disk: files that are shipped: the variant's own or the base model's, and the adapter's.
        peak_host: highest use of the whole process, or None.
        peak_device: highest use of the device, or None without one.
    """

    held: float
    disk: float | None
    peak_host: float | None
    peak_device: float | None


@dataclasses.dataclass(frozen=True)
class CapabilityFigures:
    """One capability.

    Attributes:
        name: its name.
        n: samples.
        mean: mean score, with its interval.
        reference: the reference's mean score.
        baseline: the mean score in the variant's own accepted run, or None without one.
        drop: reference - mean, with its interval over the pairs.
        in_scope: whether the base has the capability, so that it can be forgotten; None where
            forgetting was not judged.
        forgotten: True where it is lost beyond chance.
    """

    name: str
    n: int
    mean: Estimate
    reference: float
    baseline: float | None
    drop: Estimate
    in_scope: bool | None
    forgotten: bool


@dataclasses.dataclass(frozen=True)
class RiskFigures:
    """The risk with its parts; see :mod:`pytest_modellab.tradeoff.risk`.

    Attributes:
        value: the weighted mean of the counted components.
        level: low, medium or high.
        components: all of them, those that were not measured too.
        calibration: confidence beside success, or None without multiple choice.
    """

    value: Estimate
    level: Level
    components: tuple[Component, ...]
    calibration: Calibration | None


@dataclasses.dataclass(frozen=True)
class Profile:
    """Everything about one variant on one task set.

    Attributes:
        variant: its name.
        kind: its kind.
        strategy: its strategy.
        base: what it adapts, or None.
        source: where its answers come from: ``run``, ``stored`` or ``accepted``.
        n: samples.
        success: mean score, or mean of the metric that stands in for it.
        stderr: standard error of the mean over clusters.
        worst: the bucket with the lowest mean.
        worst_low: a bound that the worst bucket lies above with 95 % confidence.
        capabilities: sorted by name.
        buckets: sorted by name.
        latency: None where it was not measured.
        cost: None where no price fits.
        memory: None where it was not measured.
        risk: always there; its parts may not be.
        churn: flip rate of a second run, or None without one.
        stability: mean stability over paraphrased prompts, or None with one prompt.
        lost: capabilities lost beyond chance, those of other task sets counted in; None where
            forgetting was judged nowhere.
        pareto: True where no other variant is as good in everything and better in something.
        history: mean scores of the accepted runs, the oldest first, as ``(date, mean)``.
        environment: of the run.
        fingerprint: key of what was run.
        metrics: means of the samples' further figures, as in the run's summary.
        probes: of the run, as in its record, with what they cost.
        preprocessing: where media are not prepared as for the reference or for its base, in words.
    """

    variant: str
    kind: str
    strategy: str
    base: str | None
    source: Literal["run", "stored", "accepted"]
    n: int
    success: Estimate
    stderr: float
    worst: BucketScore
    worst_low: float
    capabilities: tuple[CapabilityFigures, ...]
    buckets: tuple[BucketScore, ...]
    latency: LatencyFigures | None
    cost: CostFigures | None
    memory: MemoryFigures | None
    risk: RiskFigures
    churn: float | None
    stability: float | None
    pareto: bool
    lost: int | None
    history: tuple[tuple[str, float], ...]
    environment: Mapping[str, Any]
    fingerprint: str = ""
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    probes: Mapping[str, float] = dataclasses.field(default_factory=dict)
    preprocessing: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Delta:
    """How a variant differs from the reference in one respect, judged.

    Attributes:
        variant: its name.
        what: ``success`` or the metric that stands in for it, ``forgetting``, ``latency``.
        verdict: block, pass, inconclusive; None where it could not be judged.
        words: one sentence.
    """

    variant: str
    what: str
    verdict: Verdict | None
    words: str


@dataclasses.dataclass(frozen=True)
class BreakEven:
    """Where two variants have cost the same.

    Attributes:
        variant: cheaper in service.
        other: cheaper to make.
        requests: from so many on, ``variant`` has cost less.
    """

    variant: str
    other: str
    requests: int


@dataclasses.dataclass(frozen=True)
class TradeOff:
    """The whole report on one task set.

    Attributes:
        task_set: name, version and hash.
        reference: the variant that the others are compared with.
        floor: the least score of the worst bucket that the task set asks for, or None.
        profiles: one a variant, in the order of the configuration.
        deltas: of all variants but the reference.
        choices: one a scenario.
        break_even: of each variant with training costs against the reference.
        draws: resamples of quality, cost (1,000 requests with training left out), latency, memory
            and risk, and of ``p95``, which a limit holds; by metric and variant;
            the first few, for a page that weighs anew.
        resamples: how many draws the shares rest on.
        seed: of the draws.
        alpha: risk of any false block among the deltas.
        notes: what a reader must know.
        recorded: the day, ``YYYY-MM-DD``.
        metric: what quality is in place of the samples' scores, for example ``probability``; None
            for success.
        flips: by variant, of the samples that show something those whose score is not the
            reference's, losses first.
    """

    task_set: Mapping[str, str]
    reference: str
    floor: float | None
    profiles: tuple[Profile, ...]
    deltas: tuple[Delta, ...]
    choices: tuple[Choice, ...]
    break_even: tuple[BreakEven, ...]
    draws: Mapping[str, Mapping[str, tuple[float, ...]]]
    resamples: int
    seed: int
    alpha: float
    notes: tuple[str, ...]
    recorded: str
    metric: str | None = None
    flips: Mapping[str, tuple[Flip, ...]] = dataclasses.field(default_factory=dict)

    @property
    def quality(self) -> str:
        """What quality is called: ``success``, or the metric that stands in for it."""
        return self.metric or SUCCESS

    def profile(self, variant: str) -> Profile:
        """Return a variant's profile.

        Raises:
            KeyError: there is none.
        """
        for profile in self.profiles:
            if profile.variant == variant:
                return profile
        raise KeyError(variant)

    @property
    def generates(self) -> bool:
        """False where every latency is that of a request which no token is generated for."""
        known = [profile.latency for profile in self.profiles if profile.latency is not None]
        return not known or any(latency.first_token is not None for latency in known)

    def unsettled(self, variant: str) -> tuple[str, ...]:
        """What the gate could not decide of a variant, as in :attr:`Delta.what`."""
        found = [d for d in self.deltas if (d.variant, d.verdict) == (variant, "inconclusive")]
        return tuple(dict.fromkeys(delta.what for delta in found))

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that are compared, in the order of their first variants."""
        return tuple(dict.fromkeys(profile.strategy for profile in self.profiles))


def to_dict(tradeoff: TradeOff) -> dict[str, Any]:
    """The whole report as built-in types."""
    found: dict[str, Any] = {"schema": SCHEMA, **_plain(tradeoff)}
    for flip in itertools.chain.from_iterable(found["flips"].values()):
        for media in flip["media"]:  # where it lies differs between machines
            media["path"] = PurePath(media["path"]).name
    if not found["flips"]:
        del found["flips"]
    return found


def dumps(tradeoff: TradeOff) -> str:
    """The report as JSON: keys sorted, indented, with a line end at the end."""
    text = json.dumps(
        to_dict(tradeoff), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False
    )
    return f"{text}\n"


def loads(text: str) -> TradeOff:
    """Read what :func:`dumps` wrote.

    Raises:
        ValueError: it is not a trade-off, or one of another schema.
    """
    data = json.loads(text)
    schema = data.pop("schema", None) if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"schema is {schema!r}, this version of pytest-modellab reads {SCHEMA}")
    return TradeOff(
        **{
            **data,
            "profiles": tuple(_profile(p) for p in data["profiles"]),
            "deltas": tuple(Delta(**d) for d in data["deltas"]),
            "choices": tuple(_choice(c) for c in data["choices"]),
            "break_even": tuple(BreakEven(**b) for b in data["break_even"]),
            "draws": {
                metric: {name: tuple(values) for name, values in rows.items()}
                for metric, rows in data["draws"].items()
            },
            "notes": tuple(data["notes"]),
            "flips": {
                name: tuple(reading.build(Flip, flip) for flip in flips)
                for name, flips in data.get("flips", {}).items()
            },
        }
    )


def _plain(value: Any) -> Any:
    """As ``dataclasses.asdict``, which cannot copy a read-only mapping."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value


def _profile(data: Mapping[str, Any]) -> Profile:
    latency, cost, memory, risk = (data[k] for k in ("latency", "cost", "memory", "risk"))
    return Profile(
        **{
            **data,
            "success": Estimate(**data["success"]),
            "worst": BucketScore(**data["worst"]),
            "capabilities": tuple(
                CapabilityFigures(
                    **{**c, "mean": Estimate(**c["mean"]), "drop": Estimate(**c["drop"])}
                )
                for c in data["capabilities"]
            ),
            "buckets": tuple(BucketScore(**b) for b in data["buckets"]),
            "latency": None
            if latency is None
            else LatencyFigures(**_estimates(latency, "p50", "p95", "real_time_factor")),
            "cost": None
            if cost is None
            else CostFigures(**_estimates(cost, "serving", "minute_of_audio", "image")),
            "memory": None if memory is None else MemoryFigures(**memory),
            "risk": RiskFigures(
                value=Estimate(**risk["value"]),
                level=risk["level"],
                components=tuple(Component(**c) for c in risk["components"]),
                calibration=None
                if risk["calibration"] is None
                else Calibration(**risk["calibration"]),
            ),
            "history": tuple((date, mean) for date, mean in data["history"]),
            "preprocessing": tuple(data.get("preprocessing", ())),
        }
    )


def _estimates(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A record with its estimates made; what an older version did not write is left out."""
    found = {k: data[k] for k in names if data.get(k) is not None}
    return {**data, **{k: Estimate(**value) for k, value in found.items()}}


def _choice(data: Mapping[str, Any]) -> Choice:
    return Choice(
        **{
            **data,
            "scenario": Scenario(**data["scenario"]),
            "variants": tuple(data["variants"]),
            "shares": MappingProxyType(data["shares"]),
            "misses": {k: tuple(Miss(**m) for m in v) for k, v in data["misses"].items()},
            "unmeasured": tuple(data["unmeasured"]),
            "turns": tuple(Turn(**t) for t in data["turns"]),
        }
    )
