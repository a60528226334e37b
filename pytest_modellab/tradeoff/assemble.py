"""Runs, timings and prices → the trade-off. Pure: nothing is run or read here."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pytest_modellab import comparator, decision, gate, risk, runner
from pytest_modellab.comparator import Budget
from pytest_modellab.comparison import Comparison
from pytest_modellab.decision import Choice, Metrics
from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.performance import Performance
from pytest_modellab.probes import cost
from pytest_modellab.probes.latency import Timings
from pytest_modellab.records import (
    METRICS,
    Price,
    RunRecord,
    RunSummary,
    Scenario,
    TaskSet,
    TaskSetConfig,
    VariantSpec,
)
from pytest_modellab.risk import Component
from pytest_modellab.tradeoff import resample
from pytest_modellab.tradeoff.figures import (
    BreakEven,
    CapabilityFigures,
    CostFigures,
    Delta,
    Estimate,
    LatencyFigures,
    MemoryFigures,
    Profile,
    RiskFigures,
    TradeOff,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = NDArray[np.float64]

SLOWER = 1.05
"""A variant that takes longer than this multiple of the reference's time is blocked as slower."""

KEPT_DRAWS = 200
"""Draws that the report carries, for a page that weighs anew."""

INTERVAL = (0.025, 0.975)
ONE_SIDED = 0.05


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is known of one variant.

    Attributes:
        spec: the variant as declared.
        record: its run.
        source: where the run comes from.
        performance: its timings beside the reference's, or None where they were not measured.
        price: what computing costs where it runs, or None.
        training_usd: what making it cost; 0 where nothing was trained, None where not known.
        disk_bytes: files that are shipped, or None.
        churn: flip rate of a second run, or None.
        baseline: its accepted run's mean score by capability, empty without one.
        history: means of its accepted runs, the oldest first.
    """

    spec: VariantSpec
    record: RunRecord
    source: Literal["run", "stored", "accepted"]
    performance: Performance | None = None
    price: Price | None = None
    training_usd: float | None = 0.0
    disk_bytes: float | None = None
    churn: float | None = None
    baseline: Mapping[str, float] = dataclasses.field(default_factory=dict)
    history: tuple[tuple[str, float], ...] = ()


def assemble(
    entries: Sequence[Entry],
    *,
    task_set: TaskSet,
    settings: TaskSetConfig,
    reference: str,
    second: RunRecord | None,
    scenarios: Sequence[Scenario],
    alpha: float = 0.05,
    notes: Sequence[str] = (),
    resamples: int = resample.RESAMPLES,
    seed: int = resample.SEED,
) -> TradeOff:
    """Put the report together.

    Args:
        entries: the variants, the reference among them.
        task_set: what all of them were asked.
        settings: the task set's margins and floor.
        reference: the variant that the others are compared with.
        second: a second run of the reference, which decides what capabilities it has; None
            without one, and then nothing is said about forgetting.
        scenarios: what to decide for.
        alpha: risk of any false block among the deltas.
        notes: what a reader must know.
        resamples: how many draws.
        seed: of the draws.

    Returns:
        The trade-off.

    Raises:
        ComparisonRefused: a run is not one of these samples.
    """
    import numpy as np

    at = [entry.spec.name for entry in entries].index(reference)
    base = entries[at]
    for entry in entries:
        if [s.hash for s in entry.record.samples] != [s.content_hash for s in task_set.samples]:
            raise ComparisonRefused(
                f"the run of {entry.spec.name!r} is not one of the {len(task_set.samples)} samples "
                f"of {task_set.name!r} {task_set.version}"
            )
    scores = np.array([[s.score or 0.0 for s in e.record.samples] for e in entries]).T
    quality, worst, by_capability = _score_draws(scores, task_set, resamples, seed)
    others = [entry for entry in entries if entry is not base]
    share = alpha / max(1, 3 * len(others))  # success, forgetting and latency of each
    compared = {
        e.spec.name: _compare(e, base, second, task_set, settings, Budget(share, alpha))
        for e in others
    }
    drift = _drifts(entries)
    latency = [
        None if e.performance is None else _latency_draws(e.performance, drift[i], i, resamples, seed)
        for i, e in enumerate(entries)
    ]
    serving = [_serving_draws(e, drift[i], i, resamples, seed) for i, e in enumerate(entries)]
    summaries = [runner.summarize(e.record, task_set) for e in entries]
    fits = [_calibration(e) for e in entries]
    components = risk.weigh(
        _components(
            e,
            summaries[i],
            fits[i],
            task_set,
            float(np.quantile(worst[:, i], ONE_SIDED)),
            None if e is base else compared[e.spec.name][1],
            judged=second is not None,
        )
        for i, e in enumerate(entries)
    )
    risks = _risk_draws(components, worst)
    values, draws = _metrics(entries, quality, scores, worst, latency, serving, risks, components)
    front = decision.pareto(_priced(values, entries, scenarios[0] if scenarios else None))
    choices = tuple(
        _choose(entries, values, draws, compared, reference, scenario) for scenario in scenarios
    )
    profiles = []
    for i, entry in enumerate(entries):
        forgetting = None if entry is base else compared[entry.spec.name][1]
        lost = _lost(forgetting)
        summary = summaries[i]
        profiles.append(
            Profile(
                variant=entry.spec.name,
                kind=entry.spec.kind,
                strategy=entry.spec.strategy,
                base=entry.spec.base,
                source=entry.source,
                n=summary.n,
                success=_estimate(summary.mean, quality[:, i]),
                stderr=summary.stderr,
                worst=summary.worst,
                worst_low=float(np.quantile(worst[:, i], ONE_SIDED)),
                capabilities=tuple(
                    CapabilityFigures(
                        name=found.name,
                        n=found.n,
                        mean=_estimate(found.mean, by_capability[found.name][:, i]),
                        reference=summaries[at].capabilities[k].mean,
                        baseline=entry.baseline.get(found.name),
                        drop=_estimate(
                            summaries[at].capabilities[k].mean - found.mean,
                            by_capability[found.name][:, at] - by_capability[found.name][:, i],
                        ),
                        in_scope=None
                        if forgetting is None
                        else any(f.name == found.name for f in forgetting.figures),
                        forgotten=found.name in lost,
                    )
                    for k, found in enumerate(summary.capabilities)
                ),
                buckets=summary.buckets,
                latency=_latency(entry, latency[i], drift[i]),
                cost=_cost(entry, serving[i]),
                memory=_memory(entry),
                risk=RiskFigures(
                    value=_estimate(risk.total(components[i]), risks[:, i]),
                    level=risk.level(risk.total(components[i]), forgotten=bool(lost)),
                    components=components[i],
                    calibration=fits[i],
                ),
                churn=entry.churn,
                stability=entry.record.probes.get("prompt_stability"),
                pareto=bool(front[i]),
                history=entry.history,
                environment=dict(entry.record.environment),
                fingerprint=entry.record.fingerprint.key,
            )
        )
    return TradeOff(
        task_set={"name": task_set.name, "version": task_set.version, "hash": task_set.hash},
        reference=reference,
        floor=settings.floor,
        profiles=tuple(profiles),
        deltas=tuple(d for e in others for d in compared[e.spec.name][0]),
        choices=choices,
        break_even=tuple(_break_even(profiles, reference)),
        draws=_kept(draws, [e.spec.name for e in entries]),
        resamples=resamples,
        seed=seed,
        alpha=alpha,
        notes=tuple(dict.fromkeys(notes)),
        recorded=time.strftime("%Y-%m-%d", time.gmtime()),
    )


def _score_draws(
    scores: Draws, task_set: TaskSet, resamples: int, seed: int
) -> tuple[Draws, Draws, dict[str, Draws]]:
    """Draws of the mean, of the worst bucket and of each capability."""
    import numpy as np

    slices: dict[str, list[int]] = {"all": list(range(len(task_set.samples)))}
    for i, sample in enumerate(task_set.samples):
        slices.setdefault(f"capability {sample.capability}", []).append(i)
        slices.setdefault(f"bucket {sample.bucket}", []).append(i)
    clusters = [s.cluster or f"\0{s.id}" for s in task_set.samples]
    found = resample.scores(scores, clusters, slices, resamples=resamples, seed=seed)
    worst = np.minimum.reduce([v for k, v in found.items() if k.startswith("bucket ")])
    return (
        found["all"],
        worst,
        {k.partition(" ")[2]: v for k, v in found.items() if k.startswith("capability ")},
    )


def _estimate(value: float, draws: Draws) -> Estimate:
    import numpy as np

    low, high = np.quantile(draws, INTERVAL)
    return Estimate(float(value), float(low), float(high))


# --- what is judged -------------------------------------------------------------------------------


def _compare(
    entry: Entry,
    base: Entry,
    second: RunRecord | None,
    task_set: TaskSet,
    settings: TaskSetConfig,
    budget: Budget,
) -> tuple[tuple[Delta, ...], Comparison | None]:
    """Judge a variant against the reference: success, forgetting, latency."""
    name, against = entry.spec.name, base.spec.name
    # a prompt may differ here as anything may: strategies are compared, not changes of one
    spec = dataclasses.replace(entry.spec, kind="prompted")
    found: list[Delta] = []
    forgetting: Comparison | None = None
    try:
        success = comparator.no_regression(
            test="modellab compare",
            spec=spec,
            candidate=entry.record,
            reference=base.record,
            against=against,
            task_set=task_set,
            capability=None,
            margin=settings.margin,
            budget=budget,
        )
        found.append(Delta(name, "success", success.verdict, success.figures[0].explain()))
    except ComparisonRefused as error:
        found.append(Delta(name, "success", None, str(error)))
    if second is not None:
        try:
            forgetting = comparator.no_forgetting(
                test="modellab compare",
                spec=spec,
                candidate=entry.record,
                reference=base.record,
                second=second,
                against=against,
                task_set=task_set,
                targeted=set(entry.spec.targets),
                margin=settings.capability_margin,
                budget=budget,
            )
            worst = min(forgetting.figures, key=lambda f: (f.verdict != forgetting.verdict, f.p_adjusted))
            found.append(Delta(name, "forgetting", forgetting.verdict, worst.explain()))
        except ComparisonRefused as error:
            found.append(Delta(name, "forgetting", None, str(error)))
    if entry.performance is not None and entry.performance.reference is not None:
        ratio = gate.latency_ratio(
            entry.performance.candidate.end_to_end,
            entry.performance.reference.end_to_end,
            limit=SLOWER,
            alpha=budget.share,
            pass_alpha=budget.alpha,
        )
        found.append(Delta(name, "latency", ratio.verdict, ratio.explain()))
    return tuple(found), forgetting


def _lost(forgetting: Comparison | None) -> frozenset[str]:
    if forgetting is None:
        return frozenset()
    return frozenset(f.name for f in forgetting.figures if f.verdict == "block")


# --- risk -----------------------------------------------------------------------------------------


def _components(
    entry: Entry,
    summary: RunSummary,
    fit: risk.Calibration | None,
    task_set: TaskSet,
    worst_low: float,
    forgetting: Comparison | None,
    *,
    judged: bool,
) -> tuple[Component, ...]:
    worst = summary.worst
    parts = [
        Component(
            "worst_bucket",
            1.0 - worst_low,
            f"{worst.name} {worst.mean:.2f}; no bucket is below {worst_low:.2f} with 95 % confidence",
        )
    ]
    if forgetting is not None:
        shares = {
            f.name: max(0.0, f.drop_low) / f.baseline for f in forgetting.figures if f.baseline
        }
        name = max(shares, key=lambda k: (shares[k], k), default="")
        value = min(1.0, shares[name]) if shares else 0.0
        lost = sorted(_lost(forgetting))
        words = f"lost beyond chance: {', '.join(lost)}" if lost else "no capability lost beyond chance"
        parts.append(Component("forgetting", value, words))
    else:
        known = 0.0 if judged else None
        words = "the reference itself" if judged else "not measured: the reference has no second run"
        parts.append(Component("forgetting", known, words))
    parts.append(
        Component("churn", None, "not measured: no accepted second run")
        if entry.churn is None
        else Component(
            "churn",
            min(1.0, entry.churn / risk.FULL_CHURN),
            f"{entry.churn:.1%} of the samples flip between two runs",
        )
    )
    stability = entry.record.probes.get("prompt_stability")
    parts.append(
        Component("prompt_instability", None, "not measured: one prompt")
        if stability is None
        else Component(
            "prompt_instability", 1.0 - stability, f"stability over prompts {stability:.2f}"
        )
    )
    refusals = [
        1.0 - (result.score or 0.0)
        for sample, result in zip(task_set.samples, entry.record.samples, strict=True)
        if sample.scorer == "refusal"
    ]
    parts.append(
        Component(
            "refusal_errors",
            math.fsum(refusals) / len(refusals),
            f"{len(refusals)} requests to be refused or answered",
        )
        if refusals
        else Component("refusal_errors", None, "not measured: no such request in the task set")
    )
    parts.append(
        Component(
            "calibration", fit.ece, f"ECE {fit.ece:.3f}, Brier {fit.brier:.3f}, n = {fit.n}"
        )
        if fit is not None
        else Component("calibration", None, "not measured: no confidences")
    )
    return tuple(parts)


def _calibration(entry: Entry) -> risk.Calibration | None:
    pairs = [
        (s.confidence, s.score)
        for s in entry.record.samples
        if s.confidence is not None and s.score is not None
    ]
    return risk.calibration([c for c, _ in pairs], [s for _, s in pairs])


def _risk_draws(components: Sequence[Sequence[Component]], worst: Draws) -> Draws:
    """The risk in each draw: the worst bucket's bound moves with the draw, the rest stays."""
    import numpy as np

    columns = []
    for i, parts in enumerate(components):
        weight = next(c.weight for c in parts if c.name == "worst_bucket")
        moved = worst[:, i].mean() - worst[:, i]
        columns.append(np.clip(risk.total(parts) + weight * moved, 0.0, 1.0))
    return np.stack(columns, axis=1)


