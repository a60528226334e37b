"""An undecided test is seen: a letter, a word and a count of its own in pytest's output.

Its outcome stays ``passed``, which is what exit codes, ``--lf``, JUnit XML and other plugins ask
for; where an inconclusive verdict fails its test, it is a failure as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.lab.settings import Settings

INCONCLUSIVE = "inconclusive"
"""The category of pytest's summary line: ``3 passed, 2 inconclusive``."""


LETTER = "?"


_SENT = "modellab_undecided"
"""The report's attribute, which travels with it across xdist."""


_MARKUP = {"yellow": True}


_UNDECIDED: pytest.StashKey[str] = pytest.StashKey()
"""Of a test, in this attempt: why its verdict is open; empty where it is not, or may go unseen."""


def begin(item: pytest.Item) -> None:
    """Forget what an earlier attempt of a test left open."""
    item.stash[_UNDECIDED] = ""


def keep(item: pytest.Item, comparison: Comparison, settings: Settings) -> None:
    """Keep why a test's verdict is open, unless the session lets that pass unseen."""
    if comparison.outcome == INCONCLUSIVE and settings.on_inconclusive != "pass":
        from pytest_modellab.reports.text.table import reason
        from pytest_modellab.visible import CELL, line

        item.stash[_UNDECIDED] = line(reason(comparison), CELL)


def send(item: pytest.Item, report: pytest.TestReport) -> None:
    """Let a report that passed tell why its verdict is open."""
    why = item.stash.get(_UNDECIDED, "")
    if why and report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
        vars(report)[_SENT] = why


def why_undecided(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why the verdict of a test that passed is open; empty where it is not."""
    if report.outcome != "passed" or hasattr(report, "wasxfail"):  # a plugin has changed it since
        return ""
    why = getattr(report, _SENT, "")
    return why if isinstance(why, str) else ""


@pytest.hookimpl(tryfirst=True)  # else pytest's own calls it passed
def pytest_report_teststatus(
    report: pytest.TestReport | pytest.CollectReport,
) -> tuple[str, str, tuple[str, Mapping[str, bool]]] | None:
    """Name an undecided test by a letter and a word of its own."""
    if not why_undecided(report):
        return None
    return INCONCLUSIVE, LETTER, (INCONCLUSIVE.upper(), _MARKUP)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the undecided tests where ``-ra``, ``-rA`` or ``-r?`` asks for a list.

    pytest's own list knows its own categories alone.
    """
    asked = terminalreporter.config.option.reportchars or ""
    reports = terminalreporter.getreports(INCONCLUSIVE)
    if not reports or not {"a", "A", LETTER}.intersection(asked):
        return
    terminalreporter.section(f"{INCONCLUSIVE} tests")
    for report in reports:
        text = f"{INCONCLUSIVE.upper()} {report.nodeid} - {why_undecided(report)}"
        terminalreporter.write_line(text, yellow=True)
