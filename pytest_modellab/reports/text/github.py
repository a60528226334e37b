"""What a GitHub Actions run shows at the tests: pure functions of the session's report.

The collector knows where the tests stand, and writes the step's summary.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.asked import BY_TEST
from pytest_modellab.reports import diagnosed
from pytest_modellab.reports.session import SessionReport, TestError
from pytest_modellab.reports.text.table import sentence, title
from pytest_modellab.reports.words import plural
from pytest_modellab.visible import CELL, message, shortened, visible

MOST_ANNOTATIONS = 10
"""GitHub shows no more errors, and no more warnings, of one step."""


SUMMARY_BYTES = 1024 * 1024
"""A step whose summary is larger has none."""


_LONGEST = 2000  # characters of an error's message; the log has all of it


Level = Literal["error", "warning"]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a test stands: its file, starting from the repository, and its line, from 1."""

    file: str
    line: int


def place(file: str, line: int | None, *, root: str, workspace: str | None) -> Place:
    """Return where GitHub finds a test.

    Args:
        file: the test's file, starting from pytest's root.
        line: its line, from 0, or None where pytest knows none.
        root: pytest's root.
        workspace: where the repository was checked out, or None where that is not known.

    Returns:
        The file as GitHub names it; as pytest does where it lies outside the repository.
    """
    if workspace:
        relative = os.path.relpath(Path(root, file), workspace)
        if relative != os.pardir and not relative.startswith(os.pardir + os.sep):
            file = relative
    return Place(file.replace(os.sep, "/"), (line or 0) + 1)


def annotate(report: SessionReport, places: Mapping[str, Place]) -> list[str]:
    """Workflow commands, one a line, that mark the tests which block, failed or are undecided.

    Args:
        report: the session.
        places: where the tests stand, by node id.

    Returns:
        At most ten errors and as many warnings, one a test; where there are more, the last one
        counts the rest.
    """
    errors: dict[str, tuple[str, str]] = {}
    warnings: dict[str, tuple[str, str]] = {}
    # what a test sets is reviewed with it; what an option sets is seen nowhere else
    if overridden := [str(one) for one in report.overrides if one.by != BY_TEST]:
        warnings[""] = ("rules overridden", "; ".join(overridden))
    for comparison in report.comparisons:
        if comparison.outcome == "block":
            name, text = _judged(comparison)
            why = report.diagnoses.get(comparison.candidate)
            if why is not None:
                text = f"{text}\n{diagnosed.one_line(why)}"
            errors.setdefault(comparison.test, (name, text))
        elif comparison.outcome == "accepted":
            warnings.setdefault(comparison.test, _judged(comparison))
    for error in report.errors:
        errors.setdefault(error.test, _failed(error))
    if report.on_inconclusive != "pass":
        found = errors if report.on_inconclusive == "fail" else warnings
        for comparison in report.comparisons:
            if comparison.verdict == "inconclusive" and comparison.test not in errors:
                found.setdefault(comparison.test, _judged(comparison))
    return [*_commands("error", errors, places), *_commands("warning", warnings, places)]


def command(level: Level, text: str, properties: Mapping[str, str]) -> str:
    """One workflow command: ``::error file=a.py,line=3,title=T::message``.

    Args:
        level: ``error`` or ``warning``.
        text: what is shown; may have several lines.
        properties: ``file``, ``line`` and ``title``.
    """
    given = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {given}::{_data(message(text))}"


def _judged(comparison: Comparison) -> tuple[str, str]:
    said = [*map(str, comparison.preprocessing), sentence(comparison)]
    return title(comparison), "\n".join(said)


def _failed(error: TestError) -> tuple[str, str]:
    text = shortened(error.message.strip() or error.kind, _LONGEST)
    return f"{error.variant or error.test}: no verdict", text


def _commands(
    level: Level, found: Mapping[str, tuple[str, str]], places: Mapping[str, Place]
) -> Iterable[str]:
    shown = list(found.items())
    rest = shown[MOST_ANNOTATIONS - 1 :] if len(shown) > MOST_ANNOTATIONS else []
    for test, (name, text) in shown[: len(shown) - len(rest)]:
        at = places.get(test)
        where = {} if at is None else {"file": at.file, "line": str(at.line)}
        yield command(level, text, {**where, "title": f"modellab: {name}"})
    if rest:
        what = "did not pass" if level == "error" else "could not be settled"
        yield command(
            level,
            f"{plural(len(rest), 'more test')} {what}, which GitHub would not show; the step's "
            "summary has them all",
            {"title": f"modellab: {len(rest)} more"},
        )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(visible(shortened(text, CELL))).replace(":", "%3A").replace(",", "%2C")
