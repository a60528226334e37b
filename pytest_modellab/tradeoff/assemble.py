"""Runs, timings and prices → the trade-off. Pure: nothing is run or read here."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_modellab.judging.scores import under
from pytest_modellab.records import counts
from pytest_modellab.records.asked import Budget
from pytest_modellab.records.declared import METRICS, Scenario, TaskSetConfig
from pytest_modellab.records.pairing import in_order
from pytest_modellab.records.preprocessing import unlike
from pytest_modellab.records.runs import RunRecord, RunSummary
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.runs.summary import summarize, transcribed
from pytest_modellab.tradeoff import cost, decision, judge, resample, risk, risks, speed
from pytest_modellab.tradeoff.decision import Choice, Metrics
from pytest_modellab.tradeoff.entry import Entry
from pytest_modellab.tradeoff.figures import CapabilityFigures, Profile, RiskFigures, TradeOff
from pytest_modellab.tradeoff.judge import VariantVerdicts
from pytest_modellab.tradeoff.resample import estimate
from pytest_modellab.tradeoff.risk import Component
from pytest_modellab.tradeoff.speed import Pace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = NDArray[np.float64]

KEPT_DRAWS = 200
"""Draws that the report carries, for a page that weighs anew."""


ONE_SIDED = 0.05


def assemble(
    entries: Sequence[Entry],
    *,
    task_set: TaskSet,
    settings: TaskSetConfig,
    reference: str,
    second: RunRecord | None,
    scenarios: Sequence[Scenario],
    alpha: float = 0.05,
    share: float | None = None,
    metric: str | None = None,
    notes: Sequence[str] = (),
    resamples: int = resample.RESAMPLES,
    seed: int = resample.SEED,
) -> TradeOff:
    """Put the report together.

    Args:
        entries: the variants, the reference among them.
        task_set: what all of them were asked; with a metric, only the samples that it tells of.
        settings: the task set's margins and floor.
        reference: the variant that the others are compared with.
        second: a second run of the reference, which decides what capabilities it has; None
            without one, and then nothing is said about forgetting.
        scenarios: what to decide for.
        alpha: risk of any false block among the deltas.
        share: the part of it that each verdict may spend; None for equal parts.
        metric: a figure of the samples that quality is in place of their scores; None for these.
        notes: what a reader must know.
        resamples: how many draws.
        seed: of the draws.

    Returns:
        The trade-off.

    Raises:
        ComparisonRefused: a run is not one of these samples, or lacks the metric.
    """
    import numpy as np

    entries = [
        dataclasses.replace(entry, record=in_order(entry.record, task_set.samples))
        for entry in entries
    ]
    at = [entry.spec.name for entry in entries].index(reference)
    base = entries[at]
    weighed = [e.record if metric is None else under(e.record, metric, task_set) for e in entries]
    scores = np.array([[s.score or 0.0 for s in record.samples] for record in weighed]).T
    quality, worst, by_capability = _score_draws(scores, task_set, resamples, seed)
    others = [entry for entry in entries if entry is not base]
    if share is None:  # success, forgetting and latency of each
        share = alpha / max(1, 3 * len(others))
    compared = {
        e.spec.name: judge.compare(
            e, base, second, task_set, settings, Budget(share, alpha), metric
        )
        for e in others
    }
    worst_low = np.quantile(worst, ONE_SIDED, axis=0)
    paces = speed.paces(entries, at)
    latency = [speed.draw_latency(one, i, resamples, seed) for i, one in enumerate(paces)]
    serving = [
        speed.draw_serving(e.price, paces[i], i, resamples, seed) for i, e in enumerate(entries)
    ]
    real_time = [speed.draw_real_time(one, i, resamples, seed) for i, one in enumerate(paces)]
    summaries = [summarize(record, task_set) for record in weighed]
    fits = [risks.calibration(e) for e in entries]
    components = risk.weigh(
        risks.components(
            e,
            summaries[i],
            fits[i],
            task_set,
            float(worst_low[i]),
            compared.get(e.spec.name),
        )
        for i, e in enumerate(entries)
    )
    drawn = risks.draw_risks(components, worst)
    values, draws = _metrics(entries, quality, scores, paces, latency, serving, drawn, components)
    front = decision.pareto(_priced(values, entries, scenarios[0] if scenarios else None))
    lost_in_all = _lost(entries, compared)
    tails = [
        None
        if pace is None or drawn_ is None
        else (float(np.quantile(pace.timings.end_to_end, 0.95)), drawn_[1])
        for pace, drawn_ in zip(paces, latency, strict=True)
    ]
    limited = {
        "latency": tails,
        "cost": serving,
        "real_time_factor": real_time,
        **{
            rate: _draw_rates(rate, entries, summaries, task_set, resamples, seed)
            for rate in counts.UNITS
        },
    }
    choices = tuple(
        _choose(entries, values, draws, worst_low, limited, lost_in_all, reference, scenario)
        for scenario in scenarios
    )
    profiles = []
    for i, entry in enumerate(entries):
        judged = compared.get(entry.spec.name, judge.NOTHING)
        here = judged.here
        lost = {} if here is None else {f.name: f.verdict == "block" for f in here.figures}
        summary = summaries[i]
        profiles.append(
            Profile(
                variant=entry.spec.name,
                kind=entry.spec.kind,
                strategy=entry.spec.strategy,
                base=entry.spec.base,
                source=entry.source,
                n=summary.n,
                success=estimate(summary.mean, quality[:, i]),
                stderr=summary.stderr,
                worst=summary.worst,
                worst_low=float(worst_low[i]),
                capabilities=tuple(
                    CapabilityFigures(
                        name=found.name,
                        n=found.n,
                        mean=estimate(found.mean, by_capability[found.name][:, i]),
                        reference=summaries[at].capabilities[k].mean,
                        baseline=entry.baseline.get(found.name),
                        drop=estimate(
                            summaries[at].capabilities[k].mean - found.mean,
                            by_capability[found.name][:, at] - by_capability[found.name][:, i],
                        ),
                        in_scope=None if here is None else found.name in lost,
                        forgotten=lost.get(found.name, False),
                    )
                    for k, found in enumerate(summary.capabilities)
                ),
                buckets=summary.buckets,
                latency=speed.latency(paces[i], latency[i], real_time[i]),
                cost=speed.cost_figures(entry, serving[i]),
                memory=speed.memory(entry),
                risk=RiskFigures(
                    value=estimate(risk.total(components[i]), drawn[:, i]),
                    level=risk.level(risk.total(components[i]), forgotten=bool(judged.lost)),
                    components=components[i],
                    calibration=fits[i],
                ),
                churn=entry.churn,
                stability=entry.record.probes.get("prompt_stability"),
                pareto=bool(front[i]),
                lost=lost_in_all[i],
                history=entry.history,
                environment=dict(entry.record.environment),
                fingerprint=entry.record.fingerprint.key,
                metrics=summary.metrics,
                probes={
                    **entry.record.probes,
                    **entry.dollars,
                    **speed.of_media(real_time[i], entry, serving[i]),
                },
                preprocessing=_unlike(entry, base),
            )
        )
    return TradeOff(
        task_set=task_set.identity,
        reference=reference,
        floor=settings.least(metric),
        profiles=tuple(profiles),
        deltas=tuple(d for e in others for d in compared[e.spec.name].deltas),
        choices=choices,
        break_even=tuple(speed.break_even(profiles, reference)),
        draws=_kept(draws, [e.spec.name for e in entries]),
        resamples=resamples,
        seed=seed,
        alpha=alpha,
        notes=tuple(dict.fromkeys(notes)),
        recorded=time.strftime("%Y-%m-%d", time.gmtime()),
        metric=metric,
        flips={name: judged.flips for name, judged in compared.items() if judged.flips},
    )


def _unlike(entry: Entry, base: Entry) -> tuple[str, ...]:
    """Where a variant's media are not prepared as the reference's, and as its base's."""
    here, there = (one.record.fingerprint.settings for one in (entry, base))
    found = unlike(here, there, f"the reference {base.spec.name}")
    known = {one.changed for one in found}
    return tuple(map(str, (*found, *(o for o in entry.preprocessing if o.changed not in known))))


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


