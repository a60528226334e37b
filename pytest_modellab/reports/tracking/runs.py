"""A session or a trade-off as runs of an experiment tracker: one parent, one child a variant.

Pure functions of the reports; :mod:`pytest_modellab.reports.tracking.log` sends what they return.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.runs import RunSummary, Verdict
from pytest_modellab.reports import json_file, measured
from pytest_modellab.reports.session import SessionReport, headline, of_variant, variant_verdict
from pytest_modellab.reports.text import markdown
from pytest_modellab.tradeoff import figures
from pytest_modellab.tradeoff.figures import SUCCESS, Profile, TradeOff
from pytest_modellab.visible import visible

_NAME = 200  # MLflow takes 250 characters


_PARAM = 500


_TAG = 5000


_VERDICTS: tuple[Verdict, ...] = ("block", "inconclusive", "pass")  # the first one decides


@dataclasses.dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: for a reader.
        params: what was run.
        metrics: what was measured; finite, under names that MLflow allows.
        tags: verdicts among them.
    """

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Family:
    """A parent run with its children.

    Attributes:
        parent: the session or the trade-off.
        children: one a variant and task set.
        files: name → text, kept with the parent.
    """

    parent: Run
    children: tuple[Run, ...]
    files: Mapping[str, str]


def of_session(
    report: SessionReport, tradeoffs: Mapping[str, TradeOff] = MappingProxyType({})
) -> Family:
    """A session's runs.

    Args:
        report: the session.
        tradeoffs: by task set, as far as there are any; cost, risk and latency come from them.
    """
    counts = {
        outcome: sum(c.outcome == outcome for c in report.comparisons)
        for outcome in (*_VERDICTS, "accepted")
    }
    parent = _run(
        "pytest",
        params={
            "task_sets": ", ".join(report.task_sets),
            "alpha": report.alpha,
            "on_inconclusive": report.on_inconclusive,
            **({"overridden": "; ".join(map(str, report.overrides))} if report.overrides else {}),
        },
        metrics=[
            *((f"comparisons/{verdict}", count) for verdict, count in counts.items()),
            ("tests_without_verdict", len(report.errors)),
        ],
        tags={"verdict": report.verdict, "note": headline(report)},
    )
    profiles = {
        (task_set, profile.variant): profile
        for task_set, tradeoff in tradeoffs.items()
        for profile in tradeoff.profiles
    }
    return Family(
        parent,
        (
            *(
                _of_summary(report, run, profiles.get((run.task_set, run.variant)))
                for run in report.runs
            ),
            *(
                _of_latency(report, variant, task_set, profiles.get((task_set, variant)))
                for variant, task_set in report.without_run
            ),
        ),
        {"report.json": json_file.dumps(report), "report.md": markdown.render(report)},
    )


def of_tradeoff(tradeoff: TradeOff, pages: Mapping[str, str]) -> Family:
    """A trade-off's runs.

    Args:
        tradeoff: of one task set.
        pages: further files, name → text: the report as Markdown, the page.
    """
    name = tradeoff.task_set["name"]
    parent = _run(
        f"compare {name}",
        params={
            **_of_task_set(tradeoff.task_set),
            "reference": tradeoff.reference,
            "seed": tradeoff.seed,
            "resamples": tradeoff.resamples,
            "alpha": tradeoff.alpha,
            "metric": tradeoff.metric,
        },
        metrics=[],
        tags={
            f"choice.{choice.scenario.name}": f"{choice.verdict}: {', '.join(choice.variants)}"
            for choice in tradeoff.choices
        },
    )
    children = []
    for profile in tradeoff.profiles:
        judged = {d.what: d.verdict for d in tradeoff.deltas if d.variant == profile.variant}
        known = [verdict for verdict in judged.values() if verdict is not None]
        verdict = min(known, key=_VERDICTS.index, default=None)
        children.append(
            _run(
                profile.variant,
                params={
                    **_of_variant(profile, profile.fingerprint),
                    **_of_task_set(tradeoff.task_set),
                    "seed": profile.environment.get("seed"),
                },
                metrics=_of_profile(profile, tradeoff.metric),
                tags={
                    "verdict": verdict or "not judged",
                    **{f"verdict.{what}": found for what, found in judged.items()},
                    "source": profile.source,
                    "pareto": profile.pareto,
                    "risk_level": profile.risk.level,
                },
            )
        )
    return Family(parent, tuple(children), {"tradeoff.json": figures.dumps(tradeoff), **pages})


