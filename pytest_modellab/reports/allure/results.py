"""Allure results: labels and two attachments a comparison, and what the whole session adds.

Both Allure 2 and Allure 3 read the results folder. allure-pytest is optional: nothing of it is
imported before :func:`label` or :func:`attach` runs inside a test that it listens to.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab import atomic
from pytest_modellab.comparison import Comparison
from pytest_modellab.reports.session import SessionReport, SessionVerdict, number, subject
from pytest_modellab.reports.table import (
    clip,
    column_names,
    escape,
    flip_count,
    flip_scores,
    render_text,
    sentence,
    visible,
)

CONFIG_NAME = "allurerc.mjs"
"""Allure 3's configuration: JavaScript, since environments are matched by a function."""

_OUTPUT = 400

# name, statuses, exception of our own or None. First match wins in Allure 3; the spelling of the
# pattern suits Java's full match (Allure 2) and JavaScript's search (Allure 3).
_CATEGORIES: tuple[tuple[str, tuple[str, ...], str | None], ...] = (
    ("regression", ("failed",), "RegressionDetected"),
    ("floor", ("failed",), "FloorViolated"),
    ("inconclusive", ("failed", "passed"), "VerdictInconclusive"),
    ("missing baseline", ("failed",), "BaselineMissing"),
    ("infrastructure", ("broken",), None),
)


def label_test(
    nodeid: str, *, variant: str, kind: str, task_set: str, capability: str | None = None
) -> None:
    """Label the running test with what it is about to judge, so that its errors are grouped too.

    Args:
        nodeid: the test's node id; the session's report is matched by it.
        variant: the variant under test.
        kind: its kind.
        task_set: the task set's name.
        capability: the capability under test, None for all samples or buckets.
    """
    import allure

    for name, value in (
        ("nodeid", nodeid),
        ("variant", variant),
        ("kind", kind),
        ("task_set", task_set),
        ("capability", capability),
    ):
        if value is not None:
            allure.dynamic.label(name, value)
    allure.dynamic.feature(variant)
    if capability is not None:
        allure.dynamic.story(capability)


def label(comparison: Comparison) -> None:
    """Label the running test with what it judged and the verdict.

    Labels that a test gets twice, for example from :func:`label_test` or from two comparisons, are
    made one by :func:`write_session`.

    Args:
        comparison: what the test judged.
    """
    import allure

    label_test(
        comparison.test,
        variant=comparison.candidate,
        kind=comparison.kind,
        task_set=comparison.task_set,
        capability=comparison.capability,
    )
    if comparison.capability is None:
        allure.dynamic.story(subject(comparison))
    allure.dynamic.label("verdict", comparison.verdict)
    broad = comparison.capability is None
    allure.dynamic.severity(
        allure.severity_level.CRITICAL if broad else allure.severity_level.NORMAL
    )


def attach(comparison: Comparison) -> None:
    """Attach the table, and the flipped samples if there are any, to the running test.

    Plain text and CSV, since both Allures show them in full and CSV as a table; the preview of an
    HTML or Markdown attachment is a few lines high in a report that is opened from disk.

    Args:
        comparison: what the test judged.
    """
    import allure

    against = f"{subject(comparison)} against {comparison.against}"
    allure.attach(
        render_text(comparison, max_flips=0),
        name=f"{comparison.verdict.upper()}: {against}",
        attachment_type=allure.attachment_type.TEXT,
    )
    if comparison.flips:
        allure.attach(
            flips_csv(comparison),
            name=f"{flip_count(comparison, len(comparison.flips))}: {against}",
            attachment_type=allure.attachment_type.CSV,
        )


