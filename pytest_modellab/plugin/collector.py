"""What the controlling process does: gather every test's findings and write the reports."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_modellab.plugin.failing import printed
from pytest_modellab.plugin.nodeids import variant_of
from pytest_modellab.plugin.notes import NOTES
from pytest_modellab.plugin.swallowed import Swallowed

if TYPE_CHECKING:
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.records.declared import MlflowConfig
    from pytest_modellab.reports.session import SessionReport, TestError
    from pytest_modellab.tradeoff.figures import TradeOff

    Found = tuple[Sequence[Comparison], Sequence[TestError]]


class Collector:
    """Plugin of the process that is no xdist worker.

    Args:
        config: the session's.
        variants: names of the declared variants.
        settings: what the user asked for.
        lab: makes or returns the session's lab; called where a report needs runs.
        json_path: where to write the report as JSON, or None.
        markdown_path: where to write it as Markdown, or None.
        github: whether a GitHub Actions run gets annotations and a step summary.
        mlflow: where the session is logged, or None.
        bar: says what decides less strictly than it did; asked where something was judged.
        unjudged: says what nothing judged, from whether the session completed and from what it
            found, which is asked for only where it is needed.
    """

    def __init__(
        self,
        config: pytest.Config,
        *,
        variants: Iterable[str],
        settings: Settings,
        lab: Callable[[], Lab],
        json_path: Path | None,
        markdown_path: Path | None,
        github: bool = False,
        mlflow: MlflowConfig | None = None,
        unjudged: Callable[[bool, Callable[[], Found]], Iterable[str]] = lambda *_: (),
        bar: Callable[[], Iterable[str]] = lambda: (),
    ) -> None:
        self._config = config
        self._variants = tuple(variants)
        self._settings = settings
        self._lab = lab
        self._json_path = json_path
        self._markdown_path = markdown_path
        self._github = github and os.environ.get("GITHUB_ACTIONS") == "true"
        self._mlflow = mlflow
        self._unjudged = unjudged
        self._bar = bar
        self._assertions = 0
        self._findings: dict[str, list[str]] = {
            kind: [] for kind in ("comparisons", "runs", "errors", "diagnoses")
        }
        self._reported: set[str] = set()
        self._locations: dict[str, tuple[str, int | None]] = {}
        self._candidates: dict[str, str | None] = {}
        self._complete = True
        self._notes: list[str] = []
        self._unwritten: list[str] = []
        self._weighed: dict[str, TradeOff | str] | None = None
        self._swallowed = Swallowed()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test's report carries; reports of xdist workers arrive here as well."""
        self._note(getattr(report, "modellab_notes", ()))
        if report.when == "setup":
            self._candidates[report.nodeid] = getattr(report, "modellab_variant", None)
        if report.when == "call" or report.outcome != "passed":
            self._reported.add(report.nodeid)
            self._locations[report.nodeid] = report.location[:2]
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

    def _note(self, said: Iterable[str]) -> None:
        """Keep what the store said, once."""
        self._notes += [note for note in dict.fromkeys(said) if note not in self._notes]

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Keep an xdist worker's death as an error of the test that it was running."""
        message = f"the worker died while running this test: {report.longrepr}"
        variant = self._candidates.get(crashitem, variant_of(crashitem, self._variants))
        self._findings["errors"].append(
            json.dumps({"test": crashitem, "variant": variant, "message": message, "kind": "Crash"})
        )
        if folder := self._allure_folder():
            from pytest_modellab.reports import allure_report

            allure_report.crashed(folder, crashitem, message, variant=variant)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Write the files when all others have, also where another plugin cannot finish."""
        try:
            yield
        except pytest.exit.Exception:  # its exit code is what was asked for
            raise
        except Exception as error:  # noqa: BLE001 - Python's own exit code would be a block's
            self._config.notify_exception(pytest.ExceptionInfo.from_current())
            self._unwritten.append(
                f"another plugin could not finish: {type(error).__name__}: {error}"
            )
        finally:
            if not session.config.option.collectonly:
                self._finish(session)
        if self._unwritten and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR  # 1 is a block's

    def _finish(self, session: pytest.Session) -> None:
        """Write the files; a run in which collected tests never reported fails."""
        # node ids, since --keep-duplicates collects one twice; a controller of workers has no items
        collected = len({item.nodeid for item in session.items}) or session.testscollected
        self._complete = len(self._reported) >= collected
        if not self._complete and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._swallowed.lines and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self._note(self._swallowed.lines)
        self._note(self._unjudged(self._complete, self._found))
        self._note(self._bar() if any(self._findings.values()) else ())
        self._note(self._too_small())
        self._note(self._at_zero())
        self._note(self._config.stash[NOTES].take())  # of what no test asked for
        self._write_files()
        if any(self._findings.values()) and (folder := self._allure_folder()):
            self._write_allure(folder)
        note = self._track() if any(self._findings.values()) else None
        self._note([note] if note else ())
        if note or self._unwritten:
            self._write_files()  # once more, with the note
        if self._github and any(self._findings.values()):
            self._summarize()

    def _too_small(self) -> Iterable[str]:
        """What no candidate could have passed; nothing is imported where nothing was judged."""
        if self._settings.on_inconclusive == "pass" or not self._findings["comparisons"]:
            return ()
        from pytest_modellab.reports import few

        return few.notes(self._report().comparisons)

    def _at_zero(self) -> Iterable[str]:
        """What could not fail; nothing is imported where nothing was judged."""
        if not self._findings["comparisons"]:
            return ()
        from pytest_modellab.reports import at_zero

        return at_zero.notes(self._report().comparisons)

    def _write_files(self) -> None:
        """Write JSON and Markdown where asked for."""
        # also where nothing was judged: an older run's file must not pass for this run's
        if self._json_path is not None:
            from pytest_modellab.reports import json_file

            self._write("json", json_file.write, self._json_path)
        if self._markdown_path is not None:
            from pytest_modellab.reports.text import markdown

            self._write("markdown", markdown.write, self._markdown_path)

    def _track(self) -> str | None:
        """Log the session where the configuration says so; a note where that was not possible."""
        if self._mlflow is None:
            return None
        from pytest_modellab.reports.tracking import log

        found = {name: t for name, t in self._tradeoffs().items() if not isinstance(t, str)}
        return log.log_session(self._mlflow, self._report(), found)

    def _summarize(self) -> None:
        """Append the report to the step's summary; a note where it cannot be written."""
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if not path:
            return
        from pytest_modellab.reports.text import github, markdown

        try:
            with Path(path).open("a", encoding="utf-8") as file:
                room = github.SUMMARY_BYTES - file.tell()  # it is shared by a step's commands
                file.write(markdown.render(self._report(), most=room))
        except OSError as error:
            self._notes.append(f"GITHUB_STEP_SUMMARY: {path!r}: not written: {error.strerror}")

    def _write(
        self,
        option: str,
        write: Callable[[SessionReport, Path], None],
        path: Path,
    ) -> None:
        """Write a file; where it cannot be written, the report says so and the run fails."""
        try:
            write(self._report(), path)
        except OSError as error:
            why = f"--modellab-{option}: {str(path)!r}: not written: {error.strerror}"
            self._unwritten.append(why)

    def _write_allure(self, folder: Path) -> None:
        """Complete Allure's results; where that fails, a note says so and the run fails."""
        from pytest_modellab.reports import allure_report

        try:
            tradeoffs = self._tradeoffs()
            self._notes += allure_report.write_session(folder, self._report(), tradeoffs)
        except OSError as error:
            why = f"--alluredir: {str(folder)!r}: not written: {error.strerror}"
            self._unwritten.append(why)

    def _tradeoffs(self) -> dict[str, TradeOff | str]:
        """The trade-off on each task set that was judged, or why there is none; runs no model."""
        from pytest_modellab.errors import ModellabError
        from pytest_modellab.lab.survey import survey

        if self._weighed is not None:
            return self._weighed
        report = self._report()
        found = self._weighed = {}
        for task_set in report.task_sets:
            try:
                lab = self._lab()
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

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the terminal section."""
        if not any(self._findings.values()) and not self._notes and not self._unwritten:
            return
        from pytest_modellab.reports.text import terminal

        terminalreporter.section("modellab")
        for text, markup in terminal.lines(self._report(), printed(self._config)):
            terminalreporter.write_line(text, **markup)
        # the plugin of that name marks every failed test itself
        annotated = "pytest_github_actions_annotate_failures"
        if self._github and not self._config.pluginmanager.hasplugin(annotated):
            self._annotate(terminalreporter)

    def _annotate(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the commands by which GitHub marks the tests that did not pass."""
        from pytest_modellab.reports.text import github

        workspace = os.environ.get("GITHUB_WORKSPACE")
        places = {
            test: github.place(file, line, root=str(self._config.rootpath), workspace=workspace)
            for test, (file, line) in self._locations.items()
        }
        for line in github.annotate(self._report(), places):
            terminalreporter.write_line(line)

    def _allure_folder(self) -> Path | None:
        if not self._config.pluginmanager.hasplugin("allure_listener"):
            return None
        return Path(self._config.option.allure_report_dir)

    def _found(self) -> Found:
        """What was compared and what failed; nothing is imported where there is none."""
        if not any(self._findings.values()):
            return (), ()
        report = self._report()
        return report.comparisons, report.errors

    def _report(self) -> SessionReport:
        from pytest_modellab.judging.comparison import Comparison
        from pytest_modellab.records import diagnosed
        from pytest_modellab.records.runs import RunSummary
        from pytest_modellab.reports.session import SessionReport, TestError

        diagnoses = [diagnosed.from_json(text) for text in self._findings["diagnoses"]]
        # one test's verdict may arrive with the report of each of its attempts
        found = {kind: list(dict.fromkeys(texts)) for kind, texts in self._findings.items()}
        return SessionReport(
            runs=tuple(RunSummary.from_json(text) for text in found["runs"]),
            comparisons=tuple(Comparison.from_json(text) for text in found["comparisons"]),
            errors=tuple(TestError(**json.loads(text)) for text in found["errors"]),
            alpha=self._settings.alpha,
            assertions=self._assertions,
            on_inconclusive=self._settings.on_inconclusive,
            complete=self._complete,
            notes=(*self._notes, *self._unwritten),
            diagnoses={found.candidate.name: found for found in diagnoses},
        )