def metric_name(*parts: str) -> str:
    """A name that MLflow allows everywhere: letters, digits, ``_``, ``-``, ``.`` and spaces.

    Args:
        *parts: joined by ``/``; any character in them, ``/`` included, that is not allowed becomes
            ``_``.
    """
    found = "/".join(re.sub(r"[^A-Za-z0-9_\-. ]", "_", part).strip(" .") or "_" for part in parts)
    return found[:_NAME].rstrip("/ ")


def _of_summary(report: SessionReport, run: RunSummary, profile: Profile | None) -> Run:
    several = len(report.task_sets) > 1
    seconds = None if measured.searched(run) else run.probes.get("seconds")
    own: list[tuple[str | tuple[str, ...], float | None]] = [
        ("success", run.mean),
        ("success_stderr", run.stderr),
        ("samples", run.n),
        ("samples_without_score", run.missing),
        *((("capability", found.name), found.mean) for found in run.capabilities),
        ("worst_bucket", run.worst.mean if run.buckets else None),
        ("latency/seconds_per_sample", seconds / run.n if seconds and run.n else None),
        ("memory/held_bytes", run.probes.get("parameter_bytes")),
        ("churn", run.churn),
        ("stability", run.probes.get("prompt_stability")),
        *_ratios(of_variant(report, run.variant, run.task_set)),
        *_distances(of_variant(report, run.variant, run.task_set)),
        *_measured(run),
    ]
    weighed = {} if profile is None else dict(_of_profile(profile))
    given = {name: value for name, value in own if value is not None}
    return _run(
        f"{run.variant} on {run.task_set}" if several else run.variant,
        params={
            **_of_variant(run, run.fingerprint),
            **_of_task_set(
                {
                    "name": run.task_set,
                    "version": run.task_set_version,
                    "hash": run.task_set_hash,
                }
            ),
            "seed": run.environment.get("seed"),
        },
        metrics={**weighed, **given}.items(),
        tags={
            "verdict": variant_verdict(report, run.variant, run.task_set) or "not judged",
            "source": "stored" if run.cached else "run",
            "worst_bucket": run.worst.name if run.buckets else None,
        },
    )


def _of_latency(report: SessionReport, variant: str, task_set: str, profile: Profile | None) -> Run:
    """What is known of a variant that was timed and not run."""
    several = len(report.task_sets) > 1
    comparisons = of_variant(report, variant, task_set)
    weighed = {} if profile is None else dict(_of_profile(profile))
    return _run(
        f"{variant} on {task_set}" if several else variant,
        params={"variant": variant, "kind": comparisons[0].kind, "task_set": task_set},
        metrics=[*weighed.items(), *_ratios(comparisons), *_distances(comparisons)],
        tags={"verdict": variant_verdict(report, variant, task_set), "source": "not run"},
    )


def _ratios(comparisons: Iterable[Comparison]) -> list[tuple[str | tuple[str, ...], float]]:
    """Measured ratios by name; an assertion of somebody's own may have measured one."""
    return [
        ("latency/ratio" if c.timed else ("ratio", c.ratio.name), c.ratio.ratio)
        for c in comparisons
        if c.ratio is not None
    ]


def _distances(comparisons: Iterable[Comparison]) -> list[tuple[tuple[str, ...], float]]:
    """Distances from the base, and what was judged with them: ``fidelity/KL``."""
    return [
        (("fidelity", figure.name), figure.candidate)
        for c in comparisons
        if any(one.distance for one in c.figures)
        for figure in c.figures
    ]


def _of_variant(found: RunSummary | Profile, fingerprint: str) -> dict[str, Any]:
    return {
        "variant": found.variant,
        "kind": found.kind,
        "strategy": found.strategy,
        "base": found.base,
        "fingerprint": fingerprint,
    }


def _of_task_set(task_set: Mapping[str, str]) -> dict[str, Any]:
    return {
        "task_set": task_set["name"],
        "task_set_version": task_set["version"],
        "task_set_hash": task_set["hash"],
    }


