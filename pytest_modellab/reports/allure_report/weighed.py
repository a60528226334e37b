"""The trade-off in Allure: a test that recommends, the page for all of the report, the metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ModellabError
from pytest_modellab.records.diagnosis import Diagnosis
from pytest_modellab.reports import measured
from pytest_modellab.reports.allure_report.entries import entry, identity
from pytest_modellab.reports.allure_report.markdown import adapted
from pytest_modellab.reports.allure_report.settings import RECOMMENDATION
from pytest_modellab.store import atomic
from pytest_modellab.tradeoff.figures import Profile, TradeOff

METRICS = {
    "success": ("Success", "", "higher"),
    "cost_usd_per_1000": ("Cost of 1,000 requests", "$", "lower"),
    "latency_ms_p50": ("Latency, median", "ms", "lower"),
    "latency_ms_p95": ("Latency, 95th percentile", "ms", "lower"),
    "memory_gb": ("Memory of the weights", "GB", "lower"),
    "risk": ("Risk", "", "lower"),
    **{
        figure.name: (figure.label.capitalize(), figure.unit, figure.better)
        for figure in (*measured.FIGURES, *measured.MEDIA_FIGURES)
    },
}
"""Name → (title of its group, unit, which direction is better)."""


_PAGE = "Trade-off"


_WHERE = f"With charts: *{_PAGE}* under *Global Attachments* (in Allure 2: *Run*)."


def write(
    alluredir: Path,
    tradeoffs: Mapping[str, TradeOff | str],
    start: int,
    stop: int,
    diagnoses: Mapping[str, Diagnosis] | None = None,
) -> tuple[str, ...]:
    """Write the recommendations, the page and the metrics of a session.

    The files' names depend on the task set only, so a later session replaces them.

    Args:
        alluredir: the results folder.
        tradeoffs: of each task set that was judged, or why there is none.
        start: of the session's first test, in milliseconds since 1970.
        stop: of its last.
        diagnoses: of variants that were blocked, by variant.

    Returns:
        Notes on what could not be made.

    Raises:
        OSError: the folder cannot be written.
    """
    found = {name: one for name, one in tradeoffs.items() if not isinstance(one, str)}
    notes = _write_page(alluredir, tuple(found.values()), stop, diagnoses or {})
    for name, one in tradeoffs.items():
        result = recommendation(name, one, start)
        _write(alluredir / f"{result['uuid']}-result.json", result)
    measured = [metric for name in found for metric in _metrics(name, found[name], start, stop)]
    _write(alluredir / "performance.json", measured)
    return notes


def recommendation(task_set: str, tradeoff: TradeOff | str, start: int) -> dict[str, Any]:
    """The result of a test that is none: its name is the choice, its description the table.

    It counts as skipped, which is gray, as nothing was judged by it: green beside a block would
    look like a pass. It comes before all tests, as it starts first.

    Args:
        task_set: the task set's name.
        tradeoff: its trade-off; where there is none, why.
        start: of the session's first test, in milliseconds since 1970.
    """
    result = entry(RECOMMENDATION, task_set, start - 1) | {"status": "skipped"}
    if isinstance(tradeoff, str):
        return result | {
            "name": f"{RECOMMENDATION} on {task_set}: none",
            "statusDetails": {
                "message": f"no trade-off of {task_set}: {tradeoff}; modellab compare --task-set "
                f"{task_set} runs what is missing"
            },
        }
    from pytest_modellab.reports.text import tradeoff as report

    return result | {
        "name": f"{RECOMMENDATION} on {task_set}: {report.recommendation(tradeoff)}",
        "description": f"{adapted(report.markdown(tradeoff))}\n{_WHERE}\n",
    }


def metrics(profile: Profile) -> dict[str, float]:
    """What is known of a variant, named as in :data:`METRICS`, and its further metrics."""
    found = {"success": profile.success.value}
    if profile.cost is not None:
        found["cost_usd_per_1000"] = profile.cost.serving.value
    if profile.latency is not None:
        found["latency_ms_p50"] = 1000 * profile.latency.p50.value
        found["latency_ms_p95"] = 1000 * profile.latency.p95.value
    if profile.memory is not None:
        found["memory_gb"] = profile.memory.held / 1e9
    found["risk"] = profile.risk.value.value
    found |= measured.ordered(profile.metrics)
    for figures in (measured.FIGURES, measured.MEDIA_FIGURES):
        known = measured.known(profile, figures)
        found |= {f.name: f.factor * value for f, value in known.items()}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def _metrics(task_set: str, tradeoff: TradeOff, start: int, stop: int) -> Iterator[dict[str, Any]]:
    """What Allure 3 draws over the runs; the task set is in the key, since others have others."""
    for profile in tradeoff.profiles:
        for name, value in metrics(profile).items():
            title, unit, better = METRICS.get(
                name, (measured.label(name), "", measured.better(name))
            )
            key = f"{task_set}.{profile.variant}.{name}"
            yield {
                "id": identity(key),
                "key": key,
                "value": value,
                "start": start,
                "stop": stop,
                "title": profile.variant,
                "unit": unit,
                "better": better,
                "group": f"{task_set}.{name}",
                "groupTitle": f"{title}, {task_set}",
            }


def _write_page(
    alluredir: Path, tradeoffs: tuple[TradeOff, ...], now: int, diagnoses: Mapping[str, Diagnosis]
) -> tuple[str, ...]:
    """Write the page and the file that attaches it to the whole report, as allure-pytest would."""
    unique = identity("page")
    attachment = alluredir / f"{unique}-attachment.html"
    given = alluredir / f"{unique}-globals.json"
    try:
        text = _page(tradeoffs, diagnoses) if tradeoffs else None
        notes: tuple[str, ...] = ()
    except ModellabError as error:
        text, notes = None, (f"--alluredir: no trade-off page: {error}",)
    if text is None:
        given.unlink(missing_ok=True)
        attachment.unlink(missing_ok=True)
        return notes
    atomic.write_text(attachment, text)
    source = {"name": _PAGE, "source": attachment.name, "type": "text/html", "timestamp": now}
    _write(given, {"attachments": [source]})
    return notes


def _page(tradeoffs: tuple[TradeOff, ...], diagnoses: Mapping[str, Diagnosis]) -> str:
    from pytest_modellab.reports import page

    return page.render(tradeoffs, interactive=False, diagnoses=diagnoses)


def _write(path: Path, data: Any) -> None:
    atomic.write_text(path, json.dumps(data, ensure_ascii=False))
