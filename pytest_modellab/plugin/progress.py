"""How far a variant's run is: a line that rewrites itself on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time

import pytest

from pytest_modellab.records.progress import Advance, Work

INTERVAL = 30.0
"""Seconds between two plain lines."""


class RunProgress:
    """Shows progress through pytest's terminal reporter; silent in xdist workers and with ``-q``.

    Args:
        config: the session's.
    """

    def __init__(self, config: pytest.Config) -> None:
        silent = hasattr(config, "workerinput") or config.get_verbosity() < 0
        self._reporter = None if silent else config.pluginmanager.getplugin("terminalreporter")
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._shown = 0.0
        self._started: tuple[Work, str, str] | None = None
        self._begun = 0.0

    def __call__(self, advance: Advance) -> None:
        """Show how far a piece of work is."""
        if self._reporter is None:
            return
        now = time.monotonic()
        done, total = advance.done, advance.total
        what = (advance.work, advance.variant, advance.task_set)
        first = self._started != what
        if first:
            self._started, self._begun, self._shown = what, now, now
        terminal = self._reporter.isatty
        if not first and done < total and now - self._shown < (0.2 if terminal else INTERVAL):
            return
        self._shown = now
        elapsed = now - self._begun
        of = "" if advance.work is Work.RUN else f"{advance.work} of "
        text = (
            f"modellab: {of}{advance.variant} on {advance.task_set}: "
            f"{done}/{total} {advance.work.unit}, {elapsed:.0f} s"
        )
        paused = (
            self._capture.global_and_fixture_disabled()
            if self._capture is not None
            else contextlib.nullcontext()
        )
        with paused:
            if first:
                self._reporter.ensure_newline()
            if terminal and done < total:
                self._reporter.rewrite(text, erase=True)
            elif terminal:
                self._reporter.rewrite(f"{text}\n", erase=True)
            else:
                self._reporter.write_line(text)
