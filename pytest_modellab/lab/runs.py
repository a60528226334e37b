"""A session's runs: each is made once, or read from the store; what failed is not tried again."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from pytest_modellab.errors import ModellabError
from pytest_modellab.lab.jobs import job_of, scorers_of
from pytest_modellab.lab.registry import Extensions
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.declared import PerformanceConfig
from pytest_modellab.records.graded import replies
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.progress import Work
from pytest_modellab.records.runs import RunRecord, RunSummary
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.scorers.interface import Scorer, SetScorer

if TYPE_CHECKING:
    from pytest_modellab.baselines.accepted import Repeat
    from pytest_modellab.lab.loaded import Loaded
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.records.divergence import Divergence
    from pytest_modellab.records.timings import Performance
    from pytest_modellab.runs.executor import Executor, InProcess
    from pytest_modellab.runs.job import Job
    from pytest_modellab.runs.stages import Staged, Stages

T = TypeVar("T")

Key = tuple[str, str, str]
"""A variant's name, a task set's name and its hash."""


class Runs:
    """Makes what is missing.

    Args:
        settings: what the user asked for.
        extensions: the scorers that there are.
        timing: how latency is measured.
        executor: obtains answers.
        bench: where latency is measured, in this process whoever obtains answers.
        loaded: the variant that the bench holds.
    """

    def __init__(
        self,
        settings: Settings,
        extensions: Extensions,
        timing: PerformanceConfig,
        executor: Executor,
        bench: InProcess,
        loaded: Loaded,
    ) -> None:
        self._settings = settings
        self._extensions = extensions
        self._timing = timing
        self._executor = executor
        self._bench = bench
        self._loaded = loaded
        self._records: dict[Key, tuple[RunRecord, bool]] = {}
        self._stages: dict[tuple[str, str], Stages] = {}
        self._answered: dict[Key, list[tuple[RunRecord, bool]]] = {}
        self._repeats: dict[Key, Repeat] = {}
        self._performances: dict[tuple[Key, str], Performance] = {}
        self._read: set[Key] = set()  # bases whose distributions were read or found
        self._divergences: dict[tuple[Key, str], Divergence] = {}
        self._readings: dict[tuple[Key, str], Mapping[str, float]] = {}
        self._failed: dict[tuple[Key, str], tuple[type[ModellabError], str]] = {}

    def record(self, variant: Resolved, task_set: TaskSet) -> RunRecord:
        """Return a variant's run on a task set: from this session, from the store, or run now."""
        return self._run(variant, task_set)[0]

    def _run(self, variant: Resolved, task_set: TaskSet) -> tuple[RunRecord, bool]:
        key = _key(variant, task_set)
        if key not in self._records:
            from pytest_modellab.runs import runner

            job, scorers = (
                self._job(variant, task_set),
                self._scorers(variant, task_set),
            )
            run = functools.partial(runner.run, job, scorers, self._executor)
            self._records[key] = self._attempt(variant, task_set, run)
        return self._records[key]

    def read(self, variant: Resolved, task_set: TaskSet, reference: RunRecord) -> RunRecord:
        """Return a variant's run with the likelihood of the replies that another run has."""
        from pytest_modellab.runs import reading

        texts = replies(reference, task_set.samples)
        record = self.record(variant, task_set)
        if not texts:
            return record
        key = (_key(variant, task_set), digest(texts))
        if key not in self._readings:
            job = reading.reading_job(self._job(variant, task_set), texts)
            read = functools.partial(reading.read, job, self._executor)
            self._readings[key] = self._attempt(variant, task_set, read, of=key[1])
        return reading.with_likelihoods(record, self._readings[key])

    def stored(self, variant: Resolved, task_set: TaskSet, *, reuse: bool) -> RunRecord | None:
        """Return a run of this session or, with ``reuse``, the store's; None without one."""
        key = _key(variant, task_set)
        if key not in self._records and reuse:
            from pytest_modellab.runs import runner

            job, scorers = (
                self._job(variant, task_set),
                self._scorers(variant, task_set),
            )
            found = runner.recall(job, scorers, self._executor)
            if found is not None:
                self._records[key] = found, True
        return self._records[key][0] if key in self._records else None

    def answered(self, variant: Resolved, task_set: TaskSet) -> RunRecord | None:
        """Return what is known of a run: its first stages, or as :meth:`stored`."""
        if answered := self._answered.get(_key(variant, task_set)):
            return self.prefix(variant, task_set, len(answered))
        return self.stored(variant, task_set, reuse=True)

    def repeat(self, variant: Resolved, task_set: TaskSet) -> Repeat:
        """Return a variant's second run, in another sample order and batches of half the size."""
        key = _key(variant, task_set)
        if key not in self._repeats:
            from pytest_modellab.baselines.accepted import Repeat, metrics_of
            from pytest_modellab.runs import runner

            first = self.record(variant, task_set)
            job = dataclasses.replace(self._job(variant, task_set), work=Work.REPEAT)
            scorers = self._scorers(variant, task_set)
            run = functools.partial(runner.repeat, job, scorers, self._executor, first=first)
            record = self._attempt(variant, task_set, run)
            scores = tuple(sample.score for sample in record.samples)
            self._repeats[key] = Repeat(scores, record.environment, metrics_of(record))
        return self._repeats[key]

    def repeated(self, variant: Resolved, task_set: TaskSet) -> bool:
        """Whether this session has a variant's second run."""
        return _key(variant, task_set) in self._repeats

    def candidate(self, variant: Resolved, task_set: TaskSet) -> RunRecord | Staged:
        """Return what a variant is judged by: its run, or in sequential mode the run in stages."""
        scorers = self._scorers(variant, task_set).values()
        # samples that are scored by all others cannot be left out
        together = any(isinstance(scorer, SetScorer) for scorer in scorers)
        if not self._settings.sequential or together:
            return self.record(variant, task_set)
        from pytest_modellab.runs.stages import Staged

        return Staged(self.stages(task_set), functools.partial(self.prefix, variant, task_set))

    def stages(self, task_set: TaskSet) -> Stages:
        """Cut a task set into stages, once."""
        from pytest_modellab.runs.stages import cut

        key = (task_set.name, task_set.hash)
        if key not in self._stages:
            self._stages[key] = cut(task_set)
        return self._stages[key]

    def prefix(self, variant: Resolved, task_set: TaskSet, number: int) -> RunRecord:
        """Return a variant's run on the first stages of a task set, running those not run yet."""
        from pytest_modellab.runs import runner
        from pytest_modellab.runs.stages import join, stage_job

        stages = self.stages(task_set)
        answered = self._answered.setdefault(_key(variant, task_set), [])
        for index in range(len(answered), number):
            job = stage_job(self._job(variant, task_set), stages, index)
            scorers = self._scorers(variant, task_set)
            run = functools.partial(runner.run, job, scorers, self._executor)
            answered.append(self._attempt(variant, task_set, run))
        return join(stages, [record for record, _ in answered[:number]])

    def summary(self, variant: Resolved, task_set: TaskSet) -> RunSummary:
        """Reduce a run to what reports show, running what is missing unless it ran in stages."""
        from pytest_modellab.runs.summary import summarize

        if answered := self._answered.get(_key(variant, task_set)):
            record = self.prefix(variant, task_set, len(answered))
            samples = self.stages(task_set).first(len(answered))
            return summarize(record, samples, cached=all(stored for _, stored in answered))
        record, cached = self._run(variant, task_set)
        return summarize(record, task_set, cached=cached)

    def known(self, variant: Resolved, task_set: TaskSet) -> bool:
        """Whether :meth:`summary` has something to say without running anything."""
        if self._answered.get(_key(variant, task_set)):
            return True
        return self.stored(variant, task_set, reuse=self._settings.reuse) is not None

    def performance(
        self, variant: Resolved, task_set: TaskSet, reference: Resolved, *, anew: bool
    ) -> Performance:
        """Return a variant's latency and memory beside its reference's: measured, or as stored."""
        from pytest_modellab.runs import performance

        key = (_key(variant, task_set), reference.name)
        if key not in self._performances:
            job, other = self._pair(variant, task_set, reference)
            job = dataclasses.replace(job, reuse=job.reuse and not anew)

            def obtain() -> Performance:
                self._loaded.keep(variant.source)  # another's memory is not to be counted as its
                return performance.obtain(job, other, self._timing, self._bench)

            self._performances[key] = self._attempt(variant, task_set, obtain, of="timing")
        return self._performances[key]

    def divergence(self, variant: Resolved, task_set: TaskSet, base: Resolved) -> Divergence:
        """Return how far a variant has moved from its base: measured, or as stored."""
        from pytest_modellab.runs import divergence

        key = (_key(variant, task_set), base.name)
        if key not in self._divergences:
            job, other = self._job(variant, task_set), self._job(base, task_set)
            known = _key(base, task_set)
            if known in self._read:  # in this session, so that it is as new as can be
                other = dataclasses.replace(other, reuse=True)
            obtain = functools.partial(divergence.obtain, job, other, self._bench)
            of = f"fidelity to {base.name}"
            self._divergences[key] = self._attempt(variant, task_set, obtain, of=of)
            self._read.add(known)
        return self._divergences[key]

    def stored_performance(
        self, variant: Resolved, task_set: TaskSet, reference: Resolved
    ) -> Performance | None:
        """Return what this session or this machine's store has of :meth:`performance`, or None."""
        from pytest_modellab.runs import performance

        if found := self._performances.get((_key(variant, task_set), reference.name)):
            return found
        job, other = self._pair(variant, task_set, reference)
        return performance.recall(self._settings.cache, job, other, self._timing)

    def _pair(
        self, variant: Resolved, task_set: TaskSet, reference: Resolved
    ) -> tuple[Job, Job | None]:
        """The jobs of a variant and of its reference; None where that is the variant itself."""
        other = self._job(reference, task_set) if reference.name != variant.name else None
        return self._job(variant, task_set), other

    def _job(self, variant: Resolved, task_set: TaskSet) -> Job:
        settings = self._settings
        budget = settings.token_budget
        return job_of(variant, task_set, self._extensions, reuse=settings.reuse, budget=budget)

    def _scorers(self, variant: Resolved, task_set: TaskSet) -> Mapping[str, Scorer | SetScorer]:
        return scorers_of(variant, task_set, self._extensions)

    def _attempt(
        self, variant: Resolved, task_set: TaskSet, run: Callable[[], T], *, of: str = "run"
    ) -> T:
        """Do some work; what failed once fails again without a try.

        A test may ask for it again, and the answer is the same; but a model that cannot be timed,
        or cannot read a text, may still answer.
        """
        key = (_key(variant, task_set), of)
        if key in self._failed:
            kind, message = self._failed[key]
            raise kind(message)
        words = f"variant {variant.name!r} on {task_set.name!r}"
        try:
            return run()
        except ModellabError as error:
            self._failed[key] = type(error), f"{words}: {error}"
            raise type(error)(f"{words}: {error}") from error
        except OSError as error:  # the store's: an engine's are ModelErrors
            raise ModellabError(
                f"{words}: {error}; runs are stored in {self._settings.cache}, "
                "MODELLAB_CACHE=/some/folder chooses another"
            ) from error


def _key(variant: Resolved, task_set: TaskSet) -> Key:
    return variant.name, task_set.name, task_set.hash