# --- the decision ---------------------------------------------------------------------------------


def _metrics(
    entries: Sequence[Entry],
    quality: Draws,
    scores: Draws,
    paces: Sequence[Pace | None],
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
        "risk": np.array([risk.total(parts) for parts in components]),
    }
    draws = {"quality": quality, "risk": risks}
    if all(one is not None for one in latency):
        known = [one for one in latency if one is not None]
        ends = [np.asarray(one.timings.end_to_end) for one in paces if one is not None]
        for name, row, level in (("latency", 0, 0.5), ("p95", 1, 0.95)):
            values[name] = np.array([float(np.quantile(end, level)) for end in ends])
            draws[name] = np.stack([one[row] for one in known], axis=1)
    if all(one is not None for one in serving):
        paid = [one for one in serving if one is not None]
        values["cost"] = np.array([value for value, _ in paid])
        draws["cost"] = np.stack([drawn for _, drawn in paid], axis=1)
    held = [e.record.probes.get("parameter_bytes") for e in entries]
    if all(one is not None for one in held):
        values["memory"] = np.array(held, dtype=float) / 1e9
        draws["memory"] = np.broadcast_to(values["memory"], (size, len(entries)))
    return values, draws


def _draw_rates(
    rate: str,
    entries: Sequence[Entry],
    summaries: Sequence[RunSummary],
    task_set: TaskSet,
    resamples: int,
    seed: int,
) -> list[tuple[float, Draws] | None]:
    """An error rate of each variant, and draws of it: errors and words are drawn together."""
    import numpy as np

    if not any(rate in summary.metrics for summary in summaries):
        return [None] * len(entries)
    clusters = [s.cluster or f"\0{s.id}" for s in task_set.samples]
    everything = {"all": range(len(task_set.samples))}
    kinds = [counts.name(rate, kind) for kind in counts.KINDS]

    counted = [transcribed(entry.record, task_set) for entry in entries]

    def drawn(names: Sequence[str]) -> Draws:
        rows = [[sum(one.get(name, 0.0) for name in names) for one in found] for found in counted]
        given = np.array(rows, dtype=float).T
        return resample.scores(given, clusters, everything, resamples=resamples, seed=seed)["all"]

    errors, sizes = drawn(kinds[1:]), drawn(kinds[:3])
    found = errors / np.where(sizes > 0, sizes, np.nan)
    return [
        (summary.metrics[rate], found[:, i]) if rate in summary.metrics else None
        for i, summary in enumerate(summaries)
    ]


