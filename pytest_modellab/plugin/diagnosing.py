"""A blocked variant is diagnosed once, while its first block is reported; no verdict depends on it.

What it found goes into the failing test's message and the session's report; what went wrong, or
was left out, is a note.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_modellab.plugin.options import DIAGNOSE, choice, seconds
from pytest_modellab.plugin.projects import Project, project_of

if TYPE_CHECKING:
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.pair import Asked, Pair
    from pytest_modellab.records.diagnosis import Diagnosis

DIAGNOSER: pytest.StashKey[Diagnoser] = pytest.StashKey()

BUDGET = 120.0
"""Seconds that all diagnoses of a session take together unless something else is asked for."""


_ERRORS = (Exception, SystemExit, pytest.fail.Exception, pytest.skip.Exception)  # none ends a test


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one variant's diagnosis.

    Attributes:
        diagnosis: what was found, or None.
        lines: what a failing test's message ends with.
        notes: what is said of it in the report.
    """

    diagnosis: Diagnosis | None = None
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Diagnoser:
    """Diagnoses the blocked variants of this process.

    Args:
        mode: ``auto``, ``off`` or ``always``.
        budget: seconds for all of them.
    """

    def __init__(self, mode: str, budget: float) -> None:
        self._mode = mode
        self._left = budget
        self._known: dict[tuple[Project, str], Outcome] = {}

    def of(self, project: Project, blocked: Sequence[Comparison]) -> tuple[Outcome, bool]:
        """Return what is known of a blocked variant, and whether it was found out just now.

        Args:
            project: whose test it is.
            blocked: what one test found.

        Raises:
            KeyboardInterrupt: the user has had enough; nothing is kept.
        """
        asked = [one for one in blocked if one.outcome == "block" and not one.timed]
        if self._mode == "off" or not asked:
            return Outcome(), False
        variant = asked[0].candidate
        key = project, variant
        if new := key not in self._known:
            start = time.monotonic()
            try:
                self._known[key] = self._diagnosed(project, asked[0])
            except _ERRORS as error:  # the verdict stands
                why = " ".join(str(error).split()) or type(error).__name__
                self._known[key] = Outcome(notes=(f"{variant} was not diagnosed: {why}",))
            finally:
                self._left -= time.monotonic() - start
        return self._known[key], new

    def _diagnosed(self, project: Project, blocked: Comparison) -> Outcome:
        from pytest_modellab.lab import diagnosing, examining

        lab, name = project.lab, blocked.candidate
        reference = _reference(blocked, lab)
        alone = reference in (None, name) and lab.spec(name).base is None
        if alone and self._mode != "always":  # nothing to compare it with, and nobody asked
            return Outcome()
        pair = examining.pair(lab, name, reference)
        diagnosing.check(pair)
        asked = examining.asked(lab, pair, blocked.task_set)
        limits = diagnosing.Limits(self._left, reuse=lab.settings.reuse, strict=True)
        if self._mode == "always":
            limits = dataclasses.replace(limits, seconds=None, strict=False)
        elif lab.settings.reuse is False or lab.diagnosing.stored(pair, asked) is None:
            needed = examining.seconds(lab, pair, asked)
            if needed > self._left:
                return Outcome(notes=(self._skipped(name, needed, _command(project, pair, asked)),))
        found = lab.diagnosing.examine(pair, asked, limits).diagnosis
        return Outcome(found, _lines(found, name, _command(project, pair, asked)))

    def _skipped(self, name: str, needed: float, command: str) -> str:
        return (
            f"{name} was not diagnosed: it takes about {max(1.0, needed):.0f} s and "
            f"{max(0.0, self._left):.0f} s of --modellab-diagnose-budget are left; {command}"
        )


def _lines(found: Diagnosis, name: str, command: str) -> tuple[str, ...]:
    from pytest_modellab.reports import diagnosed

    said, files = "pictures, and what reproduces it elsewhere", ""
    if found.blame is not None:
        said = "part by part"
    else:
        files = f" --html {name}.html --bundle {name}.zip"
    return diagnosed.one_line(found), f"{said}: {command}{files}"


def _command(project: Project, pair: Pair, asked: Asked) -> str:
    from pytest_modellab.config.find import named

    on = "" if asked.task_set is None else f" --task-set {asked.task_set.name}"
    where = named(project.declared.path)
    return f"modellab diagnose {pair.base.name} {pair.candidate.name}{on}{where}"


def diagnoser_of(config: pytest.Config) -> Diagnoser:
    """Return the session's diagnoser, made when it is first asked for."""
    if DIAGNOSER not in config.stash:
        budget = seconds(config, "diagnose-budget")
        config.stash[DIAGNOSER] = Diagnoser(
            choice(config, "diagnose", DIAGNOSE),
            BUDGET if budget is None else budget,
        )
    return config.stash[DIAGNOSER]


def explain(item: pytest.Item, call: pytest.CallInfo[None], texts: Sequence[str]) -> Outcome:
    """Diagnose what a test blocked, and let its error say so, before it is reported.

    Args:
        item: the test.
        call: as it ended.
        texts: its comparisons, as JSON.

    Returns:
        What the report is told: the diagnosis where it was made just now, and notes.
    """
    if not texts:
        return Outcome()
    from pytest_modellab.errors import FloorViolated, RegressionDetected
    from pytest_modellab.judging.comparison import Comparison

    try:
        judged = [Comparison.from_json(text) for text in texts]
        found, new = diagnoser_of(item.config).of(project_of(item), judged)
    except KeyboardInterrupt:
        # the block is still reported; then the session ends as one that was interrupted
        item.session.shouldstop = "interrupted while a blocked variant was diagnosed"
        return Outcome(notes=("a diagnosis was interrupted; nothing of it is kept",))
    if found.diagnosis is not None:
        from pytest_modellab.reports import diagnosed

        said = diagnosed.properties(found.diagnosis)  # already there when a test is run again
        item.user_properties.extend(one for one in said if one not in item.user_properties)
    raised = call.excinfo
    verdicts = (FloorViolated, RegressionDetected)
    if found.lines and raised is not None and raised.errisinstance(verdicts) and raised.value.args:
        message = "\n".join([str(raised.value.args[0]).rstrip("\n"), *found.lines])
        raised.value.args = (message, *raised.value.args[1:])
    return found if new else Outcome()


def _reference(blocked: Comparison, lab: Lab) -> str | None:
    """The variant whose accepted run was compared with, where it is another one."""
    named = blocked.against.removeprefix("baseline of ")
    return named if named in lab.config.variants else None


def sent(outcome: Outcome) -> dict[str, list[str]]:
    """What travels with a test's report; empty where there is nothing."""
    from pytest_modellab.records import diagnosed

    if outcome.diagnosis is None:
        return {}
    return {"diagnoses": [diagnosed.to_json(outcome.diagnosis)]}
