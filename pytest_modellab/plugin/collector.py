"""What the controlling process does: gather every test's findings and write the reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_modellab.plugin.failing import printed
from pytest_modellab.plugin.gathered import Gathered
from pytest_modellab.plugin.nodeids import variant_of
from pytest_modellab.plugin.notes import NOTES
from pytest_modellab.plugin.options import GITHUB, choice, path_option

if TYPE_CHECKING:
    from pytest_modellab.plugin.projects import Project, Projects
    from pytest_modellab.plugin.unjudged import Unjudged
    from pytest_modellab.reports.session import SessionReport


class Collector:
    """Plugin of the process that is no xdist worker.

    Args:
        config: the session's.
        projects: its configurations; each is reported apart.
        unjudged: says what nothing judged.
    """

    def __init__(self, config: pytest.Config, projects: Projects, unjudged: Unjudged) -> None:
        self._config = config
        self._projects = projects
        self._unjudged = unjudged
        self._json_path = path_option(config, "json")
        self._markdown_path = path_option(config, "markdown")
        self._github = (
            choice(config, "github", GITHUB) == "auto"
            and os.environ.get("GITHUB_ACTIONS") == "true"
        )
        self._gathered: dict[Project, Gathered] = {}
        self._reported: set[str] = set()
        self._locations: dict[str, tuple[str, int | None]] = {}
        self._candidates: dict[str, str | None] = {}
        self._complete = True
        self._unwritten: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test's report carries; reports of xdist workers arrive here as well."""
        if report.when == "setup":
            self._candidates[report.nodeid] = getattr(report, "modellab_variant", None)
        if report.when == "call" or report.outcome != "passed":
            self._reported.add(report.nodeid)
            self._locations[report.nodeid] = report.location[:2]
        if hasattr(report, "modellab") or hasattr(report, "modellab_notes"):
            self._of_test(report.nodeid).take(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Keep an xdist worker's death as an error of the test that it was running."""
        message = f"the worker died while running this test: {report.longrepr}"
        found = self._of_test(crashitem)
        variants = found.project.declared.variants
        variant = self._candidates.get(crashitem, variant_of(crashitem, variants))
        found.crashed(crashitem, variant, message)
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
        # where collection fails nothing is run, and what was not judged is no news
        failed = session.testsfailed > 0 and not self._reported
        self._complete = len(self._reported) >= collected and not failed
        every = tuple(map(self._of, self._projects.known))
        swallowed = any(one.swallowed for one in every)
        if (not self._complete or swallowed) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for one in every:
            one.conclude(self._complete, self._unjudged)
        found = [one for one in every if one]
        first = (found or every)[0]
        first.note(self._config.stash[NOTES].take())  # of what no test asked for
        self._write_files()
        if found and (folder := self._allure_folder()):
            self._write_allure(folder, found)
        tracked = [note for one in found if (note := one.track())]
        first.note(tracked)
        if tracked or self._unwritten:
            self._write_files()  # once more, with the note
        if self._github and found:
            self._summarize()

    def _every(self) -> tuple[Gathered, ...]:
        """What each configuration's tests found, in an order that no scheduler changes.

        Those without anything to tell, as where ``-m`` leaves out all their tests, are no part.
        """
        known = tuple(map(self._of, self._projects.known))
        return tuple(one for one in known if one or one.notes) or known[:1]

    def _of(self, project: Project) -> Gathered:
        return self._gathered.setdefault(project, Gathered(project))

    def _of_test(self, nodeid: str) -> Gathered:
        project = self._projects.of_test(nodeid)
        assert project is not None  # there is a first one, else this plugin is not registered
        return self._of(project)

    def _reports(self) -> tuple[SessionReport, ...]:
        """One a configuration; what was not written is told with the first."""
        every = self._every()
        return tuple(
            one.report(
                complete=self._complete,
                unwritten=self._unwritten if one is every[0] else (),
                several=len(every) > 1,
            )
            for one in every
        )

    def _write_files(self) -> None:
        """Write JSON and Markdown where asked for."""
        # also where nothing was judged: an older run's file must not pass for this run's
        if self._json_path is not None:
            from pytest_modellab.reports import json_file

            self._write("json", json_file.write, self._json_path)
        if self._markdown_path is not None:
            from pytest_modellab.reports.text import markdown

            self._write("markdown", markdown.write, self._markdown_path)

    def _summarize(self) -> None:
        """Append the report to the step's summary; a note where it cannot be written."""
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if not path:
            return
        from pytest_modellab.reports.text import github, markdown

        try:
            with Path(path).open("a", encoding="utf-8") as file:
                room = github.SUMMARY_BYTES - file.tell()  # it is shared by a step's commands
                file.write(markdown.render_all(self._reports(), most=room))
        except OSError as error:
            self._every()[0].note([f"GITHUB_STEP_SUMMARY: {path!r}: not written: {error.strerror}"])

    def _write(
        self,
        option: str,
        write: Callable[[Sequence[SessionReport], Path], None],
        path: Path,
    ) -> None:
        """Write a file; where it cannot be written, the report says so and the run fails."""
        try:
            write(self._reports(), path)
        except OSError as error:
            why = f"--modellab-{option}: {str(path)!r}: not written: {error.strerror}"
            self._unwritten.append(why)

    def _write_allure(self, folder: Path, found: Sequence[Gathered]) -> None:
        """Complete Allure's results; where that fails, a note says so and the run fails."""
        from pytest_modellab.reports import allure_report

        several = len(self._every()) > 1
        reports = [one.report(complete=self._complete, several=several) for one in found]
        try:
            weighed = [one.tradeoffs() for one in found]
            notes = allure_report.write_session(folder, reports, weighed)
            self._every()[0].note(notes)
        except OSError as error:
            why = f"--alluredir: {str(folder)!r}: not written: {error.strerror}"
            self._unwritten.append(why)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the terminal section of each configuration."""
        every = self._every()
        if not any(one or one.notes for one in every) and not self._unwritten:
            return
        from pytest_modellab.reports.text import terminal

        seen = printed(self._config)
        told = []
        for report in self._reports():
            if lines := terminal.lines(report, seen):
                told.append(report)
                named = f": {report.configuration}" if report.configuration else ""
                terminalreporter.section(f"modellab{named}")
            for text, markup in lines:
                terminalreporter.write_line(text, **markup)
        if len(told) > 1:
            terminalreporter.section("modellab")
            text, markup = terminal.overall(told)
            terminalreporter.write_line(text, **markup)
        # the plugin of that name marks every failed test itself
        annotated = "pytest_github_actions_annotate_failures"
        if told and self._github and not self._config.pluginmanager.hasplugin(annotated):
            self._annotate(terminalreporter, told)

    def _annotate(
        self, terminalreporter: pytest.TerminalReporter, reports: Sequence[SessionReport]
    ) -> None:
        """Print the commands by which GitHub marks the tests that did not pass."""
        from pytest_modellab.reports.text import github

        workspace = os.environ.get("GITHUB_WORKSPACE")
        places = {
            test: github.place(file, line, root=str(self._config.rootpath), workspace=workspace)
            for test, (file, line) in self._locations.items()
        }
        for report in reports:
            for line in github.annotate(report, places):
                terminalreporter.write_line(line)

    def _allure_folder(self) -> Path | None:
        if not self._config.pluginmanager.hasplugin("allure_listener"):
            return None
        return Path(self._config.option.allure_report_dir)
