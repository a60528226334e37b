"""What Allure is told beside the results: categories, environments, where the history is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.reports.session import SessionReport, SessionVerdict
from pytest_modellab.reports.words import number
from pytest_modellab.visible import visible

CONFIG_NAME = "allurerc.mjs"
"""Allure 3's configuration: JavaScript, since environments are matched by a function."""


VERDICT = "Verdict"
"""The feature, suite and environment of the entry that says what the session found."""


RECOMMENDATION = "Recommendation"
"""The feature, suite and environment of the tests that hold a trade-off."""


TITLE = "Model gate"
"""Begins the report's title, and the message of the entry with the verdict."""


# name, statuses, what the message has (an exception of our own), or None. First match wins in
# Allure 3; the spelling of the pattern suits Java's full match (Allure 2) and JavaScript's search
# (Allure 3).
_CATEGORIES: tuple[tuple[str, tuple[str, ...], str | None], ...] = (
    ("verdict", ("failed", "broken", "unknown"), TITLE),
    ("regression", ("failed",), "RegressionDetected"),
    ("floor", ("failed",), "FloorViolated"),
    ("inconclusive", ("failed", "unknown", "passed"), "VerdictInconclusive"),
    ("missing baseline", ("failed",), "BaselineMissing"),
    ("infrastructure", ("broken",), None),
)


_REPORTS = 30  # in the history, which holds every test of each


def history_path(alluredir: Path) -> Path:
    """Where Allure 3 keeps the history: beside the folder, so that --clean-alluredir spares it."""
    folder = alluredir.resolve()
    return folder.with_name(f"{folder.name}-history.jsonl")


def environment_properties(reports: Sequence[SessionReport]) -> str:
    """The runs' environment and the gate's settings, as a Java properties file."""
    values: dict[str, dict[str, None]] = {}
    for report in reports:
        of = f" of {report.configuration}" if report.configuration else ""
        for run in report.runs:
            for key, value in run.environment.items():
                if isinstance(value, str | int | float):
                    values.setdefault(key, {})[str(value)] = None
        for key, text in (
            ("verdict", report.verdict),
            ("alpha", number(report.alpha)),
            ("assertions", str(report.assertions)),
            ("on_inconclusive", report.on_inconclusive),
            ("overridden", "; ".join(map(str, report.overrides))),
        ):
            if text:
                values[f"{key}{of}"] = {text: None}
    shown = {key: ", ".join(sorted(found)) for key, found in values.items()}
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
    """Configuration for Allure 3: one environment a variant, categories, history, a single file."""
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
            'import { basename, dirname, join } from "node:path";',
            'import { fileURLToPath } from "node:url";',
            "",
            "const results = dirname(fileURLToPath(import.meta.url));",
            "const has = (label, value) => ({ labels }) =>",
            "  labels.some((one) => one.name === label && one.value === value);",
            "",
            "export default {",
            f'  name: "{TITLE}: {verdict.upper()}",',
            "  // beside the results, so that --clean-alluredir spares it",
            "  historyPath: join(dirname(results), `${basename(results)}-history.jsonl`),",
            "  appendHistory: true,",
            f"  historyLimit: {_REPORTS},",
            "  environments: {",
            *_environments(variants),
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


def _environments(variants: Iterable[str]) -> list[str]:
    taken: set[str] = set()
    lines = []
    ours = [("feature", VERDICT), ("feature", RECOMMENDATION)]
    wanted = [*ours, *(("variant", variant) for variant in variants)]
    for label, value in wanted:
        key = stem = re.sub(r"[^A-Za-z0-9_-]", "-", value)[:60] or "variant"
        count = 1
        while key in taken:
            count += 1
            key = f"{stem}-{count}"
        taken.add(key)
        lines.append(
            f"    {json.dumps(key)}: {{ name: {json.dumps(value[:64])}, "
            f"matcher: has({json.dumps(label)}, {json.dumps(value)}) }},"
        )
    return lines


def _pattern(error: str) -> str:
    return rf"[\s\S]*\b{error}\b[\s\S]*"


def _property(text: str, *, key: bool) -> str:
    special = r"[\\=:#! ]" if key else r"\\"
    escaped = re.sub(special, lambda found: f"\\{found[0]}", visible(text))
    return re.sub(r"[^ -~]", lambda found: f"\\u{ord(found[0]):04x}", escaped)