# --- latency, cost, memory ------------------------------------------------------------------------


def _drifts(entries: Sequence[Entry]) -> list[float]:
    """What each variant's seconds are multiplied by, so that the reference took as long beside all.

    The reference is measured anew beside every variant; the machine is not equally fast every time.
    """
    logs = [
        None if e.performance is None else _level(e.performance.reference or e.performance.candidate)
        for e in entries
    ]
    known = [value for value in logs if value is not None]
    centre = math.fsum(known) / len(known) if known else 0.0
    return [1.0 if value is None else math.exp(centre - value) for value in logs]


def _level(timings: Timings) -> float:
    logs = [math.log(seconds) for row in timings.end_to_end for seconds in row]
    return math.fsum(logs) / len(logs)


def _latency_draws(
    performance: Performance, drift: float, stream: int, resamples: int, seed: int
) -> Draws:
    import numpy as np

    seconds = drift * np.asarray(performance.candidate.end_to_end)
    return resample.quantiles(seconds, (0.5, 0.95), resamples=resamples, seed=seed, stream=stream)


def _serving_draws(
    entry: Entry, drift: float, stream: int, resamples: int, seed: int
) -> tuple[float, Draws] | None:
    """Dollars for 1,000 requests, and draws of them."""
    import numpy as np

    if entry.performance is None or entry.price is None:
        return None
    timings = entry.performance.candidate
    rounds = drift * np.asarray(timings.loaded).sum(axis=1) / sum(timings.groups)
    tokens = {"tokens_in": _mean(timings.tokens_in), "tokens_out": _mean(timings.tokens_out)}
    seconds = resample.means(rounds, resamples=resamples, seed=seed, stream=stream)
    value = cost.serving(entry.price, seconds=float(rounds.mean()), **tokens)
    if entry.price.usd_per_hour is None:  # an endpoint's price does not depend on time
        return value, np.full(resamples, value)
    return value, cost.serving(entry.price, seconds=1.0, **tokens) * seconds


