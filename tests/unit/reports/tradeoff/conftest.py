"""A trade-off by hand, for the tests of what shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_modellab.tradeoff.figures import Profile, TradeOff

HOSTILE = """<b>"x"&'</script>$1_2$"""
CAPABILITIES = ("arithmetic", "copying", "instruction_following", "logic", "refusals", "summaries")
DIFFICULTIES = ("easy", "medium", "hard")
RESAMPLES, KEPT = 2000, 200


@dataclasses.dataclass(frozen=True)
class _Row:
    name: str
    strategy: str
    success: float
    seconds: float
    usd: float
    gigabytes: float
    risk: float
    training: float | None = 0.0
    churn: float = 0.004
    lost: tuple[str, ...] = ()


ROWS = (
    _Row("prompting", "prompting", 0.640, 0.62, 0.0071, 0.538, 0.31),
    _Row("few_shot", "prompting", 0.652, 0.66, 0.0075, 0.538, 0.31),
    _Row("support", "fine-tuning", 0.702, 0.63, 0.0072, 0.541, 0.27, training=0.14),
    _Row("overtrained", "fine-tuning", 0.521, 0.63, 0.0072, 0.541, 0.58, training=0.31,
         lost=("arithmetic", "logic")),
    _Row("nf4", "quantization", 0.611, 0.81, 0.0093, 0.164, 0.36, churn=0.031),
    _Row("student", "distillation", 0.548, 0.21, 0.0024, 0.102, 0.44, training=None),
    _Row(HOSTILE, "alignment <i>", 0.633, 0.64, 0.0073, 0.541, 0.30, training=0.22),
)  # fmt: skip


def _tradeoff(
    *,
    only: Sequence[str] | None = None,
    timed: bool = True,
    scenarios: Sequence[Mapping[str, Any]] | None = None,
    history: bool = True,
    **changes: Any,
) -> TradeOff:
    """The example, or a part of it.

    Args:
        only: names of the variants; the first is the reference.
        timed: False leaves out latency, cost and memory.
        scenarios: fields of each.
        history: False leaves out the accepted runs.
        changes: fields of the trade-off.
    """
    import numpy as np

    from pytest_modellab.records.declared import Scenario
    from pytest_modellab.tradeoff import decision
    from pytest_modellab.tradeoff.decision import Metrics
    from pytest_modellab.tradeoff.figures import BreakEven, Delta, TradeOff

    rows = [r for r in ROWS if only is None or r.name in only]
    reference = rows[0].name
    random = np.random.default_rng(7)
    shared = random.normal(0.0, 0.016, (RESAMPLES, 1))
    value = {
        "quality": np.array([r.success for r in rows]),
        "risk": np.array([r.risk for r in rows]),
    }
    spread = {"quality": 0.008, "risk": 0.02, "latency": 0.01, "cost": 0.0001, "memory": 0.0}
    if timed:
        value["latency"] = np.array([r.seconds for r in rows])
        value["cost"] = np.array([r.usd for r in rows])
        value["memory"] = np.array([r.gigabytes for r in rows])
    draws = {
        k: v + spread[k] * random.normal(0.0, 1.0, (RESAMPLES, len(rows))) for k, v in value.items()
    }
    draws["quality"] = draws["quality"] + shared
    profiles = tuple(
        _profile(r, rows[0], {k: draws[k][:, i] for k in draws}, timed=timed, history=history)
        for i, r in enumerate(rows)
    )
    worst = np.array([p.worst_low for p in profiles])
    fixed = {
        "worst_bucket": worst,
        "churn": np.array([r.churn for r in rows]),
        "forgetting": np.array([float(len(r.lost)) for r in rows]),
    }
    names = tuple(r.name for r in rows)
    choices = []
    for fields in scenarios if scenarios is not None else _SCENARIOS:
        scenario = Scenario(**fields)
        own = {k: v for k, v in {**value, **fixed}.items() if k != "forgetting" or len(rows) > 1}
        drawn = {
            **draws,
            **{k: np.broadcast_to(v, (RESAMPLES, len(rows))) for k, v in fixed.items()},
        }
        limited = {}
        if timed:
            extra = np.array([1000 * (r.training or 0.0) / scenario.volume for r in rows])
            own["cost"], drawn["cost"] = own["cost"] + extra, drawn["cost"] + extra
            p95 = np.array([p.latency.p95.value for p in profiles if p.latency is not None])
            limited["latency"] = (p95, np.broadcast_to(p95, (RESAMPLES, len(rows))))
        choices.append(decision.decide(Metrics(names, own, drawn, limited), reference, scenario))
    deltas = []
    for row in rows[1:]:
        fell = row.success < 0.6
        deltas += [
            Delta(row.name, "success", "block" if fell else "pass", f"{row.name} <was> judged"),
            Delta(row.name, "forgetting", "block" if row.lost else "inconclusive", "more samples"),
        ]
        if timed:
            deltas.append(Delta(row.name, "latency", None, "could not be judged"))
    fields = {
        "task_set": {"name": "assistant_core_v2", "version": "2", "hash": "c0ffee" * 6},
        "reference": reference,
        "floor": 0.30,
        "profiles": profiles,
        "deltas": tuple(deltas),
        "choices": tuple(choices),
        "break_even": (BreakEven("student", reference, 29_788),) if timed and len(rows) > 1 else (),
        "draws": {
            k: {n: tuple(float(f"{x:.4g}") for x in v[:KEPT, i]) for i, n in enumerate(names)}
            for k, v in draws.items()
        },
        "resamples": RESAMPLES,
        "seed": 7,
        "alpha": 0.05,
        "notes": ("a note with <markup> & more",),
        "recorded": "2026-11-20",
    }
    return TradeOff(**{**fields, **changes})


