"""How far work is: a line with a bar on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Sequence
from typing import IO, Any, TypeAlias

from pytest_modellab.records.progress import Advance, Work
from pytest_modellab.visible import line

TextFile: TypeAlias = IO[str] | io.TextIOBase


INTERVAL = 30.0
"""Seconds between two plain lines."""


REWRITTEN = 0.2
"""Seconds between two states of the line on a terminal."""


FIRST_BATCHES = 4
"""After so many batches a run says how long it will take. The first of them is not measured: it has
the longest prompts, and whatever is done once is done in it. The others are the middle one and the
quarters of all (see :func:`~pytest_modellab.engines.batching.spread`), which stand for the rest."""


FIRST_ROUNDS = 2
"""After so many rounds, all of them alike, a measurement does: the first one is its warm-up."""


FIRST_SHARE = 0.02
"""So much of its work is, too: the longest prompts come first, a few in each batch."""


WORTH_SAYING = 30.0
"""A run that takes fewer seconds than this in all is not announced."""


class Timekeeper:
    """Decides when progress is worth showing, and estimates how long is left.

    Args:
        terminal: whether the line rewrites itself.
    """

    def __init__(self, *, terminal: bool) -> None:
        self._interval = REWRITTEN if terminal else INTERVAL
        self._most: float | None = None
        self._what: object = None
        self._first = self._done = self._total = self._batches = 0
        self._begun = self._now = self._said = self._warm = 0.0
        self._cold = 0
        self._estimated = self._fresh = False

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
        measured = self._done - self._cold
        first = FIRST_BATCHES if self._most is None else FIRST_ROUNDS
        if self._batches < first or not FIRST_SHARE * all_ <= done < all_ or not measured:
            return None
        left = (self._now - self._warm) / measured * (all_ - done)
        return left if self._most is None else min(left, self._most)

    @property
    def announced(self) -> tuple[float, int] | None:
        """What a run takes in all and for how many, once: when that can first be said.

        None before and after, and where it is not worth a line.
        """
        left = self.left
        if not self._fresh or left is None or self.elapsed + left < WORTH_SAYING:
            return None
        return self.elapsed + left, self._total - self._first

    def due(self, what: object, done: int, total: int, *, most: float | None = None) -> bool:
        """Note that ``done`` of ``total`` are done.

        Args:
            what: that of which they are done; another one begins a run, and so does fewer done:
                memory did not hold its batches.
            done: from where a run that was stopped is taken up, when it begins.
            total: the same throughout a run, unless it is stopped.
            most: seconds after which a run is stopped that is made of equal rounds; None of others.

        Returns:
            Whether to show it: the first and the last state, the first with an estimate, and
            between them one an interval.
        """
        self._now = time.monotonic()
        self._most = most
        # what may be stopped ends with fewer rounds than it began with
        other = what != self._what or (total != self._total and most is None)
        self._total = total
        if other or done < self._done:
            self._what, self._first, self._batches = what, done, 0
            self._begun, self._estimated = self._now, False
        else:
            self._batches += 1
            if self._batches == 1:
                self._warm, self._cold = self._now, done
        self._done = done
        waited = self._now - self._said >= self._interval
        self._fresh = self.left is not None and not self._estimated
        news = self.begins or done >= total or self._fresh
        if not (waited or news):
            return False
        self._said, self._estimated = self._now, self.left is not None
        return True


class ProgressLine:
    """One line of progress.

    Args:
        file: where it is shown; on a terminal it rewrites itself, and its last state stays.
        colour: whether the bar has any; None leaves it to the environment (``NO_COLOR``).
    """

    def __init__(self, file: TextFile, *, colour: bool | None = None) -> None:
        terminal = file.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self.timekeeper = Timekeeper(terminal=terminal)
        self.plain = not terminal
        self._file = file
        self._bar = _Bar(file, colour) if terminal else None

    def show(self, title: str, facts: Sequence[str], done: int, total: int) -> None:
        """Write the state that the timekeeper was told of, at once.

        Args:
            title: what is done.
            facts: how far it is, in words; the time left is added.
            done: how much of it is done.
            total: how much there is to do.
        """
        title = line(title)
        left = self.timekeeper.left
        words = ", ".join([*facts, *([] if left is None else [f"about {span(left)} left"])])
        if self._bar is None:
            self._say(f"{title}: {words}")
        elif done < total:
            self._bar.rewrite(title, words, done, total)
        else:
            self._bar.end(f"{title}: {words}")

    def announce(self, text: str) -> None:
        """Write a line that stays, above the one that rewrites itself."""
        if self._bar is None:
            self._say(text)
        else:
            self._bar.end(text)

    def _say(self, text: str) -> None:
        self._file.write(f"{text}\n")
        self._file.flush()


class RunProgress(ProgressLine):
    """Shows how far a variant's runs are, and says once how long one will take.

    Args:
        file: as :class:`ProgressLine` takes it.
        prefix: stands before the variant's name.
        colour: as :class:`ProgressLine` takes it.
    """

    def __init__(self, file: TextFile, prefix: str = "", *, colour: bool | None = None) -> None:
        super().__init__(file, colour=colour)
        self._prefix = prefix

    def __call__(self, advance: Advance) -> None:
        """Show an advance, if it is worth it."""
        work, done, total = advance.work, advance.done, advance.total
        what = (work, advance.variant, advance.task_set)
        if not self.timekeeper.due(what, done, total, most=advance.most):
            return
        title = titled(advance, self._prefix)
        if found := self.timekeeper.announced:
            self.announce(announcement(title, work, *found))
            if self.plain:
                return  # the line would say the same
        facts = [f"{done}/{total} {work.unit}", f"{self.timekeeper.elapsed:.0f} s"]
        self.show(title, facts, done, total)


class Announcements:
    """Says once how long a run will take, where nothing else of it is shown.

    Args:
        write: takes a line without its end.
        prefix: stands before the variant's name.
    """

    def __init__(self, write: Callable[[str], None], prefix: str = "") -> None:
        self._timekeeper = Timekeeper(terminal=False)
        self._write = write
        self._prefix = prefix

    def __call__(self, advance: Advance) -> None:
        """Note an advance."""
        what = advance.work, advance.variant, advance.task_set
        self._timekeeper.due(what, advance.done, advance.total, most=advance.most)
        if found := self._timekeeper.announced:
            self._write(announcement(titled(advance, self._prefix), advance.work, *found))


def titled(advance: Advance, prefix: str = "") -> str:
    """Name a piece of work: ``second run of nf4 on core``."""
    of = "" if advance.work is Work.RUN else f"{advance.work} of "
    return f"{prefix}{of}{advance.variant} on {advance.task_set}"


def announcement(title: str, work: Work, seconds: float, units: int) -> str:
    """Say how long a piece of work takes in all: ``int8 on core: about 2 min 10 s for …``."""
    return f"{line(title)}: about {rounded_span(seconds)} for {units} {work.unit}"


class BuildProgress(ProgressLine):
    """Shows how far a build is.

    Args:
        file: as :class:`ProgressLine` takes it.
        variant: what is built.
    """

    def __init__(self, file: TextFile, variant: str) -> None:
        super().__init__(file)
        self._variant = variant

    def __call__(
        self, done: int, total: int, loss: float | None = None, *, what: str = "step"
    ) -> None:
        """Show that ``done`` of ``total`` are done, if it is worth it."""
        if self.timekeeper.due(what, done, total):
            facts = [f"{what} {done}/{total}", *([] if loss is None else [f"loss {loss:.3g}"])]
            self.show(self._variant, facts, done, total)


class _Bar:
    """rich's line of progress, drawn when it is told to.

    It never starts rich's display: that would hide the cursor of a terminal whose command is
    interrupted, and its thread would write into what pytest captures.
    """

    def __init__(self, file: TextFile, colour: bool | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        output: Any = file  # rich's annotation knows no TextIOBase
        no_color = None if colour is None else not colour
        self._console = Console(file=output, force_terminal=True, no_color=no_color)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            TextColumn("{task.fields[words]}", markup=False),
            console=self._console,
            auto_refresh=False,
        )
        self._task = self._progress.add_task("", words="")

    def rewrite(self, title: str, words: str, done: int, total: int) -> None:
        """Draw the line in place of the last one, no wider than the terminal."""
        from rich.segment import Segments

        self._progress.update(
            self._task, description=title, words=words, completed=done, total=total
        )
        renderable = self._progress.get_renderable()
        (line,) = self._console.render_lines(renderable, pad=False)
        with self._console:  # written in one piece
            self._erase()
            self._console.print(Segments(line), end="")

    def end(self, text: str) -> None:
        """Put the last state in place of the line, and go to the next."""
        with self._console:
            self._erase()
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _erase(self) -> None:
        from rich.control import Control
        from rich.segment import ControlType

        to_start, erase = ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)
        self._console.control(Control(to_start, erase))


def rounded_span(seconds: float) -> str:
    """Write a time that is known roughly: seconds, minutes with tens of seconds, or hours."""
    if not 115 <= seconds < 7200:
        return span(seconds)
    minutes, rest = divmod(round(seconds / 10) * 10, 60)
    if minutes >= 10:
        return f"{round(seconds / 60)} min"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def span(seconds: float) -> str:
    """Write a time in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
