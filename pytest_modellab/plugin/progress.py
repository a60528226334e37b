"""How far a variant's run is: a line that rewrites itself on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time

import pytest

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
        self._started: tuple[str, str] | None = None
        self._begun = 0.0

    def __call__(self, variant: str, task_set: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` samples are answered."""
        if self._reporter is None:
            return
        now = time.monotonic()
        first = self._started != (variant, task_set)
        if first:
            self._started, self._begun, self._shown = (variant, task_set), now, now
        terminal = self._reporter.isatty
        if not first and done < total and now - self._shown < (0.2 if terminal else INTERVAL):
            return
        self._shown = now
        elapsed = now - self._begun
        unit = "rounds" if variant.startswith("latency of ") else "samples"
        text = f"modellab: {variant} on {task_set}: {done}/{total} {unit}, {elapsed:.0f} s"
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
