"""One session: declared variants and task sets in, run records and judged comparisons out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.engines.interface import Engine
from pytest_modellab.errors import BaselineMissing, ModellabError
from pytest_modellab.lab import pricing
from pytest_modellab.lab.accepted import Accepted, ChurnFound
from pytest_modellab.lab.declared import Declared
from pytest_modellab.lab.diagnosing import Diagnosing
from pytest_modellab.lab.loaded import Loaded
from pytest_modellab.lab.registry import BUILT_IN, Extensions
from pytest_modellab.lab.runs import Runs
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.preprocessing import Unlike, unlike
from pytest_modellab.records.progress import Watch
from pytest_modellab.records.runs import RunRecord, RunSummary
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.runs.executor import Executor, InProcess
from pytest_modellab.store import remote
from pytest_modellab.variants import families

if TYPE_CHECKING:
    from pytest_modellab.baselines.accepted import Baseline, Repeat
    from pytest_modellab.judging.beside import Beside
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.records.divergence import Divergence
    from pytest_modellab.records.timings import Performance
    from pytest_modellab.runs.job import Job
    from pytest_modellab.runs.stages import Staged, Stages


class Lab:
    """Runs the stages for one session and holds at most one loaded model.

    What is declared is looked up by name, once, and handed on. Accepted runs are read by name: a
    variant that was accepted may be one that cannot be run here.

    Args:
        config: the configuration.
        settings: what the user asked for.
        progress: is told how far each piece of work is.
        extensions: the kinds, scorers and recipes that there are; None for the built-in ones.
        executor: obtains answers; None for this process.

    Raises:
        ConfigError: a variant is of an unknown kind.
    """

    def __init__(
        self,
        config: LabConfig,
        settings: Settings,
        progress: Watch = lambda _: None,
        extensions: Extensions | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.extensions = extensions or BUILT_IN
        self.config = config.with_kinds(self.extensions.kinds)
        if settings.token_budget is None:
            budget = self.config.engine.token_budget
            settings = dataclasses.replace(settings, token_budget=budget)
        self.settings = settings
        self._declared = Declared(self.config, self.extensions, settings)
        self._loaded = Loaded(settings.cache)
        loaded = self._loaded
        progress = loaded.watched(progress)
        self.here = bench = InProcess(
            settings.cache,
            loaded.engine,
            progress,
            again=loaded.again,
            beside=loaded.beside,
            remote=remote.of(self.config.store),
            turn=loaded.turn,
        )
        self._runs = Runs(
            settings,
            self.extensions,
            self.config.performance,
            executor or bench,
            bench,
            self._loaded,
        )
        self._accepted = Accepted(
            self.config, settings, self._runs, self.beside_base, self._declared.narrowed
        )
        self.diagnosing = Diagnosing(
            settings.cache,
            self.extensions,
            loaded.release,
            progress,
            self._runs.record,
            bench.remote,
            loaded.turn,
        )

    # --- what is declared ---

    def spec(self, name: str) -> VariantSpec:
        """Return a declared variant.

        Raises:
            GateUsageError: there is none of that name; the near misses are named.
        """
        return self._declared.spec(name)

    def task_set(self, name: str) -> TaskSet:
        """Read a declared task set, once.

        Raises:
            GateUsageError: there is none of that name; the near misses are named.
            TaskSetError: its files are missing or malformed.
        """
        return self._declared.task_set(name)

    def outline(self, name: str) -> TaskSet:
        """Return a task set's samples, at whose images and recordings nobody has looked.

        Raises:
            GateUsageError: there is none of that name.
            TaskSetError: its files are missing or malformed.
        """
        return self._declared.outline(name)

    def variant(self, name: str, on: TaskSet | None = None) -> Resolved:
        """Plan a declared variant, and find and hash its files, once; nothing is loaded.

        Args:
            name: the variant's.
            on: what it is to be run on, for messages.

        Raises:
            GateUsageError: there is none of that name.
            ModellabError: it cannot be run; the message says why and what to do.
        """
        return self._declared.variant(name, on)

    def is_served(self, name: str) -> bool:
        """Whether a server has to be asked what a variant consists of; none is asked.

        Raises:
            ModellabError: as :meth:`variant`.
        """
        return self._declared.is_served(name)

    def asked(self, variant: str, task_set: str) -> tuple[Resolved, TaskSet]:
        """Look up a variant and the task set that it is to be run on; messages name both.

        Raises:
            ModellabError: as :meth:`variant` and :meth:`task_set`.
        """
        return self._declared.asked(variant, task_set)

    def family(self, name: str) -> str:
        """Return what the variants that share a loaded model with one have in common."""
        return families.family(name, self.config.variants, self.extensions.kinds)

    def together(self, names: Iterable[str]) -> list[str]:
        """Return variants in the order that loads least: those that share a model in a row."""
        return families.together(names, self.config.variants, self.extensions.kinds)

    # --- what is loaded ---

    def engine(self, variant: Resolved) -> Engine:
        """Load a variant, freeing the one before.

        Raises:
            ModelError: its files cannot be read.
            VariantLoadError: a library is missing.
        """
        return self._loaded.engine(variant.source)

    def release(self) -> None:
        """Free what is loaded, if anything is."""
        self._loaded.release()

    def pass_on(self) -> None:
        """Free what is loaded on a device that other workers may wait for; keep all else."""
        self._loaded.pass_on()

    # --- runs ---

    def record(self, variant: Resolved, task_set: TaskSet) -> RunRecord:
        """Return a variant's run on a task set: from this session, from the store, or run now.

        Raises:
            ModellabError: it cannot be run; the message says why and what to do.
        """
        return self._runs.record(variant, task_set)

    def jobs(self, variant: Resolved, task_set: TaskSet) -> list[Job]:
        """Return the jobs that a variant's run is made of, for who obtains them elsewhere."""
        return self._runs.jobs(variant, task_set)

    def read(self, variant: Resolved, task_set: TaskSet, reference: RunRecord) -> RunRecord:
        """Return a variant's run with the likelihood of the replies that another run has.

        The variant reads each reply after its own prompt, as if it were the only option. Of its own
        run, it reads what it said itself.

        Args:
            variant: who reads.
            task_set: what was asked.
            reference: the run whose replies are read, with its outputs.

        Returns:
            The variant's run, made where it is missing, with ``likelihood`` among the metrics of
            the samples whose reply could be read.

        Raises:
            ModellabError: as :meth:`record`.
        """
        return self._runs.read(variant, task_set, reference)

    def stored(
        self, variant: Resolved, task_set: TaskSet, *, reuse: bool | None = None
    ) -> RunRecord | None:
        """Return a variant's run from this session or from the store; None where it is missing.

        Args:
            variant: the variant.
            task_set: what it was asked.
            reuse: whether to look into the store; None as the settings say.
        """
        reuse = self.settings.reuse if reuse is None else reuse
        return self._runs.stored(variant, task_set, reuse=reuse)

    def answered(self, variant: Resolved, task_set: TaskSet) -> RunRecord | None:
        """Return what is known of a variant's run, in sequential mode the stages that were asked.

        Whatever the settings say of the store, nothing is run; None where nothing is known.
        """
        return self._runs.answered(variant, task_set)

    def candidate(self, variant: Resolved, task_set: TaskSet) -> RunRecord | Staged:
        """Return what a variant is judged by: its run, or in sequential mode the run in stages.

        Raises:
            ModellabError: as :meth:`record`.
        """
        return self._runs.candidate(variant, task_set)

    def stages(self, task_set: TaskSet) -> Stages:
        """Cut a task set into stages, once."""
        return self._runs.stages(task_set)

    def prefix(self, variant: Resolved, task_set: TaskSet, number: int) -> RunRecord:
        """Return a variant's run on the first stages of a task set, running those not run yet.

        Raises:
            ModellabError: as :meth:`record`.
        """
        return self._runs.prefix(variant, task_set, number)

    def repeat(self, variant: Resolved, task_set: TaskSet) -> Repeat:
        """Return a variant's second run, in another sample order and batches of half the size.

        Raises:
            ModellabError: as :meth:`record`.
        """
        return self._runs.repeat(variant, task_set)

    def performance(
        self, variant: Resolved, task_set: TaskSet, reference: Resolved, *, anew: bool = False
    ) -> Performance:
        """Return a variant's latency and memory beside its reference's: measured, or as stored.

        Args:
            variant: the variant.
            task_set: whose prompts are asked.
            reference: the variant that is measured in turns with it; may be the same.
            anew: True to measure even where this machine's store has a measurement.

        Raises:
            ModellabError: a model cannot be loaded or does not answer.
        """
        return self._runs.performance(variant, task_set, reference, anew=anew)

    def stored_performance(
        self, variant: Resolved, task_set: TaskSet, reference: Resolved
    ) -> Performance | None:
        """Return what this machine's store has of :meth:`performance`, or None."""
        return self._runs.stored_performance(variant, task_set, reference)

    def divergence(self, variant: Resolved, task_set: TaskSet, base: Resolved) -> Divergence:
        """Return how far a variant's distributions lie from its base's: measured, or as stored.

        Raises:
            ModellabError: a model cannot be loaded, the two read other tokens, or an engine does
                not tell whole distributions.
        """
        return self._runs.divergence(variant, task_set, base)

    # --- what reports show ---

    def summary(self, variant: Resolved, task_set: TaskSet) -> RunSummary:
        """Reduce a run to what reports show, running what is missing.

        Raises:
            ModellabError: as :meth:`record`.
        """
        summary = self._summarized(variant, task_set)
        if not self.settings.churn and not self._runs.repeated(variant, task_set):
            return summary
        found = self.churn(variant, task_set)
        return dataclasses.replace(summary, churn=found.rate, abnormal_churn=found.abnormal)

    def stored_summary(self, variant: Resolved, task_set: TaskSet) -> RunSummary | None:
        """Reduce a run of this session or the store's to what reports show; None without one."""
        known = self._runs.known(variant, task_set)
        return self._summarized(variant, task_set) if known else None

    def _summarized(self, variant: Resolved, task_set: TaskSet) -> RunSummary:
        summary = self._runs.summary(variant, task_set)
        path = self._accepted.recorded(variant.name, task_set.name)
        replaced = self._accepted.replaced(variant.name, task_set.name)
        summary = dataclasses.replace(
            summary,
            recorded=str(path) if path else None,
            replaced=replaced,
            preprocessing=self.unlike_base(variant),
        )
        return pricing.priced(summary, variant.spec, self.config.prices)

    def unlike_base(self, variant: Resolved) -> tuple[Unlike, ...]:
        """Say where a variant does not prepare media as the variant that it adapts does.

        Empty where it prepares none, and where its base cannot be run here.
        """
        settings, base = variant.fingerprint.settings, variant.spec.base
        if base is None or not settings.get("preprocessing"):
            return ()
        try:
            other = self.variant(base)
        except ModellabError:
            return ()  # a test of the base says so
        return unlike(settings, other.fingerprint.settings, f"its base {base}")

    # --- accepted runs ---

    def baseline_path(self, variant: str, task_set: str) -> Path:
        """Return where a variant's baseline lies."""
        return self._accepted.path(variant, task_set)

    def baseline(self, variant: str, task_set: str) -> Baseline:
        """Read a variant's accepted run.

        Raises:
            BaselineMissing: none was recorded; the message says how to.
            BaselineInvalid: the file is damaged, or another run's.
        """
        return self._accepted.baseline(variant, task_set)

    def accepted(self, variant: str, task_set: str) -> Baseline | None:
        """Read a variant's accepted run, or None where there is none.

        Raises:
            BaselineInvalid: the file is damaged, or another run's.
        """
        try:
            return self._accepted.baseline(variant, task_set)
        except BaselineMissing:
            return None

    def missing_second_run(self, variant: str, task_set: str) -> BaselineMissing:
        """Say that a baseline was recorded without a second run, and how to add one."""
        return self._accepted.missing_second_run(variant, task_set)

    def missing_metric(
        self, variant: str, task_set: str, metric: str, *, anchor: bool = False
    ) -> BaselineMissing:
        """Say that a baseline, or its anchor, was recorded without a metric, and how to add it."""
        return self._accepted.missing_metric(variant, task_set, metric, anchor=anchor)

    def accept(
        self,
        variant: Resolved,
        task_set: TaskSet,
        *,
        new_anchor: bool = False,
        first: bool = False,
    ) -> tuple[Baseline | None, Baseline]:
        """Make this session's complete run the baseline, with the churn of a second run.

        Equal answers leave the file as it is, unless it lacks metrics or a second run, or gets a
        new anchor.

        Args:
            variant: the variant.
            task_set: what it is asked.
            new_anchor: begin a new chain of accepted runs, forgetting the old anchor.
            first: accept a first baseline though it is worse than its base beyond chance; the file
                says so.

        Returns:
            The baseline before (None where there was none, or with a new anchor) and after.

        Raises:
            FirstBaselineWorse: without ``first``; nothing is written.
            BaselineInvalid: the old file is damaged, and its anchor would be lost unseen.
            ScoringError: too many samples have no score, so that nothing could be compared with it.
            ModellabError: as :meth:`record`, or the file cannot be written.
        """
        return self._accepted.accept(variant, task_set, new_anchor=new_anchor, first=first)

    def beside_base(self, variant: Resolved, task_set: TaskSet) -> Beside | None:
        """Compare a variant's run with its base's: the accepted one, else one that is known.

        None without a base, and where nothing is known of it; nothing but the variant is run.

        Raises:
            BaselineInvalid: the base's file is damaged.
            ModellabError: as :meth:`record`.
        """
        from pytest_modellab.judging.beside import beside

        base = variant.spec.base
        if base is None:
            return None
        accepted = self.accepted(base, task_set.name)
        run = self._known(base, task_set) if accepted is None else accepted.run
        if run is None:
            return None
        alpha, own = self.settings.alpha, self.record(variant, task_set)
        return beside(variant.spec, task_set, own, run, against=f"its base {base}", alpha=alpha)

    def _known(self, name: str, task_set: TaskSet) -> RunRecord | None:
        """A variant's run of this session or the store; None where it cannot be run here."""
        try:
            return self.stored(self.variant(name), task_set)
        except ModellabError:
            return None

    def accepted_before(self, variant: str, task_set: str) -> Baseline | None:
        """Return the run that was accepted when this was first asked, whatever replaces it.

        Raises:
            BaselineInvalid: the file is damaged.
        """
        return self._accepted.remember(variant, task_set)

    def churn(self, variant: Resolved, task_set: TaskSet) -> ChurnFound:
        """Run a variant a second time and count the samples that flip.

        Raises:
            ModellabError: as :meth:`record`.
        """
        return self._accepted.churn(variant, task_set)
