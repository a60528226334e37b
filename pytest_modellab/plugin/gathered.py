"""What the tests of one configuration found, gathered for its reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_modellab.plugin import bar
from pytest_modellab.plugin.swallowed import Swallowed

if TYPE_CHECKING:
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.plugin.projects import Project
    from pytest_modellab.plugin.unjudged import Unjudged
    from pytest_modellab.reports.session import SessionReport, TestError
    from pytest_modellab.tradeoff.figures import TradeOff


class Gathered:
    """What one project's tests reported, in the process that is no xdist worker.

    Args:
        project: whose they are.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._assertions = 0
        self._findings: dict[str, list[str]] = {
            kind: [] for kind in ("comparisons", "runs", "errors", "diagnoses")
        }
        self._notes: list[str] = []
        self._swallowed = Swallowed()
        self._weighed: dict[str, TradeOff | str] | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to report but notes."""
        return any(self._findings.values())

    @property
    def swallowed(self) -> bool:
        """Whether a test passed that had to fail."""
        return bool(self._swallowed.lines)

    @property
    def notes(self) -> Sequence[str]:
        """What is said of the whole, so far."""
        return self._notes

    def note(self, said: Iterable[str]) -> None:
        """Keep what is said of the whole, once."""
        self._notes += [note for note in dict.fromkeys(said) if note not in self._notes]

    def take(self, report: pytest.TestReport) -> None:
        """Take what a test's report carries."""
        self.note(getattr(report, "modellab_notes", ()))
        text = getattr(report, "modellab", None)
        if text is None:
            return
        found = json.loads(text)
        self._assertions = int(found.pop("assertions")[0])
        self._swallowed.take(report, found.pop("must_fail", []))
        superseded = found.pop("superseded", ())
        for kind, texts in found.items():
            self._findings[kind] += texts
        for text in superseded:
            if text in self._findings["comparisons"]:
                self._findings["comparisons"].remove(text)

    def crashed(self, test: str, variant: str | None, message: str) -> None:
        """Keep an xdist worker's death as an error of the test that it was running."""
        error = {"test": test, "variant": variant, "message": message, "kind": "Crash"}
        self._findings["errors"].append(json.dumps(error))

    def conclude(self, complete: bool, unjudged: Unjudged) -> None:
        """Note what is to be said of a session that has ended.

        Args:
            complete: whether all tests reported.
            unjudged: knows what nothing judged.
        """
        self.note(self._swallowed.lines)
        self.note(unjudged.lines(self.project, complete, self._found))
        self.note(bar.lines(self.project.declared) if self else ())
        if self._findings["comparisons"]:
            from pytest_modellab.reports import at_zero, few, in_words

            report = self.report()
            comparisons = report.comparisons
            if self.project.settings.on_inconclusive != "pass":
                self.note(few.notes(comparisons))
            self.note(at_zero.notes(comparisons))
            self.note(in_words.notes(report.runs))

    def tradeoffs(self) -> Mapping[str, TradeOff | str]:
        """The trade-off on each task set that was judged, or why there is none; runs no model."""
        from pytest_modellab.errors import ModellabError
        from pytest_modellab.lab.survey import survey

        if self._weighed is not None:
            return self._weighed
        report = self.report()
        found = self._weighed = {}
        for task_set in report.task_sets:
            try:
                lab = self.project.lab
                ran = {run.variant for run in report.runs if run.task_set == task_set}
                names = [
                    name
                    for name in lab.config.variants
                    if name in ran or lab.baseline_path(name, task_set).exists()
                ]
                found[task_set] = survey(lab, task_set, variants=names, stored=True)
            except (ModellabError, AssertionError, OSError, pytest.UsageError) as error:
                found[task_set] = str(error)
        return found

    def track(self) -> str | None:
        """Log the session where the configuration says so; a note where that was not possible."""
        mlflow = self.project.declared.mlflow
        if mlflow is None or not self:
            return None
        from pytest_modellab.reports.tracking import log

        found = {name: t for name, t in self.tradeoffs().items() if not isinstance(t, str)}
        return log.log_session(mlflow, self.report(), found)

    def report(
        self, *, complete: bool = True, unwritten: Iterable[str] = (), several: bool = False
    ) -> SessionReport:
        """All of it.

        Args:
            complete: whether all tests of the session reported.
            unwritten: what could not be written.
            several: whether the session has other configurations, so that this one is named.
        """
        from pytest_modellab.config.find import named
        from pytest_modellab.judging.comparison import Comparison
        from pytest_modellab.records import diagnosed
        from pytest_modellab.records.runs import RunSummary
        from pytest_modellab.reports.session import Called, SessionReport, TestError

        diagnoses = [diagnosed.from_json(text) for text in self._findings["diagnoses"]]
        # one test's verdict may arrive with the report of each of its attempts
        found = {kind: list(dict.fromkeys(texts)) for kind, texts in self._findings.items()}
        settings = self.project.settings
        return SessionReport(
            runs=tuple(RunSummary.from_json(text) for text in found["runs"]),
            comparisons=tuple(Comparison.from_json(text) for text in found["comparisons"]),
            errors=tuple(TestError(**json.loads(text)) for text in found["errors"]),
            alpha=settings.alpha,
            assertions=self._assertions,
            on_inconclusive=settings.on_inconclusive,
            complete=complete,
            notes=(*self._notes, *unwritten),
            diagnoses={found.candidate.name: found for found in diagnoses},
            configuration=self.project.name if several else "",
            called=Called(named(self.project.declared.path), self.project.from_here),
        )

    def _found(self) -> tuple[Sequence[Comparison], Sequence[TestError]]:
        """What was compared and what failed; nothing is imported where there is none."""
        if not self:
            return (), ()
        report = self.report()
        return report.comparisons, report.errors