def _latency(entry: Entry, draws: Draws | None, drift: float) -> LatencyFigures | None:
    import numpy as np

    if entry.performance is None or draws is None:
        return None
    timings = entry.performance.candidate
    end = drift * np.asarray(timings.end_to_end)
    first = drift * np.asarray(timings.first_token)
    loaded = drift * np.asarray(timings.loaded)
    later = np.asarray(timings.tokens_out) - 1
    per_token = (end - first)[:, later > 0] / later[later > 0]
    each = np.repeat(loaded, timings.groups, axis=1)  # all of a group wait for its last token
    p50, p95, p99 = (float(np.quantile(end, q)) for q in (0.5, 0.95, 0.99))
    loaded_p50, loaded_p95, loaded_p99 = (float(np.quantile(each, q)) for q in (0.5, 0.95, 0.99))
    return LatencyFigures(
        first_token=float(np.median(first)),
        per_token=float(np.median(per_token)) if per_token.size else None,
        p50=_estimate(p50, draws[0]),
        p95=_estimate(p95, draws[1]),
        p99=p99,
        concurrency=max(timings.groups),
        loaded_p50=loaded_p50,
        loaded_p95=loaded_p95,
        loaded_p99=loaded_p99,
        requests_per_second=float(sum(timings.groups) / loaded.sum(axis=1).mean()),
        prompts=end.shape[1],
        rounds=end.shape[0],
        drift=drift,
    )


