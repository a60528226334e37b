"""One session: declared variants and task sets in, run records and judged comparisons out."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.engines.interface import Engine
from pytest_modellab.errors import (
    BaselineInvalid,
    BaselineMissing,
    ConfigError,
    GateUsageError,
    ModelError,
    ModellabError,
    near_misses,
)
from pytest_modellab.lab.registry import BUILT_IN, Extensions
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.declared import Price, VariantSpec
from pytest_modellab.records.progress import Advance, Watch, Work
from pytest_modellab.records.runs import Fingerprint, RunRecord, RunSummary
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.scorers.interface import Scorer, SetScorer

if TYPE_CHECKING:
    from pytest_modellab.baselines.accepted import Baseline, Repeat
    from pytest_modellab.models.files import ModelFiles
    from pytest_modellab.records.timings import Performance
    from pytest_modellab.runs.job import Job, Prompting
    from pytest_modellab.runs.stages import Staged, Stages
    from pytest_modellab.variants.plan import Grounding, Plan

T = TypeVar("T")


SEARCHED_BY = "ndcg@10"
"""The scorer under which a variant searches for another one; what it scores is not looked at."""


@dataclasses.dataclass(frozen=True)
class ChurnFound:
    """What a second run of a variant showed.

    Attributes:
        rate: share of the samples that flipped.
        abnormal: True where that is more than three times what the accepted run or the base did.
        words: both in words, with the counts.
    """

    rate: float
    abnormal: bool
    words: str


class Lab:
    """Runs the stages for one session and holds at most one loaded variant.

    Args:
        config: the configuration.
        settings: what the user asked for.
        progress: is told how far each piece of work is.
        extensions: the kinds, scorers and recipes that there are; None for the built-in ones.

    Raises:
        ConfigError: a variant is of an unknown kind.
    """

    def __init__(
        self,
        config: LabConfig,
        settings: Settings,
        progress: Watch = lambda _: None,
        extensions: Extensions | None = None,
    ) -> None:
        self.extensions = extensions or BUILT_IN
        self.config = config.with_kinds(self.extensions.kinds)
        self.settings = settings
        self._progress = progress
        self._task_sets: dict[str, TaskSet] = {}
        self._plans: dict[str, Plan] = {}
        self._files: dict[str, ModelFiles] = {}
        self._records: dict[tuple[str, str], tuple[RunRecord, bool]] = {}
        self._stages: dict[str, Stages] = {}
        self._answered: dict[tuple[str, str], list[tuple[RunRecord, bool]]] = {}
        self._repeats: dict[tuple[str, str], Repeat] = {}
        self._performances: dict[tuple[str, str, str], Performance] = {}
        self._baselines: dict[Path, tuple[tuple[int, int], Baseline | None]] = {}
        self._accepted: dict[tuple[str, str], tuple[Baseline | None, Baseline]] = {}
        self._failed: dict[tuple[str, str, bool], tuple[type[ModellabError], str]] = {}
        self._recorded: dict[tuple[str, str], Path] = {}
        self._loaded: tuple[str, Engine] | None = None

    def spec(self, name: str) -> VariantSpec:
        """Return a declared variant.

        Raises:
            GateUsageError: there is none of that name; the near misses are named.
        """
        if name not in self.config.variants:
            hint = near_misses(name, self.config.variants)
            raise GateUsageError(f"unknown variant {name!r} in {self.config.path}; {hint}")
        return self.config.variants[name]

    def task_set(self, name: str) -> TaskSet:
        """Read a declared task set, once.

        Raises:
            GateUsageError: there is none of that name; the near misses are named.
            TaskSetError: its files are missing or malformed.
        """
        if name not in self._task_sets:
            from pytest_modellab import tasksets

            if name not in self.config.task_sets:
                hint = near_misses(name, self.config.task_sets)
                raise GateUsageError(f"unknown task set {name!r} in {self.config.path}; {hint}")
            place = self.config.task_sets[name].path
            task_set = tasksets.read(place, self.extensions.check, self.settings.cache)
            # the configuration's name leads to its margins and baselines, whatever the header says
            self._task_sets[name] = dataclasses.replace(task_set, name=name)
        return self._task_sets[name]

    def plan(self, name: str) -> Plan:
        """Plan a declared variant, its bases first.

        Raises:
            ConfigError: an option of the variant is wrong.
        """
        if name not in self._plans:
            from pytest_modellab import variants

            spec = self.spec(name)
            base = self.plan(spec.base) if spec.base is not None else None
            plan = variants.make_plan(
                self.extensions.kinds[spec.kind],
                spec,
                base,
                self.config.model_of(spec),
                self.config.path,
            )
            self._check_retriever(name, plan.grounding)
            self._plans[name] = plan
        return self._plans[name]

    def _check_retriever(self, name: str, grounding: Grounding | None) -> None:
        """Refuse a search before a variant that is none."""
        if grounding is None:
            return
        retriever, known = grounding.retriever, self.config.variants
        where = f"{self.config.path}: variants.{name}.retriever"
        if retriever not in known:
            hint = near_misses(retriever, known)
            raise ConfigError(f"{where}: unknown variant {retriever!r}; {hint}")
        if self.plan(retriever).search is None:
            raise ConfigError(
                f"{where}: {retriever!r} is of kind {known[retriever].kind!r}, which ranks no "
                "documents; name one of kind embedding or lexical"
            )

    def files(self, name: str) -> ModelFiles:
        """Find and hash the files of a variant's base model, once.

        Raises:
            ModelError: they are missing or damaged.
        """
        from pytest_modellab.models import locate
        from pytest_modellab.models.files import NO_FILES

        spec = self.spec(name)
        if not self.extensions.kinds[spec.kind].needs_model:
            return NO_FILES
        model = self.config.model_of(spec)
        if spec.recipe is not None and spec.model is not None:
            place = self.config.root / Path(model.source).expanduser()
            if not model.source.startswith("package:") and not place.exists():
                raise ModelError(f"{place} does not exist; build it: modellab build {name}")
        if model.name not in self._files:
            self._files[model.name] = locate.locate(model, self.config.root)
        return self._files[model.name]

    def engine(self, name: str) -> Engine:
        """Load a variant, freeing the one before.

        Raises:
            ModelError: its files cannot be read.
            VariantLoadError: a library is missing.
        """
        if self._loaded is None or self._loaded[0] != name:
            self.release()
            from pytest_modellab.variants import loading

            loaded = loading.load(self.plan(name), self.files(name), self.settings.cache)
            self._loaded = (name, loaded)
        return self._loaded[1]

    def release(self) -> None:
        """Free the loaded variant, if there is one."""
        if self._loaded is not None:
            self._loaded[1].close()
            self._loaded = None

    def record(self, variant: str, task_set: str) -> RunRecord:
        """Return a variant's run on a task set: from this session, from the store, or run now.

        Raises:
            ModellabError: it cannot be run; the message says why and what to do.
        """
        return self._run(variant, task_set)[0]

    def _run(self, variant: str, task_set: str) -> tuple[RunRecord, bool]:
        key = (variant, task_set)
        if key not in self._records:
            from pytest_modellab.runs import runner

            record, cached = self._attempt(variant, task_set, runner.run)
            self._records[key] = self._priced(record), cached
        return self._records[key]

    def price(self, variant: str, device: str) -> Price | None:
        """Return what computing costs a variant: its declared price, or the device's, or None."""
        from pytest_modellab.tradeoff import cost

        prices, declared = self.config.prices, self.spec(variant).price
        return cost.price_of(device, prices) if declared is None else prices[declared]

    def _priced(self, record: RunRecord) -> RunRecord:
        """Add the dollars that indexing a million documents costs, where a price is known."""
        from pytest_modellab.tradeoff import cost

        speed = record.probes.get("documents_per_second")
        device = str(record.fingerprint.settings.get("device") or "cpu")
        price = self.price(str(record.variant["name"]), device) if speed else None
        if not speed or price is None or price.usd_per_hour is None:
            return record
        dollars = round(cost.indexing(price.usd_per_hour, speed), 6)
        return dataclasses.replace(
            record, probes={**record.probes, "usd_per_million_documents": dollars}
        )

    def candidate(self, variant: str, task_set: str) -> RunRecord | Staged:
        """Return what a variant is judged by: its run, or in sequential mode the run in stages.

        Raises:
            ModellabError: as :meth:`record`.
        """
        if not self.settings.sequential or self._scored_together(task_set):
            return self.record(variant, task_set)
        from pytest_modellab.runs.stages import Staged

        return Staged(self.stages(task_set), functools.partial(self.prefix, variant, task_set))

    def _scored_together(self, task_set: str) -> bool:
        """Whether samples are scored by all others, so that none can be left out."""
        found = self._scorers(self.task_set(task_set))
        return any(isinstance(scorer, SetScorer) for scorer in found.values())

    def _scorers(self, task_set: TaskSet) -> dict[str, Scorer | SetScorer]:
        """The scorers that a task set's samples name."""
        names = dict.fromkeys(sample.scorer for sample in task_set.samples)
        return {name: self.extensions.scorer(name) for name in names}

    def stages(self, task_set: str) -> Stages:
        """Cut a declared task set into stages, once."""
        from pytest_modellab.runs.stages import cut

        if task_set not in self._stages:
            self._stages[task_set] = cut(self.task_set(task_set))
        return self._stages[task_set]

    def prefix(self, variant: str, task_set: str, number: int) -> RunRecord:
        """Return a variant's run on the first stages of a task set, running those not run yet.

        Raises:
            ModellabError: as :meth:`record`.
        """
        from pytest_modellab.runs import runner
        from pytest_modellab.runs.stages import join

        stages = self.stages(task_set)
        answered = self._answered.setdefault((variant, task_set), [])
        for stage in stages.sets[len(answered) : number]:
            before = sum(len(record.samples) for record, _ in answered)

            def run(
                job: Job,
                cache: Path,
                *,
                reuse: bool,
                progress: Callable[[int, int], None],
                stage: TaskSet = stage,
                before: int = before,
            ) -> tuple[RunRecord, bool]:
                prompts = 1 + len(job.paraphrases)  # each of which is asked every sample
                return runner.run(
                    dataclasses.replace(job, task_set=stage),
                    cache,
                    reuse=reuse,
                    progress=lambda done, _: progress(
                        prompts * before + done, prompts * len(stages.of)
                    ),
                )

            answered.append(self._attempt(variant, task_set, run))
        return join(stages, [record for record, _ in answered[:number]])

    def repeat(self, variant: str, task_set: str) -> Repeat:
        """Return a variant's second run, in another sample order and batches of half the size.

        Raises:
            ModellabError: as :meth:`record`.
        """
        key = (variant, task_set)
        if key not in self._repeats:
            from pytest_modellab.baselines.accepted import Repeat
            from pytest_modellab.runs import runner

            run = functools.partial(runner.repeat, first=self.record(variant, task_set))
            record = self._attempt(variant, task_set, run, Work.REPEAT)
            scores = tuple(sample.score for sample in record.samples)
            self._repeats[key] = Repeat(scores, record.environment)
        return self._repeats[key]

    def _attempt(
        self, variant: str, task_set: str, run: Callable[..., T], work: Work = Work.RUN
    ) -> T:
        """Call one of the runner's functions; what failed once fails again without a try."""
        # a model that cannot be timed may still answer
        key = (variant, task_set, work is Work.LATENCY)
        if key in self._failed:  # a test may ask for it again; the answer is the same
            kind, message = self._failed[key]
            raise kind(message)
        words = f"variant {variant!r} on {task_set!r}"
        try:
            return run(
                self._job(variant, task_set),
                self.settings.cache,
                reuse=self.settings.reuse,
                progress=lambda done, total: self._progress(
                    Advance(work, variant, task_set, done, total)
                ),
            )
        except ModellabError as error:
            self._failed[key] = type(error), f"{words}: {error}"
            raise type(error)(f"{words}: {error}") from error
        except OSError as error:  # the store's: an engine's are ModelErrors
            raise ModellabError(
                f"{words}: {error}; runs are stored in {self.settings.cache}, "
                "MODELLAB_CACHE=/some/folder chooses another"
            ) from error

    def stored(self, variant: str, task_set: str) -> RunRecord | None:
        """Return a variant's run from this session or from the store; None where it is missing.

        Raises:
            ModellabError: its files or a library are missing.
        """
        key = (variant, task_set)
        if key not in self._records and self.settings.reuse:
            from pytest_modellab.runs import runner

            found = runner.recall(self._job(variant, task_set), self.settings.cache)
            if found is not None:
                self._records[key] = self._priced(found), True
        return self._records[key][0] if key in self._records else None

    def _job(self, variant: str, task_set: str) -> Job:
        from pytest_modellab.runs import job as jobs

        return jobs.Job(
            spec=self.spec(variant),
            fingerprint=self.fingerprint(variant),
            prompt=self._prompting(variant, self.task_set(task_set)),
            load=functools.partial(self.engine, variant),
            task_set=self.task_set(task_set),
            scorers=self._scorers(self.task_set(task_set)),
            paraphrases=self.plan(variant).paraphrases,
        )

    def _prompting(self, variant: str, task_set: TaskSet) -> Prompting:
        """What turns a variant's samples into chats; with a search, what that finds for them."""
        from pytest_modellab.variants.prompt import Grounded

        plan = self.plan(variant)
        if plan.grounding is None:
            return plan.prompt
        return Grounded(plan.prompt, functools.partial(self._passages, plan.grounding, task_set))

    def _passages(self, grounding: Grounding, task_set: TaskSet) -> dict[str, tuple[str, ...]]:
        """Let a variant search for every sample of a task set, beside the one that is loaded."""
        from pytest_modellab.runs import passages
        from pytest_modellab.variants import loading

        name = grounding.retriever
        if task_set.corpus is None:
            raise GateUsageError(f"{task_set.name!r} has no corpus that {name!r} could search")
        as_search = dataclasses.replace(
            task_set,
            samples=tuple(
                dataclasses.replace(s, scorer=SEARCHED_BY, max_tokens=0) for s in task_set.samples
            ),
        )
        engines: list[Engine] = []

        def load() -> Engine:
            cache = self.settings.cache
            engines.append(loading.load(self.plan(name), self.files(name), cache))
            return engines[0]

        job = dataclasses.replace(
            self._job(name, task_set.name),
            load=load,
            task_set=as_search,
            scorers=self._scorers(as_search),
        )
        try:
            return passages.best_passages(
                job, self.settings.cache, grounding.passages, reuse=self.settings.reuse
            )
        finally:
            for engine in engines:
                engine.close()

    def fingerprint(self, variant: str) -> Fingerprint:
        """Identify a variant without loading it.

        Raises:
            ModellabError: its files or a library are missing.
        """
        from pytest_modellab.variants import loading

        grounding = self.plan(variant).grounding
        found = loading.fingerprint(self.plan(variant), self.files(variant))
        if grounding is None:
            return found
        shown = {
            "retriever": self.fingerprint(grounding.retriever).key,
            "passages": grounding.passages,
        }
        return dataclasses.replace(found, settings={**found.settings, **shown})

    def stored_performance(self, variant: str, task_set: str, reference: str) -> Performance | None:
        """Return what this machine's store has of :meth:`performance`, or None.

        Raises:
            ModellabError: files or a library of one of the two are missing.
        """
        from pytest_modellab.runs import performance

        if found := self._performances.get((variant, task_set, reference)):
            return found
        other = self._job(reference, task_set) if reference != variant else None
        job, settings = self._job(variant, task_set), self.config.performance
        return performance.recall(self.settings.cache, job, other, settings)

    def performance(
        self, variant: str, task_set: str, reference: str, *, anew: bool = False
    ) -> Performance:
        """Return a variant's latency and memory beside its reference's: measured, or as stored.

        Args:
            variant: the variant's name.
            task_set: whose prompts are asked.
            reference: the variant that is measured in turns with it; may be the same.
            anew: True to measure even where this machine's store has a measurement.

        Raises:
            ModellabError: a model cannot be loaded or does not answer.
        """
        from pytest_modellab.runs import performance
        from pytest_modellab.variants import loading

        key = (variant, task_set, reference)
        if key not in self._performances:

            def obtain(
                job: Job, cache: Path, *, reuse: bool, progress: Callable[[int, int], None]
            ) -> Performance:
                other = None
                if reference != variant:  # loaded beside the variant, not instead of it
                    load = functools.partial(
                        loading.load, self.plan(reference), self.files(reference), cache
                    )
                    other = dataclasses.replace(self._job(reference, task_set), load=load)
                settings, reuse = self.config.performance, reuse and not anew
                if self._loaded is not None and self._loaded[0] != variant:
                    self.release()  # not to be counted as this variant's memory
                return performance.obtain(job, other, settings, cache, reuse, progress)

            self._performances[key] = self._attempt(variant, task_set, obtain, Work.LATENCY)
        return self._performances[key]

    def summary(self, variant: str, task_set: str) -> RunSummary:
        """Reduce a run to what reports show, running what is missing.

        Raises:
            ModellabError: as :meth:`record`.
        """
        summary = self._summarized(variant, task_set)
        if not self.settings.churn and (variant, task_set) not in self._repeats:
            return summary
        found = self.churn(variant, task_set)
        return dataclasses.replace(summary, churn=found.rate, abnormal_churn=found.abnormal)

    def stored_summary(self, variant: str, task_set: str) -> RunSummary | None:
        """Reduce a run of this session or the store's to what reports show; None without one.

        Raises:
            ModellabError: as :meth:`stored`.
        """
        answered = self._answered.get((variant, task_set))
        if not answered and self.stored(variant, task_set) is None:
            return None
        return self._summarized(variant, task_set)

    def _summarized(self, variant: str, task_set: str) -> RunSummary:
        from pytest_modellab.runs.summary import summarize

        samples = self.task_set(task_set)
        answered = self._answered.get((variant, task_set))
        if answered:
            record = self.prefix(variant, task_set, len(answered))
            cached = all(stored for _, stored in answered)
            samples = self.stages(task_set).first(len(answered))
        else:
            record, cached = self._run(variant, task_set)
        path = self._recorded.get((variant, task_set))
        return summarize(record, samples, cached=cached, recorded=str(path) if path else None)

    def baseline_path(self, variant: str, task_set: str) -> Path:
        """Return where a variant's baseline lies."""
        from pytest_modellab.baselines import file

        return file.path_of(self.config.baselines, task_set, variant)

    def baseline(self, variant: str, task_set: str) -> Baseline:
        """Read a variant's accepted run.

        Raises:
            BaselineMissing: none was recorded; the message says how to.
            BaselineInvalid: the file is damaged, or another run's.
        """
        path = self.baseline_path(variant, task_set)
        found = self._read_baseline(path)
        if found is None:
            raise BaselineMissing(
                f"no baseline of {variant!r} on {task_set!r}: {path} does not exist.",
                command=self._accept_command(variant, task_set),
            )
        named = (found.run.variant["name"], found.run.task_set["name"])
        if named != (variant, task_set):
            raise BaselineInvalid(
                f"{path}: is the run of {named[0]!r} on {named[1]!r}, not of {variant!r} on "
                f"{task_set!r}: copied or renamed; record it again: "
                f"{self._accept_command(variant, task_set)}"
            )
        return found

    def accepted(self, variant: str, task_set: str) -> Baseline | None:
        """Read a variant's accepted run, or None where there is none.

        Raises:
            BaselineInvalid: the file is damaged, or another run's.
        """
        try:
            return self.baseline(variant, task_set)
        except BaselineMissing:
            return None

    def _accept_command(self, variant: str, task_set: str) -> str:
        from pytest_modellab.config import read

        named = "" if len(self.config.task_sets) == 1 else f" --task-set {task_set}"
        here = read.find([Path.cwd()], Path.cwd()) == self.config.path
        where = "" if here else f" --config {os.path.relpath(self.config.path)}"
        return f"modellab accept {variant}{named}{where}"

    def missing_second_run(self, variant: str, task_set: str) -> BaselineMissing:
        """Say that a baseline was recorded without a second run, and how to add one."""
        return BaselineMissing(
            f"the baseline of {variant!r} on {task_set!r} has no second run, which decides what "
            f"capabilities it has: {self.baseline_path(variant, task_set)}.",
            command=self._accept_command(variant, task_set),
        )

    def _read_baseline(self, path: Path) -> Baseline | None:
        """Read a file once, as long as nobody changes it: every capability's test asks for it."""
        from pytest_modellab.baselines import file

        try:
            status = path.stat()
        except OSError:
            return file.read(path)
        seen = (status.st_mtime_ns, status.st_size)
        if self._baselines.get(path, (None, None))[0] != seen:
            self._baselines[path] = (seen, file.read(path))
        return self._baselines[path][1]

    def accept(
        self, variant: str, task_set: str, *, new_anchor: bool = False
    ) -> tuple[Baseline | None, Baseline]:
        """Make this session's complete run the baseline, with the churn of a second run.

        Equal answers leave the file as it is, unless it lacks a second run or gets a new anchor.

        Args:
            variant: the variant's name.
            task_set: the task set's name.
            new_anchor: begin a new chain of accepted runs, forgetting the old anchor.

        Returns:
            The baseline before (None where there was none, or with a new anchor) and after.

        Raises:
            BaselineInvalid: the old file is damaged, and its anchor would be lost unseen.
            ScoringError: too many samples have no score, so that nothing could be compared with it.
            ModellabError: as :meth:`record`, or the file cannot be written.
        """
        from pytest_modellab.baselines import file
        from pytest_modellab.baselines.chain import descend
        from pytest_modellab.errors import ScoringError
        from pytest_modellab.judging import comparable

        key = (variant, task_set)
        if key in self._accepted:
            return self._accepted[key]
        path, record = self.baseline_path(variant, task_set), self.record(variant, task_set)
        if problem := comparable.too_many_missing(record):
            raise ScoringError(
                f"{variant!r} on {task_set!r}: not accepted as a baseline: {problem}"
            )
        repeat = self.repeat(variant, task_set)
        old = None if new_anchor else file.read(path)
        new = descend(old, record, repeat)
        if new != old:
            try:
                file.write(path, new)
            except OSError as error:
                raise ModellabError(f"{path}: cannot be written: {error.strerror}") from error
            self._recorded[key] = path
        self._accepted[key] = old, new
        return old, new

    def churn(self, variant: str, task_set: str) -> ChurnFound:
        """Run a variant a second time and count the samples that flip.

        Raises:
            ModellabError: as :meth:`record`.
        """
        from pytest_modellab.baselines.accepted import flips
        from pytest_modellab.gate.churn import abnormal

        own = flips(self.record(variant, task_set), self.repeat(variant, task_set))
        accepted = self._accepted.get((variant, task_set))
        references = {
            variant: accepted[0]
            if accepted is not None
            else self._read_baseline(self.baseline_path(variant, task_set))
        }
        if (base := self.spec(variant).base) is not None:
            references[base] = self._read_baseline(self.baseline_path(base, task_set))
        words, high = [own.explain()], False
        for name, reference in references.items():
            known = None if reference is None else reference.count_churn()
            if known is not None:
                words.append(f"{known.flips} of {known.n} in the accepted run of {name}")
                high = high or abnormal(own, known)
        if high:
            words.append("ABNORMAL, more than three times as many: its verdicts are less sure")
        return ChurnFound(own.rate, high, "; ".join(words))