def _measured(found: RunSummary | Profile) -> list[tuple[tuple[str, ...], float | None]]:
    """The model's metrics, those of its index, and the figures of a search and of media."""
    return [
        *((("metric", name), value) for name, value in measured.of_model(found.metrics).items()),
        *((("index", name), value) for name, value in measured.of_index(found.metrics).items()),
        *(
            (("exact_search", name), value)
            for name, value in measured.of_exact(found.metrics).items()
        ),
        *((("search", probe), found.probes.get(probe)) for probe in measured.COUNTS),
        *((("search", f.probe), value) for f, value in measured.known(found).items()),
        *((("media", probe), found.probes.get(probe)) for probe in measured.MEDIA_COUNTS),
        *(
            (("media", f.probe), value)
            for f, value in measured.known(found, measured.MEDIA_FIGURES).items()
        ),
    ]


def _of_profile(
    profile: Profile, metric: str | None = None
) -> list[tuple[str | tuple[str, ...], float | None]]:
    """What a profile tells; what is judged by a metric is named by it, not to be mixed up."""
    by = "" if metric is None else f"_{metric}"
    found: list[tuple[str | tuple[str, ...], float | None]] = [
        *(
            (f"{metric or SUCCESS}{end}", value)
            for end, value in (
                ("", profile.success.value),
                ("_low", profile.success.low),
                ("_high", profile.success.high),
                ("_stderr", profile.stderr),
            )
        ),
        ("samples", profile.n),
        *(((f"capability{by}", c.name), c.mean.value) for c in profile.capabilities),
        ("capabilities_forgotten", sum(c.forgotten for c in profile.capabilities)),
        (f"worst_bucket{by}", profile.worst.mean),
        (f"worst_bucket{by}_low", profile.worst_low),
        ("risk", profile.risk.value.value),
        ("risk_low", profile.risk.value.low),
        ("risk_high", profile.risk.value.high),
        *((("risk_component", c.name), c.value) for c in profile.risk.components),
        ("churn", profile.churn),
        ("stability", profile.stability),
        *_measured(profile),
    ]
    if (latency := profile.latency) is not None:
        found += [
            ("latency/first_token_seconds", latency.first_token),
            ("latency/per_token_seconds", latency.per_token),
            ("latency/p50_seconds", latency.p50.value),
            ("latency/p95_seconds", latency.p95.value),
            ("latency/p99_seconds", latency.p99),
            ("latency/loaded_p95_seconds", latency.loaded_p95),
            ("latency/requests_per_second", latency.requests_per_second),
        ]
    if (cost := profile.cost) is not None:
        found += [
            ("cost/usd_per_1000_requests", cost.serving.value),
            ("cost/training_usd", cost.training),
        ]
    if (memory := profile.memory) is not None:
        found += [
            ("memory/held_bytes", memory.held),
            ("memory/disk_bytes", memory.disk),
            ("memory/peak_host_bytes", memory.peak_host),
            ("memory/peak_device_bytes", memory.peak_device),
        ]
    return found


def _run(
    name: str,
    *,
    params: Mapping[str, Any],
    metrics: Iterable[tuple[str | tuple[str, ...], float | None]],
    tags: Mapping[str, Any],
) -> Run:
    """What is None is left out; of names that become equal, later ones get a number."""
    kept: dict[str, float] = {}
    for given, value in metrics:
        if value is None or not math.isfinite(value):
            continue
        named = metric_name(*(given.split("/") if isinstance(given, str) else given))
        unique, number = named, 1
        while unique in kept:
            number += 1
            unique = f"{named}_{number}"
        kept[unique] = float(value)
    note = {"mlflow.note.content": visible(str(tags["note"]))[:_TAG]} if "note" in tags else {}
    return Run(
        visible(name)[:_NAME],
        {
            key: visible(str(value))[:_PARAM]
            for key, value in params.items()
            if value not in (None, "")
        },
        kept,
        {
            "modellab.version": importlib.metadata.version("pytest-modellab"),
            **{
                f"modellab.{key}": visible(str(value))[:_TAG]
                for key, value in tags.items()
                if value is not None and key != "note"
            },
            **note,
        },
    )