def _lost(entries: Sequence[Entry], compared: Mapping[str, VariantVerdicts]) -> list[int | None]:
    """How many capabilities each variant has lost; None where that was judged nowhere."""
    found: list[int | None] = []
    for entry in entries:
        judged = compared.get(entry.spec.name)
        found.append(0 if judged is None else len(judged.lost) if judged.forgetting else None)
    return found if any(judged.forgetting for judged in compared.values()) else [None] * len(found)


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
    worst_low: Draws,
    measured: Mapping[str, Sequence[tuple[float, Draws] | None]],
    lost: Sequence[int | None],
    reference: str,
    scenario: Scenario,
) -> Choice:
    """Decide for one scenario: its volume pays for the training, its limits keep out."""
    own = {k: v for k, v in values.items() if k in METRICS}
    drawn = {k: v for k, v in draws.items() if k in METRICS}
    extra = _amortized(entries, scenario)
    if "cost" in own:
        own["cost"], drawn["cost"] = own["cost"] + extra, drawn["cost"] + extra
    names = tuple(e.spec.name for e in entries)
    limited = _limited(entries, worst_low, measured, lost, len(draws["quality"]))
    costs, cost_draws = limited["cost"]
    limited["cost"] = costs + extra, cost_draws + extra
    return decision.decide(Metrics(names, own, drawn, limited), reference, scenario)


def _limited(
    entries: Sequence[Entry],
    worst_low: Draws,
    measured: Mapping[str, Sequence[tuple[float, Draws] | None]],
    lost: Sequence[int | None],
    size: int,
) -> dict[str, tuple[Draws, Draws]]:
    """What limits hold, NaN where a variant was not measured."""
    import numpy as np

    def fixed(found: Sequence[float | None], unit: float = 1.0) -> tuple[Draws, Draws]:
        row = np.array([np.nan if one is None else one / unit for one in found])
        return row, np.broadcast_to(row, (size, row.size))

    def drawn(found: Sequence[tuple[float, Draws] | None]) -> tuple[Draws, Draws]:
        nothing = np.full(size, np.nan)
        row = np.array([np.nan if one is None else one[0] for one in found])
        return row, np.stack([nothing if one is None else one[1] for one in found], axis=1)

    return {
        "worst_bucket": fixed(list(worst_low)),  # a bound already
        **{name: drawn(found) for name, found in measured.items()},
        "memory": fixed([e.record.probes.get("parameter_bytes") for e in entries], 1e9),
        "churn": fixed([e.churn for e in entries]),
        "forgetting": fixed(lost),
    }


def _kept(
    draws: Mapping[str, Draws], names: Sequence[str]
) -> dict[str, dict[str, tuple[float, ...]]]:
    return {
        metric: {
            name: tuple(float(f"{v:.4g}") for v in draws[metric][:KEPT_DRAWS, i])
            for i, name in enumerate(names)
        }
        for metric in (*METRICS, "p95")
        if metric in draws
    }