def _cost(entry: Entry, serving: tuple[float, Draws] | None) -> CostFigures | None:
    if entry.performance is None or entry.price is None or serving is None:
        return None
    timings = entry.performance.candidate
    return CostFigures(
        price=entry.price.name,
        serving=_estimate(*serving),
        training=entry.training_usd,
        tokens_in=_mean(timings.tokens_in),
        tokens_out=_mean(timings.tokens_out),
    )


def _memory(entry: Entry) -> MemoryFigures | None:
    held = entry.record.probes.get("parameter_bytes")
    if held is None:
        return None
    peaks = {} if entry.performance is None else entry.performance.memory
    return MemoryFigures(
        held=held,
        disk=entry.disk_bytes,
        peak_host=peaks.get("peak_host_bytes"),
        peak_device=peaks.get("peak_device_bytes"),
    )


def _break_even(profiles: Sequence[Profile], reference: str) -> list[BreakEven]:
    base = next(p for p in profiles if p.variant == reference)
    found = []
    for profile in profiles:
        pair = (profile.cost, base.cost)
        if profile is base or pair[0] is None or pair[1] is None:
            continue
        a, b = pair[0], pair[1]
        if a.training is None or b.training is None:
            continue
        requests = cost.break_even(a.serving.value, a.training, b.serving.value, b.training)
        if requests is not None:
            cheaper, dearer = profile.variant, reference
            if a.serving.value > b.serving.value:
                cheaper, dearer = dearer, cheaper
            found.append(BreakEven(cheaper, dearer, requests))
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


