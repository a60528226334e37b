"""How far a variant's run is: a line that rewrites itself on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from pytest_modellab.records.progress import Advance, Work

if TYPE_CHECKING:
    import pytest

INTERVAL = 30.0
"""Seconds between two plain lines."""

REWRITTEN = 0.2
"""Seconds between two states of the line on a terminal."""

FIRST_BATCHES = 3
"""So many batches are measured before a run says how long it will take, and"""

FIRST_SHARE = 0.02
"""this share of what it has to do: the longest prompts come first, a few in each batch."""


class Pace:
    """Decides when progress is worth a line, and estimates how long is left.

    Args:
        terminal: whether the line rewrites itself.
    """

    def __init__(self, *, terminal: bool) -> None:
        self._interval = REWRITTEN if terminal else INTERVAL
        self._what: object = None
        self._first = self._done = self._total = self._batches = 0
        self._begun = self._now = self._said = 0.0
        self._estimated = False

    @property
    def begins(self) -> bool:
        """Whether the last state noted was the first of its run."""
        return self._batches == 0

    @property
    def elapsed(self) -> float:
        """Seconds since the run was first noted."""
        return self._now - self._begun

    @property
    def left(self) -> float | None:
        """Seconds until all is done, as fast as until now; None before it can be said."""
        done, all_ = self._done - self._first, self._total - self._first
        if self._batches < FIRST_BATCHES or not FIRST_SHARE * all_ <= done < all_:
            return None
        return self.elapsed / done * (all_ - done)

    def due(self, what: object, done: int, total: int) -> bool:
        """Note that ``done`` of ``total`` are done.

        Args:
            what: that of which they are done; another one begins a run.
            done: from where a run that was stopped is taken up, when it begins; less than before
                where memory ran out and a run is begun anew.
            total: the same throughout a run.

        Returns:
            Whether to show it: the first and the last state, the first with an estimate, and
            between them one an interval.
        """
        self._now = time.monotonic()
        if (what, total) != (self._what, self._total) or done < self._done:
            self._what, self._total, self._first, self._batches = what, total, done, 0
            self._begun, self._estimated = self._now, False
        else:
            self._batches += 1
        self._done = done
        waited = self._now - self._said >= self._interval
        news = self.begins or done >= total or (self.left is not None and not self._estimated)
        if not (waited or news):
            return False
        self._said, self._estimated = self._now, self.left is not None
        return True

    def line(self, advance: Advance) -> str | None:
        """Note how far a piece of work is; returns the line if it is worth one."""
        work, done, total = advance.work, advance.done, advance.total
        if not self.due((work, advance.variant, advance.task_set), done, total):
            return None
        of = "" if work is Work.RUN else f"{work} of "
        what = f"{of}{advance.variant} on {advance.task_set}"
        text = f"{what}: {done}/{total} {work.unit}, {self.elapsed:.0f} s"
        return text if self.left is None else f"{text}, about {span(self.left)} left"


def span(seconds: float) -> str:
    """Write a time in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class RunProgress:
    """Shows progress through pytest's terminal reporter; silent in xdist workers and with ``-q``.

    Args:
        config: the session's.
    """

    def __init__(self, config: pytest.Config) -> None:
        silent = hasattr(config, "workerinput") or config.get_verbosity() < 0
        self._reporter = None if silent else config.pluginmanager.getplugin("terminalreporter")
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._pace = Pace(terminal=self._reporter is not None and self._reporter.isatty)

    def __call__(self, advance: Advance) -> None:
        """Show how far a piece of work is."""
        if self._reporter is None:
            return
        line = self._pace.line(advance)
        if line is None:
            return
        text = f"modellab: {line}"
        paused = (
            self._capture.global_and_fixture_disabled()
            if self._capture is not None
            else contextlib.nullcontext()
        )
        with paused:
            if self._pace.begins:
                self._reporter.ensure_newline()
            if self._reporter.isatty:
                self._reporter.rewrite(
                    text if advance.done < advance.total else f"{text}\n", erase=True
                )
            else:
                self._reporter.write_line(text)
            self._reporter.flush()  # while output is not captured; a pipe would keep it to the end
