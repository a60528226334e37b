"""A block that a marker, a plugin or the test itself turned into a success."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.lab.settings import Settings

BLOCKS: pytest.StashKey[dict[str, str]] = pytest.StashKey()
"""Of a test, what must fail it: the comparison as JSON → in words.

Those of an earlier attempt stay: the same answers give the same verdict, so that a later pass is no
reason to forget them. Times are measured anew in each attempt: the last that were measured count.
"""

TIMED: pytest.StashKey[list[str]] = pytest.StashKey()
"""Of a test, the comparisons of times in all its attempts, as JSON."""


def keep(item: pytest.Item, comparison: Comparison, settings: Settings) -> None:
    """Keep what must fail its test: a block, and an inconclusive verdict where that fails."""
    if comparison.timed:
        timed = item.stash.setdefault(TIMED, [])
        for earlier in timed:
            item.stash.get(BLOCKS, {}).pop(earlier, None)
        timed.append(comparison.to_json())
    fails = settings.on_inconclusive == "fail" and not settings.update
    if comparison.outcome == "block" or (comparison.outcome == "inconclusive" and fails):
        from pytest_modellab.reports.session import falls
        from pytest_modellab.reports.words import listed

        verdict = "blocks" if comparison.outcome == "block" else "is inconclusive"
        what = listed(falls(comparison, several=False))
        words = f"{comparison.candidate} on {comparison.task_set} {verdict} ({what})"
        item.stash.setdefault(BLOCKS, {})[comparison.to_json()] = words


def sent(
    item: pytest.Item, report: pytest.TestReport, judged: list[str], *, raised: bool
) -> dict[str, list[str]]:
    """What goes along with a test's report of what must fail it, and of what counts no longer.

    Empty where there is nothing. A report that had to fail and did not is made a failure, so that
    pytest's counts, JUnit XML and Allure say what the exit code says.

    Args:
        item: the test.
        report: its own, of this attempt.
        judged: its comparisons, as JSON, in this attempt.
        raised: whether the test ended with the verdict.
    """
    kept = item.stash.get(BLOCKS, {})
    superseded = item.stash.get(TIMED, [])[:-1]
    sent = {"superseded": superseded} if superseded else {}
    if not kept:
        return sent
    again = not any(text in kept for text in judged)
    found = {"blocks": list(kept.values()), "raised": raised, "again": again, "how": ""}
    if not report.failed:
        found["how"] = _how(report, found)
        if not raised:  # else it says already what was found
            report.longrepr = _words(found)
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)
    return {
        **sent,
        "comparisons": list(dict.fromkeys([*kept, *judged])),
        "must_fail": [json.dumps(found)],
    }


class Swallowed:
    """Finds the tests that did not fail though they had to; it runs where reports arrive."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def take(self, report: pytest.TestReport, texts: list[str]) -> None:
        """Look at a test's report; the one of its last attempt counts."""
        self._found.pop(report.nodeid, None)
        for text in texts:
            found = json.loads(text)
            if report.outcome != "failed":  # a plugin has changed it since
                found["how"] = found["how"] or _how(report, found)
            if found["how"]:
                self._found[report.nodeid] = f"{report.nodeid}: {_words(found)}"

    @property
    def lines(self) -> tuple[str, ...]:
        """One a test: which, what it found, and what made it a success."""
        return tuple(self._found.values())


def _words(found: dict[str, Any]) -> str:
    from pytest_modellab.reports.words import listed

    return (
        f"{listed(found['blocks'])}, and {found['how']} made that a success; a verdict that must "
        "fail its test fails the session"
    )


def _how(report: pytest.TestReport, found: dict[str, Any]) -> str:
    if hasattr(report, "wasxfail"):
        return "xfail"
    if found["again"] or str(report.outcome) == "rerun":
        return "a rerun"
    if report.outcome == "skipped":
        return "a skip"
    return "a plugin" if found["raised"] else "the test, which caught it,"