# --- the decision ---------------------------------------------------------------------------------


def _metrics(
    entries: Sequence[Entry],
    quality: Draws,
    scores: Draws,
    worst: Draws,
    latency: Sequence[Draws | None],
    serving: Sequence[tuple[float, Draws] | None],
    risks: Draws,
    components: Sequence[Sequence[Component]],
) -> tuple[dict[str, Draws], dict[str, Draws]]:
    """Every metric that all variants have: its values, and its draws."""
    import numpy as np

    size = len(quality)
    values = {
        "quality": scores.mean(axis=0),
        "worst_bucket": np.quantile(worst, ONE_SIDED, axis=0),
        "risk": np.array([risk.total(parts) for parts in components]),
    }
    draws = {"quality": quality, "worst_bucket": worst, "risk": risks}
    if all(one is not None for one in latency):
        known = [one for one in latency if one is not None]
        ends = [np.asarray(e.performance.candidate.end_to_end) for e in entries if e.performance]
        drift = _drifts(entries)
        for name, row, level in (("latency", 0, 0.5), ("p95", 1, 0.95)):
            values[name] = np.array(
                [d * float(np.quantile(end, level)) for d, end in zip(drift, ends, strict=True)]
            )
            draws[name] = np.stack([one[row] for one in known], axis=1)
    if all(one is not None for one in serving):
        paid = [one for one in serving if one is not None]
        values["cost"] = np.array([value for value, _ in paid])
        draws["cost"] = np.stack([drawn for _, drawn in paid], axis=1)
    fixed = {
        "memory": [e.record.probes.get("parameter_bytes") for e in entries],
        "churn": [e.churn for e in entries],
    }
    for name, found in fixed.items():
        if all(one is not None for one in found):
            values[name] = np.array(found, dtype=float) / (1e9 if name == "memory" else 1.0)
            draws[name] = np.broadcast_to(values[name], (size, len(entries)))
    return values, draws


