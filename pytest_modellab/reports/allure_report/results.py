"""The results folder: what is mended when a session ends, and what the whole session adds."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.reports.allure_report import entries, settings, weighed
from pytest_modellab.reports.allure_report.markdown import adapted
from pytest_modellab.reports.session import SessionReport, worst
from pytest_modellab.reports.text.diagnosis import markdown
from pytest_modellab.reports.text.table import sentence
from pytest_modellab.store import atomic
from pytest_modellab.tradeoff.figures import TradeOff
from pytest_modellab.visible import CELL, shortened, visible
from pytest_modellab.visible import message as shown

_DIAGNOSIS = "Diagnosis: "
"""Begins the name of the attached page."""


_FIXTURES = frozenset({"lab", "candidate", "task_set", "capability", "gate"})


_TOLD = {"inconclusive": "VerdictInconclusive: ", "accepted": ""}
"""What a test that passed is told to be, and how that begins."""


_UNDECIDED = "unknown"
"""Allure's status of a test whose verdict is open: no green, and no failure."""


_PLAIN = frozenset({"name", "status", "start", "stop"})


def write_session(
    alluredir: Path,
    reports: Sequence[SessionReport],
    tradeoffs: Sequence[Mapping[str, TradeOff | str]] = (),
) -> tuple[str, ...]:
    """Write what Allure shows of the whole session beside the results.

    Called once, by the process that controls the run, after the last result was written. Tests that
    passed although their verdict is inconclusive, or though a drop was accepted, get a status
    message, so that a category can show them: allure-pytest writes none for a passed test; the
    inconclusive ones a status of their own, unless the session lets them pass unseen. The files
    that it writes for each of our fixtures go: they hold a name and two times, and are three of
    four files.

    Args:
        alluredir: the results folder.
        reports: of the session, one a configuration.
        tradeoffs: of each, by task set, or why there is none; empty for no trade-offs at all.

    Returns:
        Notes on what could not be made.

    Raises:
        OSError: the folder cannot be written.
    """
    variants = dict.fromkeys(name for report in reports for name in report.variants)
    told = [_Told(report) for report in reports]
    ours: set[str] = set()
    times: list[int] = []
    for path in sorted(alluredir.glob("*-result.json")):
        result = _read(path)
        given = result.get("labels") or []
        labels = _labels(given)
        variants.update(dict.fromkeys(labels.get("variant", ())))
        tests = labels.get("nodeid", ())
        if tests:
            ours.add(str(result.get("uuid")))
            times += [time for k in ("start", "stop") if isinstance(time := result.get(k), int)]
        once = [{"name": name, "value": value} for name in labels for value in labels[name]]
        mended = [one.mend(alluredir, result, labels) for one in told if one.of(tests)]
        if any(mended) or len(once) < len(given):
            result["labels"] = once
            _replace(path, result)
    _drop_fixtures(alluredir, ours)
    start, stop = (min(times), max(times)) if times else (_now(), _now())
    for report in reports:
        found = entries.verdict(report, start)
        atomic.write_text(alluredir / f"{found['uuid']}-result.json", json.dumps(found))
    notes: tuple[str, ...] = ()
    if any(tradeoffs):
        notes = weighed.write(alluredir, tuple(zip(reports, tradeoffs, strict=True)), start, stop)
    properties = settings.environment_properties(reports)
    atomic.write_text(alluredir / "environment.properties", properties)
    atomic.write_text(alluredir / "categories.json", settings.categories_json())
    config = settings.config(sorted(variants), worst(reports))
    atomic.write_text(alluredir / settings.CONFIG_NAME, config)
    return notes


class _Told:
    """What one configuration's report adds to the results of its tests.

    Args:
        report: of the session.
    """

    def __init__(self, report: SessionReport) -> None:
        self._report = report
        self._tests = {one.test for one in report.comparisons}
        self._told: dict[str, list[str]] = {}
        self._open: set[str] = set()
        for comparison in report.comparisons:
            if comparison.outcome == "inconclusive" and report.on_inconclusive != "pass":
                self._open.add(comparison.test)
            if comparison.outcome in _TOLD:
                words = f"{_TOLD[comparison.outcome]}{sentence(comparison)}"
                self._told.setdefault(comparison.test, []).append(words)

    def of(self, tests: Iterable[str]) -> bool:
        """Whether a result of these tests is of this configuration, as all are of the only one."""
        return not self._report.configuration or not self._tests.isdisjoint(tests)

    def mend(
        self, alluredir: Path, result: dict[str, Any], labels: Mapping[str, list[str]]
    ) -> bool:
        """Put into a test's result what is known only now; whether there was anything."""
        tests = labels.get("nodeid", ())
        messages = [message for test in tests for message in self._told.get(test, ())]
        details = result.get("statusDetails") or {}
        green = result.get("status") == "passed" and not details.get("message")
        if green and messages:
            message = shown("\n".join(dict.fromkeys(messages)))
            result["statusDetails"] = {**details, "message": message}
            if self._open.intersection(tests):
                result["status"] = _UNDECIDED
        explained = _explained(alluredir, result, labels, self._report)
        return explained or (green and bool(messages))


