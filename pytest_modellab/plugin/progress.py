"""A session's progress, through pytest's terminal reporter."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modellab.engines import heavy
from pytest_modellab.reports.text.progress import Announcements, RunProgress
from pytest_modellab.store import said

if TYPE_CHECKING:
    from pytest_modellab.records.progress import Watch


def progress_of(config: pytest.Config) -> Watch:
    """Return what shows a session's progress.

    A library that takes seconds to load is named before it does, and so is a download. With
    ``-q`` and in xdist workers all that is shown is how long a run will take, once, on the
    standard error output: a worker's own output goes nowhere else. With ``-qq`` it is nothing.
    """
    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")
    if config.get_verbosity() < -1:
        return lambda _advance: None
    if reporter is None or hasattr(config, "workerinput") or config.get_verbosity() < 0:
        return Announcements(lambda text: _said(capture, text), "modellab: ")
    progress = SessionProgress(reporter, capture)
    words = contextlib.ExitStack()
    words.enter_context(heavy.spoken(progress.begin))
    words.enter_context(said.waiting(progress.begin))
    config.add_cleanup(words.close)
    return progress


def warn(config: pytest.Config, text: str) -> None:
    """Show a line before the run that it warns of, as :func:`progress_of` does its estimate."""
    if config.get_verbosity() >= -1:
        _said(config.pluginmanager.getplugin("capturemanager"), f"modellab: {text}")


def _said(capture: Any, text: str) -> None:
    """Write a line of its own between whatever the session has written."""
    with _uncaptured(capture):
        print(f"\n{text}", file=sys.__stderr__, flush=True)


def _uncaptured(capture: Any) -> contextlib.AbstractContextManager[Any]:
    """Let output through while the block lasts."""
    if capture is None:
        return contextlib.nullcontext()
    paused: contextlib.AbstractContextManager[Any] = capture.global_and_fixture_disabled()
    return paused


class SessionProgress(RunProgress):
    """Shows progress between pytest's own output.

    Args:
        reporter: pytest's terminal reporter.
        capture: pytest's capture manager; None where nothing is captured.
    """

    def __init__(self, reporter: pytest.TerminalReporter, capture: Any) -> None:
        super().__init__(_ReporterFile(reporter), "modellab: ", colour=reporter.hasmarkup)
        self._reporter, self._capture = reporter, capture

    def show(self, title: str, facts: Sequence[str], done: int, total: int) -> None:
        """Write while output is not captured, on a line of its own."""
        with _uncaptured(self._capture):
            if self.timekeeper.begins:
                self._reporter.ensure_newline()
            super().show(title, facts, done, total)

    def announce(self, text: str) -> None:
        """Write while output is not captured."""
        with _uncaptured(self._capture):
            super().announce(text)

    def begin(self, text: str) -> None:
        """Say on a line of its own what begins."""
        with _uncaptured(self._capture):
            self._reporter.ensure_newline()
            super().announce(f"modellab: {text}")


class _ReporterFile(io.TextIOBase):
    """What the terminal reporter writes to, without its private members."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(sys.__stdout__, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        return bool(self._reporter.isatty)

    def write(self, text: str, /) -> int:
        self._reporter.write(text)
        return len(text)

    def flush(self) -> None:
        self._reporter.flush()
