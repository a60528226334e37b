"""The machine-readable report: ``--modellab-json PATH``.

All that may differ between two runs of the same models on the same machine (wall time, throughput,
thread count, the date, whether a run came from the store) lies under the key ``measured``; the rest
is equal byte for byte, however the tests were scheduled.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records import diagnosed, reading
from pytest_modellab.records.diagnosis import Diagnosis
from pytest_modellab.records.runs import RunSummary
from pytest_modellab.reports.advice import next_step
from pytest_modellab.reports.session import (
    Called,
    SessionReport,
    TestError,
    acceptances,
    headline,
    of_variant,
    worst,
)
from pytest_modellab.reports.together import together
from pytest_modellab.store import atomic

SCHEMA = 1
"""Version of the layout; :func:`read` refuses others."""


FIXED_PROBES = frozenset(
    {
        "audio_seconds",
        "documents",
        "images",
        "index_bytes_per_document",
        "parameter_bytes",
        "tokens",
        "vector_dimensions",
    }
)
"""Probes that are properties of model, index and task set; every other one is a measurement."""


MEASURED_ENVIRONMENT = frozenset({"recorded", "threads", "token_budget", "workers"})
"""What of the environment depends on when and how the tests were scheduled."""


def to_dict(report: SessionReport) -> dict[str, Any]:
    """The whole report as built-in types, every figure included."""
    called = {"called": dataclasses.asdict(report.called)} if report.called != Called() else {}
    return {
        **called,
        "schema": SCHEMA,
        "verdict": report.verdict,
        "headline": headline(report),
        "next": list(next_step(report)),
        "together": [
            {"variant": variant, "text": text}
            for variant in report.variants
            for text in together(of_variant(report, variant))
        ],
        "alpha": report.alpha,
        "assertions": report.assertions,
        "on_inconclusive": report.on_inconclusive,
        "accepted": list(acceptances(report)),
        "overrides": [str(one) for one in report.overrides],
        "complete": report.complete,
        "notes": list(report.notes),
        "runs": [_fixed(run) for run in report.runs],
        "comparisons": [_comparison(c) for c in report.comparisons if not c.timed],
        "errors": [dataclasses.asdict(e) for e in report.errors],
        "diagnoses": {name: _diagnosis(one) for name, one in report.diagnoses.items()},
        "measured": {
            "runs": [_measured(run) for run in report.runs],
            "notes": [list(c.notes) for c in report.comparisons if not c.timed],
            "latency": [_comparison(c) for c in report.comparisons if c.timed],
            "diagnoses": {name: dict(one.seconds) for name, one in report.diagnoses.items()},
        },
    }


def dumps(*reports: SessionReport) -> str:
    """The report as JSON: keys sorted, indented, with a line end at the end.

    Those of several configurations stand in a list, under the worst of their verdicts.
    """
    data = [to_dict(report) for report in reports]
    whole = data[0]
    if len(data) > 1:
        pairs = zip(reports, data, strict=True)
        named = [{**told, "configuration": one.configuration} for one, told in pairs]
        whole = {"schema": SCHEMA, "verdict": worst(reports), "configurations": named}
    return json.dumps(whole, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write(reports: Sequence[SessionReport], path: Path) -> None:
    """Write the report, or those of several configurations, so that nobody ever meets half of it.

    Raises:
        OSError: the folder cannot be written.
    """
    atomic.write_text(path, dumps(*reports))


def read(path: Path) -> tuple[SessionReport, ...]:
    """Read what :func:`write` wrote.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a report, or one of another schema.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    several = data.get("configurations") if isinstance(data, dict) else None
    return tuple(_read(one, path) for one in (several or [data]))


def _read(data: Any, path: Path) -> SessionReport:
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"{path}: schema is {schema!r}, this version of pytest-modellab reads {SCHEMA}"
        )
    seconds = data["measured"].get("diagnoses", {})
    diagnoses = {
        name: diagnosed.from_json(json.dumps({**one, "seconds": seconds.get(name, {})}))
        for name, one in data.get("diagnoses", {}).items()
    }
    pairs = zip(data["runs"], data["measured"]["runs"], strict=True)
    judged = zip(data["comparisons"], data["measured"]["notes"], strict=True)
    return SessionReport(
        runs=tuple(_run(fixed, measured) for fixed, measured in pairs),
        comparisons=(
            *(Comparison.from_json(json.dumps({**c, "notes": notes})) for c, notes in judged),
            *(Comparison.from_json(json.dumps(c)) for c in data["measured"].get("latency", ())),
        ),
        errors=tuple(TestError(**e) for e in data["errors"]),
        alpha=data["alpha"],
        assertions=data["assertions"],
        on_inconclusive=data["on_inconclusive"],
        complete=data["complete"],
        notes=tuple(data["notes"]),
        diagnoses=diagnoses,
        configuration=data.get("configuration", ""),
        called=Called(**data.get("called", {})),
    )


def _diagnosis(diagnosis: Diagnosis) -> dict[str, Any]:
    """Without its times, which are measured anew with every run."""
    data: dict[str, Any] = json.loads(diagnosed.to_json(diagnosis))
    del data["seconds"]
    return data


def _comparison(comparison: Comparison) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(comparison.to_json())
    # The comparator notes a differing environment as "threads: 1 here, 2 in the reference".
    if comparison.ratio is None:
        del data["ratio"]
    for flip in data["flips"]:
        for media in flip.get("media", ()):  # where it lies differs between machines
            media["path"] = PurePath(media["path"]).name
    data["notes"] = [n for n in data["notes"] if n.partition(":")[0] not in MEASURED_ENVIRONMENT]
    return data


def _fixed(run: RunSummary) -> dict[str, Any]:
    fields = {f.name: getattr(run, f.name) for f in dataclasses.fields(run)}
    del fields["cached"], fields["preprocessing"]
    if run.preprocessing:
        fields["preprocessing"] = [dataclasses.asdict(one) for one in run.preprocessing]
    return {
        **fields,
        "capabilities": [dataclasses.asdict(b) for b in run.capabilities],
        "buckets": [dataclasses.asdict(b) for b in run.buckets],
        "probes": {k: v for k, v in run.probes.items() if k in FIXED_PROBES},
        "metrics": dict(run.metrics),
        "environment": {k: v for k, v in run.environment.items() if k not in MEASURED_ENVIRONMENT},
    }


def _measured(run: RunSummary) -> dict[str, Any]:
    return {
        "variant": run.variant,
        "task_set": run.task_set,
        "cached": run.cached,
        "probes": {k: v for k, v in run.probes.items() if k not in FIXED_PROBES},
        "environment": {k: v for k, v in run.environment.items() if k in MEASURED_ENVIRONMENT},
    }


def _run(fixed: Mapping[str, Any], measured: Mapping[str, Any]) -> RunSummary:
    return reading.build(
        RunSummary,
        {
            **fixed,
            "probes": {**fixed["probes"], **measured["probes"]},
            "environment": {**fixed["environment"], **measured["environment"]},
            "cached": measured["cached"],
        },
    )