def _priced(
    values: Mapping[str, Draws], entries: Sequence[Entry], scenario: Scenario | None
) -> dict[str, Draws]:
    """The metrics with a scenario's share of the training in the cost."""
    found = {k: v for k, v in values.items() if k in METRICS}
    if "cost" in found and scenario is not None:
        found["cost"] = found["cost"] + _amortized(entries, scenario)
    return found


def _amortized(entries: Sequence[Entry], scenario: Scenario) -> Draws:
    import numpy as np

    return np.array([cost.amortized(e.training_usd or 0.0, scenario.volume) for e in entries])


def _choose(
    entries: Sequence[Entry],
    values: Mapping[str, Draws],
    draws: Mapping[str, Draws],
    compared: Mapping[str, tuple[tuple[Delta, ...], Comparison | None]],
    reference: str,
    scenario: Scenario,
) -> Choice:
    """Decide for one scenario: its volume pays for the training, its limits keep out."""
    import numpy as np

    size = len(draws["quality"])
    own = {k: v for k, v in values.items() if k != "p95"}
    drawn = {k: v for k, v in draws.items() if k != "p95"}
    if "cost" in own:
        extra = _amortized(entries, scenario)
        own["cost"], drawn["cost"] = own["cost"] + extra, drawn["cost"] + extra
    judged = [e.spec.name == reference or compared[e.spec.name][1] is not None for e in entries]
    if all(judged) and len(entries) > 1:
        lost = [
            0 if e.spec.name == reference else len(_lost(compared[e.spec.name][1]))
            for e in entries
        ]
        own["forgetting"] = np.array(lost, dtype=float)
        drawn["forgetting"] = np.broadcast_to(own["forgetting"], (size, len(entries)))
    names = tuple(e.spec.name for e in entries)
    limits = {k: (values["p95"], draws["p95"]) for k in ("latency",) if "p95" in values}
    return decision.decide(Metrics(names, own, drawn, limits), reference, scenario)


def _kept(
    draws: Mapping[str, Draws], names: Sequence[str]
) -> dict[str, dict[str, tuple[float, ...]]]:
    return {
        metric: {
            name: tuple(float(f"{v:.4g}") for v in draws[metric][:KEPT_DRAWS, i])
            for i, name in enumerate(names)
        }
        for metric in METRICS
        if metric in draws
    }