_SCENARIOS: tuple[Mapping[str, Any], ...] = (
    {
        "name": "prototype",
        "title": "rapid iteration",
        "weights": {"quality": 0.5, "cost": 0.1, "latency": 0.4},
        "volume": 10_000,
    },
    {
        "name": "smb_saas",
        "title": "a small company's product",
        "weights": {"quality": 0.8, "risk": 0.2},
        "limits": {"forgetting": 0},
    },
    {
        "name": "careful",
        "title": "no change without a gain",
        "weights": {"quality": 0.7, "latency": 0.3},
        "limits": {"latency": 1.0, "quality": 0.60, "cost": 0.02, "risk": 0.5},
        "volume": 1000,
    },
    {
        "name": "strict",
        "title": "a <strict> regulator",
        "weights": {"quality": 0.5, "risk": 0.5},
        "limits": {"quality": 0.72, "churn": 0.02},
    },
)


def _profile(
    row: _Row, reference: _Row, draws: Mapping[str, Any], *, timed: bool, history: bool
) -> Profile:
    import numpy as np

    from pytest_modellab.records.runs import BucketScore
    from pytest_modellab.tradeoff.figures import (
        CapabilityFigures,
        CostFigures,
        Estimate,
        LatencyFigures,
        MemoryFigures,
        Profile,
        RiskFigures,
    )
    from pytest_modellab.tradeoff.risk import Calibration, Component

    def estimate(value: float, drawn: Any) -> Estimate:
        low, high = np.quantile(drawn, (0.025, 0.975))
        return Estimate(value, float(low), float(high))

    def mean(of: _Row, k: int) -> float:
        lost = 0.35 if CAPABILITIES[k] in of.lost else 0.0
        return min(max(of.success + 0.06 * (k - 2.5) - lost, 0.02), 0.98)

    capabilities, buckets = [], []
    for k, name in enumerate(CAPABILITIES):
        value, base = mean(row, k), mean(reference, k)
        own = row.name == reference.name
        capabilities.append(
            CapabilityFigures(
                name=name,
                n=66,
                mean=Estimate(value, max(0.0, value - 0.11), min(1.0, value + 0.10)),
                reference=base,
                baseline=None if row.name in (reference.name, "student") else value + 0.013,
                drop=Estimate(base - value, base - value - 0.08, base - value + 0.09)
                if not own
                else Estimate(0.0, 0.0, 0.0),
                in_scope=None if own else k != 0 or row.name != "nf4",
                forgotten=name in row.lost,
            )
        )
        for d, difficulty in enumerate(DIFFICULTIES):
            score = min(max(value + 0.14 * (1 - d), 0.0), 1.0)
            buckets.append(BucketScore(f"{name}/{difficulty}", 22, score))
    worst = min(buckets, key=lambda b: (b.mean, b.name))
    return Profile(
        variant=row.name,
        kind="prompted" if row.strategy == "prompting" else "lora",
        strategy=row.strategy,
        base=None if row.name == reference.name else reference.name,
        source="stored",
        n=396,
        success=estimate(row.success, draws["quality"]),
        stderr=0.018,
        worst=worst,
        worst_low=max(0.0, worst.mean - 0.06),
        capabilities=tuple(sorted(capabilities, key=lambda c: c.name)),
        buckets=tuple(sorted(buckets, key=lambda b: b.name)),
        latency=LatencyFigures(
            first_token=0.3 * row.seconds,
            per_token=0.04 * row.seconds,
            p50=estimate(row.seconds, draws["latency"]),
            p95=Estimate(1.4 * row.seconds, 1.3 * row.seconds, 1.6 * row.seconds),
            p99=1.5 * row.seconds,
            concurrency=4,
            loaded_p50=2 * row.seconds,
            loaded_p95=2.6 * row.seconds,
            loaded_p99=2.7 * row.seconds,
            requests_per_second=1 / row.seconds,
            prompts=12,
            rounds=5,
            drift=1.01,
        )
        if timed
        else None,
        cost=CostFigures("cpu", estimate(row.usd, draws["cost"]), row.training, 51.0, 14.5)
        if timed
        else None,
        memory=MemoryFigures(1e9 * row.gigabytes, 9.8e7, 1.2e9, None) if timed else None,
        risk=RiskFigures(
            value=estimate(row.risk, draws["risk"]),
            level="high" if row.lost or row.risk >= 0.5 else "medium",
            components=(
                Component("worst_bucket", 1.0 - worst.mean, f"{worst.name} is the worst", 0.6),
                Component("forgetting", 0.4 if row.lost else 0.0, "what was lost", 0.4),
                Component("prompt_instability", None, "not measured: one prompt"),
            ),
            calibration=None if row.name == "student" else Calibration(300, 0.08, 0.21),
        ),
        churn=row.churn,
        stability=None,
        lost=len(row.lost),
        pareto=row.name != "overtrained",
        history=(("2026-09-02", row.success - 0.02), ("2026-10-11", row.success - 0.004),
                 ("2026-11-20", row.success)) if history else (),
        environment={"device": "cpu", "threads": 2, "recorded": "2026-11-20"},
    )  # fmt: skip


@pytest.fixture(scope="session")
def tradeoff() -> Callable[..., TradeOff]:
    """Makes the trade-off of the examples, whole or in part."""
    return _tradeoff


@pytest.fixture
def hostile() -> str:
    """A variant's name that would break out of careless markup."""
    return HOSTILE
