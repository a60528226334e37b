"""Who obtains a job's run: from the store, or by asking an engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pytest_modellab.engines import processor
from pytest_modellab.engines.interface import Engine, Source, Turn
from pytest_modellab.errors import GateUsageError
from pytest_modellab.records.progress import Watch, Work
from pytest_modellab.runs.answering import answer, importing
from pytest_modellab.runs.corpus import depth_of
from pytest_modellab.runs.job import Job
from pytest_modellab.runs.passages import Grounded, best_passages
from pytest_modellab.store import attempts, said
from pytest_modellab.store.remote import Remote
from pytest_modellab.store.runs import RunEntry, StoredRun


class Executor(Protocol):
    """Obtains runs; a job is all that it is told, so that it may be another machine."""

    def obtain(self, job: Job) -> StoredRun:
        """Return a job's answers, from the store or made now.

        Raises:
            ModellabError: the variant cannot be loaded or does not answer.
            OSError: the store cannot be written.
        """

    def recall(self, job: Job) -> StoredRun | None:
        """Return a finished run from the store, or None; nothing is run or loaded."""


class InProcess:
    """Obtains runs in this process.

    Args:
        cache: the store's root.
        load: opens a variant's engine, or returns the one that is open, and closes it some time.
        watch: called as samples are answered and documents indexed.
        again: as ``load``, for a second run: opens the engine anew and checks that it is the same
            model; None to take the one that is open.
        beside: opens the engine of a search beside the variant's, to be closed here; None for as
            the source opens it.
        remote: the store that is shared; None without one.
        turn: holds the devices of sources while they are open.
    """

    def __init__(
        self,
        cache: Path,
        load: Callable[[Source], Engine],
        watch: Watch = lambda _: None,
        *,
        again: Callable[[Source], Engine] | None = None,
        beside: Callable[[Source], Engine] | None = None,
        remote: Remote | None = None,
        turn: Turn = lambda _: contextlib.nullcontext(),
    ) -> None:
        self.turn = turn
        self.again = again or load
        self.beside = beside or (lambda source: source.open(cache))
        self.cache = cache
        self.load = load
        self.watch = watch
        self.remote = remote
        self._warned: set[str] = set()

    def obtain(self, job: Job) -> StoredRun:
        """Return a job's answers, from the store or made now; what it searches comes first."""
        return self._obtain(job, self.again if job.work is Work.REPEAT else self.load)

    def recall(self, job: Job) -> StoredRun | None:
        """Return a finished run from the store, or None."""
        return self._entry(job).read(lost=f"{_named(job)} is not used")

    def grounded(self, job: Job) -> Grounded:
        """Return a job's prompt with the passages that its search finds, obtaining the search.

        Raises:
            GateUsageError: there is nothing to search.
            ModellabError: as :meth:`Executor.obtain`.
        """
        if job.search is None:
            return Grounded(job.prompt, in_words=job.in_words)
        corpus, opened = job.task_set.corpus, list[Engine]()
        if corpus is None:
            raise GateUsageError(
                f"{job.task_set.name!r} has no corpus that {job.search.spec.name!r} could search"
            )

        def beside(source: Source) -> Engine:
            """Load the search beside the variant, not instead of it."""
            opened.append(self.beside(source))
            return opened[-1]

        try:
            stored = self._obtain(job.search, beside)
        finally:
            for engine in opened:
                engine.close()
        found = best_passages(job.search, stored, corpus, job.passages)
        return Grounded(job.prompt, found, job.in_words)

    def _obtain(self, job: Job, load: Callable[[Source], Engine]) -> StoredRun:
        entry = self._entry(job)
        if job.reuse and (stored := entry.read()) is not None:
            return stored  # without the lock: a filled store may be one that is only read
        sources = [one.source for one in (job, job.search) if one is not None]
        with self.turn(sources), entry.lock():
            if job.reuse and (stored := entry.read(lost=f"{_named(job)} is run again")) is not None:
                return stored  # another process has made it meanwhile
            with attempts.counted(entry.folder), importing():
                prompt = self.grounded(job)
                self._warn(job)
                stored = answer(job, prompt, load(job.source), entry, self.cache, self.watch)
            return entry.write(stored, anew=not job.reuse)

    def share(self, job: Job) -> None:
        """Send a run of this machine's store to the one that is shared, where that has none.

        Raises:
            OSError: this machine's store cannot be read.
        """
        if self.remote is not None:
            self._entry(job).share()

    def keep(self, job: Job, made: StoredRun) -> StoredRun:
        """Put a run into the store that was made elsewhere; returns what the store then has.

        Raises:
            OSError: the store cannot be written.
        """
        entry = self._entry(job)
        with entry.lock():
            return entry.write(made, anew=not job.reuse)

    def _entry(self, job: Job) -> RunEntry:
        depth = depth_of(job.task_set)
        return RunEntry(self.cache, job.task_set, job.fingerprint, depth, self.remote)

    def _warn(self, job: Job) -> None:
        """Say once, before it runs, what of a variant is slow on this processor."""
        if job.spec.name not in self._warned:
            self._warned.add(job.spec.name)
            for text in processor.slow(job.fingerprint.settings):
                said.say(f"{job.spec.name}: {text}", at_once=True)


def _named(job: Job) -> str:
    return f"the stored run of {job.spec.name} on {job.task_set.name}"
