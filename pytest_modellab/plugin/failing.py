"""An error that explains itself fails its test with its message alone, and is said once."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modellab.plugin.options import option

if TYPE_CHECKING:
    from types import TracebackType

_OWN = str(Path(__file__).parents[1])


SAME = "with the same error"
"""How pytest counts the tests that fail as an earlier one did."""


class MessageAlone:
    """Plugin of every process: leaves the way through our files out of a failure."""

    def __init__(self) -> None:
        self._collected: dict[str, str] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> Generator[None]:
        """Say what keeps a file's tests from being collected, in full for the first file alone."""
        try:
            yield
        except pytest.UsageError as error:
            config = metafunc.config
            if option(config, "traceback") or not _raised_here(error):
                raise
            place = metafunc.definition.nodeid.partition("::")[0]
            first = self._collected.setdefault(str(error), place)
            told = str(error) if first == place else f"as {first}: same error"
            raise pytest.Collector.CollectError(told) from error

    # the first to see the report, so that all others see what it leaves
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say what caused a failure, and show its message alone."""
        report = yield
        if call.excinfo is None or not report.failed:
            return report
        from pytest_modellab.errors import cause_of, is_own

        error = call.excinfo.value
        if is_own(error):
            vars(report)["modellab_cause"] = cause_of(error)
            if not (option(item.config, "traceback") or item.config.getoption("fulltrace")):
                report.longrepr = _alone(call.excinfo, item)
        return report


def _alone(raised: pytest.ExceptionInfo[BaseException], item: pytest.Item) -> Any:
    """The message as a failure is shown; its place is the line of the test or fixture."""
    shown: Any = raised.getrepr(style="value", chain=False)
    if (crash := shown.reprcrash) is not None:  # what one-line summaries and annotations take
        crash.path, crash.lineno = _place(raised.tb, item)
        told = (text for text in str(raised.value).splitlines() if text.strip())
        crash.message = next(told, raised.typename)
    return shown


def _place(trace: TracebackType | None, item: pytest.Item) -> tuple[str, int]:
    """File and line, from 1, of the last call that the test or a fixture of the project made."""
    found = str(item.path), (item.location[1] or 0) + 1
    project = str(item.config.rootpath)
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name == str(item.path) or (name.startswith(project) and not _ours(name)):
            found = name, trace.tb_lineno
        trace = trace.tb_next
    return found


def _ours(name: str) -> bool:
    return name.startswith(_OWN) or "site-packages" in name


def _raised_here(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN)


class Once:
    """Plugin of the process that prints: what one file breaks is shown by the first test alone."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}  # cause → the test that pytest prints it of

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember who said it first; reports of xdist workers arrive here as well."""
        cause = getattr(report, "modellab_cause", "")
        if cause and report.outcome == "failed":
            first = self.first.setdefault(cause, report.nodeid)
            if first != report.nodeid:
                vars(report)["modellab_first"] = first

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Count the others apart, which have nothing to add."""
        first = getattr(report, "modellab_first", None)
        if first is None or report.outcome != "failed":
            return None
        letter = "F" if report.when == "call" else "E"
        return SAME, letter, (f"ERROR as {first}", {"red": True})


def printed(config: pytest.Config) -> Mapping[str, str]:
    """Each cause that pytest prints in full above our section → the test that it prints it of."""
    once = config.pluginmanager.get_plugin("modellab_once")
    if not isinstance(once, Once) or config.getoption("tbstyle") == "no":
        return {}
    return once.first