def _explained(
    alluredir: Path,
    result: dict[str, Any],
    labels: Mapping[str, list[str]],
    report: SessionReport,
) -> bool:
    """Put the diagnosis of a variant into the result of a test that blocks it; whether it was put.

    The page is one file, whatever number of tests attach it.
    """
    if "block" not in labels.get("verdict", ()):
        return False
    named = {visible(name): one for name, one in report.diagnoses.items()}
    found = next((named[v] for v in labels.get("variant", ()) if v in named), None)
    attached = result.get("attachments") or []
    if found is None or any(str(a.get("name", "")).startswith(_DIAGNOSIS) for a in attached):
        return False
    from pytest_modellab.reports.page import diagnosis

    text = diagnosis.render(found)
    digest = hashlib.sha256(text.encode()).hexdigest()
    source = f"{uuid.UUID(digest[:32])}-attachment.html"
    if not (alluredir / source).exists():
        atomic.write_text(alluredir / source, text)
    name = shortened(visible(f"{_DIAGNOSIS}{found.headline}"), CELL)
    result["attachments"] = [*attached, {"name": name, "source": source, "type": "text/html"}]
    described = [result.get("description") or "", adapted(markdown(found))]
    result["description"] = "\n".join(described).strip()
    return True


def crashed(
    alluredir: Path,
    nodeid: str,
    message: str,
    *,
    variant: str | None = None,
    task_set: str | None = None,
    capability: str | None = None,
) -> Path:
    """Write a broken result for a test whose worker process died and so wrote none.

    Args:
        alluredir: the results folder.
        nodeid: the test's node id.
        message: what is known of the crash.
        variant: the variant under test, where known.
        task_set: the task set's name, where known.
        capability: the capability under test, where known.

    Returns:
        The file written.

    Raises:
        OSError: the folder cannot be written.
    """
    file, _, rest = nodeid.partition("::")
    head, bracket, parameters = (rest or nodeid).partition("[")
    *classes, function = head.split("::")
    module = file.removesuffix(".py").replace("/", ".")
    full_name = ".".join([module, *classes]) + f"#{function}"
    now = _now()
    labels = {
        "variant": variant,
        "task_set": task_set,
        "capability": capability,
        "nodeid": nodeid,
        "feature": variant,
        "story": capability,
        "parentSuite": module.rpartition(".")[0] or None,
        "suite": module.rpartition(".")[2],
        "subSuite": " > ".join(classes) or None,
        "package": module,
        "framework": "pytest",
        "severity": "critical",
    }
    unique = str(uuid.uuid4())
    result = {
        "uuid": unique,
        "name": f"{function}{bracket}{parameters}",
        "fullName": full_name,
        "titlePath": [*file.split("/"), *classes],
        "testCaseId": hashlib.md5(full_name.encode(), usedforsecurity=False).hexdigest(),
        "historyId": hashlib.md5(nodeid.encode(), usedforsecurity=False).hexdigest(),
        "status": "broken",
        "statusDetails": {"message": shown(message)},
        "start": now,
        "stop": now,
        "labels": [{"name": k, "value": v} for k, v in labels.items() if v is not None],
    }
    path = alluredir / f"{unique}-result.json"
    atomic.write_text(path, json.dumps(result, ensure_ascii=False))
    return path


def _drop_fixtures(alluredir: Path, ours: set[str]) -> None:
    """Remove the containers of our fixtures around our tests, unless there is something in them."""
    for path in sorted(alluredir.glob("*-container.json")):
        container = _read(path)
        steps = [*(container.get("befores") or ()), *(container.get("afters") or ())]
        children = container.get("children") or ()
        if steps and ours.issuperset(children) and all(_says_nothing(step) for step in steps):
            path.unlink(missing_ok=True)


def _says_nothing(step: Mapping[str, Any]) -> bool:
    """Whether one of our fixtures was set up or torn down without anything to tell of it."""
    name = str(step.get("name", "")).partition("::")[0]
    return (
        name in _FIXTURES
        and step.get("status", "passed") == "passed"
        and not any(value for key, value in step.items() if key not in _PLAIN)
    )


def _replace(path: Path, result: Mapping[str, Any]) -> None:
    """As atomic.write_text without waiting for the disk, which thousands of results would not."""
    part = atomic.beside(path)
    with atomic.new_file(part) as file:
        file.write(json.dumps(result, ensure_ascii=False))
    part.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}  # half a file of a killed process; Allure skips it too
    return data if isinstance(data, dict) else {}


def _labels(given: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in given:
        found.setdefault(one.get("name", ""), []).append(str(one.get("value", "")))
    return {name: list(dict.fromkeys(values)) for name, values in found.items()}


def _now() -> int:
    return round(time.time() * 1000)