def flips_csv(comparison: Comparison) -> str:
    """The flipped samples with both outputs side by side; every one, long outputs cut."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["sample", "bucket", "score", *column_names(comparison)])
    for flip in comparison.flips:
        writer.writerow(
            [
                flip.id,
                flip.bucket.removeprefix(f"{comparison.capability}/"),
                flip_scores(flip),
                _output(flip.before_output),
                _output(flip.after_output),
            ]
        )
    return file.getvalue()


def write_session(alluredir: Path, report: SessionReport) -> None:
    """Write what Allure shows of the whole session beside the results.

    Called once, by the process that controls the run, after the last result was written. Tests that
    are green although their verdict is inconclusive get a status message, so that a category can
    show them: allure-pytest writes none for a passed test. Their description says it too, since
    Allure 3 shows no message of a passed test.

    Args:
        alluredir: the results folder.
        report: the session.

    Raises:
        OSError: the folder cannot be written.
    """
    variants = dict.fromkeys(report.variants)
    undecided: dict[str, list[str]] = {}
    for comparison in report.comparisons:
        if comparison.verdict == "inconclusive":
            undecided.setdefault(comparison.test, []).append(sentence(comparison))
    for path in sorted(alluredir.glob("*-result.json")):
        result = _read(path)
        given = result.get("labels") or []
        labels = _labels(given)
        variants.update(dict.fromkeys(labels.get("variant", ())))
        messages = [m for test in labels.get("nodeid", ()) for m in undecided.get(test, ())]
        details = result.get("statusDetails") or {}
        once = [{"name": name, "value": value} for name in labels for value in labels[name]]
        green = result.get("status") == "passed" and not details.get("message")
        if green and messages:
            message = "\n".join(dict.fromkeys(messages))
            result["statusDetails"] = {**details, "message": f"VerdictInconclusive: {message}"}
            result["description"] = "\n\n".join(
                [*(escape(m) for m in message.split("\n")), result.get("description") or ""]
            ).strip()
        if (green and messages) or len(once) < len(given):
            result["labels"] = once
            atomic.write_text(path, json.dumps(result, ensure_ascii=False))
    atomic.write_text(alluredir / "environment.properties", environment_properties(report))
    atomic.write_text(alluredir / "categories.json", categories_json())
    atomic.write_text(alluredir / CONFIG_NAME, config(sorted(variants), report.verdict))


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
    now = round(time.time() * 1000)
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
        "statusDetails": {"message": message},
        "start": now,
        "stop": now,
        "labels": [{"name": k, "value": v} for k, v in labels.items() if v is not None],
    }
    path = alluredir / f"{unique}-result.json"
    atomic.write_text(path, json.dumps(result, ensure_ascii=False))
    return path


def environment_properties(report: SessionReport) -> str:
    """The runs' environment and the gate's settings, as a Java properties file."""
    values: dict[str, dict[str, None]] = {}
    for run in report.runs:
        for key, value in run.environment.items():
            if isinstance(value, str | int | float):
                values.setdefault(key, {})[str(value)] = None
    shown = {key: ", ".join(sorted(found)) for key, found in values.items()}
    shown["verdict"] = report.verdict
    shown["alpha"] = number(report.alpha)
    shown["assertions"] = str(report.assertions)
    shown["on_inconclusive"] = report.on_inconclusive
    return "".join(
        f"{_property(k, key=True)} = {_property(v, key=False)}\n" for k, v in sorted(shown.items())
    )


def categories_json() -> str:
    """Categories for Allure 2."""
    rules = []
    for name, statuses, error in _CATEGORIES:
        rule: dict[str, Any] = {"name": name, "matchedStatuses": list(statuses)}
        if error is not None:
            rule["messageRegex"] = _pattern(error)
        rules.append(rule)
    return json.dumps(rules, indent=1) + "\n"


def config(variants: Iterable[str], verdict: SessionVerdict) -> str:
    """Configuration for Allure 3: one environment a variant, categories, a single file."""
    taken: set[str] = set()
    environments = []
    for variant in variants:
        key = stem = re.sub(r"[^A-Za-z0-9_-]", "-", variant)[:60] or "variant"
        count = 1
        while key in taken:
            count += 1
            key = f"{stem}-{count}"
        taken.add(key)
        environments.append(
            f"    {json.dumps(key)}: {{ name: {json.dumps(variant[:64])}, "
            f"matcher: isVariant({json.dumps(variant)}) }},"
        )
    rules = []
    for name, statuses, error in _CATEGORIES:
        matcher: dict[str, Any] = {"statuses": list(statuses)}
        if error is not None:
            matcher["message"] = _pattern(error)
        rule = {
            "name": name,
            "matchers": [matcher],
            "groupBy": [{"label": "variant"}],
            "groupByMessage": False,
            "groupEnvironments": False,
            "expand": True,
        }
        rules.append(f"    {json.dumps(rule)},")
    return "\n".join(
        [
            "// Written by pytest-modellab; rewritten by every run.",
            "const isVariant = (variant) => ({ labels }) =>",
            '  labels.some(({ name, value }) => name === "variant" && value === variant);',
            "",
            "export default {",
            f'  name: "Model gate: {verdict.upper()}",',
            "  environments: {",
            *environments,
            "  },",
            "  categories: [",
            *rules,
            "  ],",
            "  plugins: {",
            "    awesome: {",
            '      options: { singleFile: true, reportLanguage: "en", groupBy: ["task_set"] },',
            "    },",
            "  },",
            "};",
            "",
        ]
    )


def _pattern(error: str) -> str:
    return rf"[\s\S]*\b{error}\b[\s\S]*"


def _property(text: str, *, key: bool) -> str:
    special = r"[\\=:#! ]" if key else r"\\"
    escaped = re.sub(special, lambda found: f"\\{found[0]}", visible(text))
    return re.sub(r"[^ -~]", lambda found: f"\\u{ord(found[0]):04x}", escaped)


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


def _output(text: str) -> str:
    lines = "\n".join(visible(line) for line in text.splitlines())
    return clip(lines, _OUTPUT) if lines.strip() else "(empty)"
