"""What the configuration declares, read and resolved by name, each once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.config.circles import circular
from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.errors import (
    ConfigError,
    GateUsageError,
    ModelError,
    ModellabError,
    near_misses,
)
from pytest_modellab.lab.registry import Extensions
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.declared import NO_MODEL, VariantSpec
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.store import hashes

if TYPE_CHECKING:
    from pytest_modellab.baselines.accepted import Baseline
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.media.generators import Generator
    from pytest_modellab.models.files import ModelFiles
    from pytest_modellab.variants.plan import Grounding, Kind, Plan


@contextlib.contextmanager
def naming(variant: str, task_set: str) -> Iterator[None]:
    """Put the names of variant and task set before an error's message."""
    try:
        yield
    except ModellabError as error:
        raise error.about(f"variant {variant!r} on {task_set!r}") from error


class Declared:
    """Finds variants and task sets by their names.

    Args:
        config: the configuration, its kinds checked.
        extensions: the kinds and scorers that there are.
        settings: what the user asked for.
    """

    def __init__(self, config: LabConfig, extensions: Extensions, settings: Settings) -> None:
        self._config = config
        self._extensions = extensions
        self._settings = settings
        self._task_sets: dict[str, TaskSet] = {}
        self._wholes: dict[str, TaskSet] = {}
        self._unseen: dict[str, TaskSet] = {}
        self._plans: dict[str, Plan] = {}
        self._files: dict[str, ModelFiles] = {}
        self._variants: dict[str, Resolved] = {}
        self._clocks: dict[str, bool] = {}
        self._noted: set[str] = set()
        self._told: set[str] = set()
        anew = settings.rehash or not settings.reuse
        self._hashes = hashes.Memory(settings.cache, anew=anew)
        self._failed: dict[str, tuple[type[ModellabError], str]] = {}

    def spec(self, name: str) -> VariantSpec:
        """Return a declared variant.

        Raises:
            GateUsageError: there is none of that name; the near misses are named.
        """
        if name not in self._config.variants:
            hint = near_misses(name, self._config.variants)
            raise GateUsageError(f"unknown variant {name!r} in {self._config.path}; {hint}")
        return self._config.variants[name]

    def task_set(self, name: str) -> TaskSet:
        """Read a declared task set, once, and leave the samples that its limit allows.

        Raises:
            GateUsageError: there is none of that name; the near misses are named.
            TaskSetError: its files are missing or malformed, or its first cluster is larger than
                its limit.
        """
        if name not in self._task_sets:
            self._keep(self._read(name, self._extensions.generators))
        found = self._task_sets[name]
        if found.whole is not None and name not in self._told:
            from pytest_modellab.store import said

            self._told.add(name)
            said.say(f"{name}: {found.note}")
        return found

    def outline(self, name: str) -> TaskSet:
        """Return a task set's samples, at whose images and recordings nobody has looked.

        Tests are collected by it, also where the libraries of media are missing, and before
        anything is judged.

        Raises:
            GateUsageError: there is no task set of that name.
            TaskSetError: its files are missing or malformed.
        """
        if name not in self._task_sets and name not in self._unseen:
            found = self._read(name, None)
            if any(sample.media for sample in found.samples):
                self._unseen[name] = self._limited(found)
            else:
                self._keep(found)
        kept = self._task_sets.get(name)
        return self._unseen[name] if kept is None else kept

    def _read(self, name: str, generators: Mapping[str, Generator] | None) -> TaskSet:
        """Read all samples of a declared task set; without generators no medium is decoded."""
        from pytest_modellab import tasksets

        if name not in self._config.task_sets:
            hint = near_misses(name, self._config.task_sets)
            raise GateUsageError(f"unknown task set {name!r} in {self._config.path}; {hint}")
        place = self._config.task_sets[name].path
        with self._hashes.used():
            found = tasksets.read(place, self._extensions.check, self._settings.cache, generators)
        # the configuration's name leads to its margins and baselines, whatever the header says
        return dataclasses.replace(found, name=name)

    def _keep(self, whole: TaskSet) -> None:
        """Remember a task set, whole and as a limit leaves it."""
        self._wholes[whole.name] = whole
        self._task_sets[whole.name] = self._limited(whole)

    def narrowed(self, name: str, baseline: Baseline) -> Baseline:
        """Return a baseline as if only the samples that a limit leaves had been asked.

        It stays as it is where there is no limit, where it is of other samples or of fewer, and
        where samples are scored by all others.
        """
        from pytest_modellab.baselines import part
        from pytest_modellab.lab.jobs import scored_alone

        declared = self._config.task_sets.get(name)
        if declared is None or (self._settings.limit or declared.limit) is None:
            return baseline
        task_set = self.task_set(name)
        if task_set.whole is None or not scored_alone(task_set, self._extensions):
            return baseline
        return part.narrowed(baseline, task_set, self._wholes[name])

    def _limited(self, whole: TaskSet) -> TaskSet:
        """Leave the samples that a limit allows."""
        from pytest_modellab.tasksets.limit import limited

        asked, declared = self._settings.limit, self._config.task_sets[whole.name].limit
        limit = declared if asked is None else asked
        if limit is None:
            return whole
        by = f"limit = {declared}"
        if asked is not None:
            by = f"{self._settings.said.get('limit', 'limit of the session')} {asked}"
        return limited(whole, limit, by)

    def variant(self, name: str, on: TaskSet | None = None) -> Resolved:
        """Plan a declared variant, and find and hash its files, once; nothing is loaded.

        Args:
            name: the variant's.
            on: what it is to be run on, for messages.

        Raises:
            GateUsageError: there is none of that name.
            ConfigError: an option of the variant is wrong.
            ModelError: its files are missing or damaged.
            VariantLoadError: a library is missing, or a part of it was made for another model.
        """
        spec = self.spec(name)
        if on is None:
            return self._resolve(spec)
        with naming(name, on.name):
            return self._resolve(spec)

    def asked(self, variant: str, task_set: str) -> tuple[Resolved, TaskSet]:
        """Look up a variant and the task set that it is to be run on; messages name both."""
        with naming(variant, task_set):
            return self.variant(variant), self.task_set(task_set)

    def is_served(self, name: str) -> bool:
        """Whether a server has to be asked what a variant consists of; none is asked.

        Raises:
            ModellabError: an option of the variant is wrong.
        """
        plan = self._plan(self.spec(name), {})
        if plan.grounding is not None and self.is_served(plan.grounding.retriever):
            return True
        return bool(plan.servers)

    def _resolve(self, spec: VariantSpec) -> Resolved:
        """Resolve a variant; what failed once fails again without a try."""
        if spec.name in self._failed:
            kind, message = self._failed[spec.name]
            raise kind(message)
        if spec.name not in self._variants:
            try:
                with self._hashes.used():
                    self._variants[spec.name] = self._found(spec)
            except ModellabError as error:
                self._failed[spec.name] = type(error), str(error)
                raise
        return self._variants[spec.name]

    def _found(self, spec: VariantSpec) -> Resolved:
        from pytest_modellab.lab.resolved import Resolved
        from pytest_modellab.models.files import NO_FILES
        from pytest_modellab.variants import loading

        plan = self._plan(spec, {})
        files = NO_FILES if plan.model is NO_MODEL else self._find(spec)
        source = loading.Loadable(self._dated(spec, plan, files), files)
        found = loading.fingerprint(source.plan, source.files)
        grounding = source.plan.grounding
        if grounding is None:
            return Resolved(spec, source, found)
        search = self._resolve(self._config.variants[grounding.retriever])
        shown = {"retriever": search.fingerprint.key, "passages": grounding.passages}
        found = dataclasses.replace(found, settings={**found.settings, **shown})
        return Resolved(spec, source, found, search)

    def _dated(self, spec: VariantSpec, plan: Plan, files: ModelFiles) -> Plan:
        """Tell a chat template that asks for the date an unchanging one, and say so."""
        from pytest_modellab.lab import day
        from pytest_modellab.models import clock
        from pytest_modellab.models.files import NO_FILES, says
        from pytest_modellab.store import said

        if files == NO_FILES or plan.search is not None:
            return plan
        if files.source.name not in self._clocks:
            self._clocks[files.source.name] = clock.asked(files)
        if not self._clocks[files.source.name]:
            return plan
        found, whose = files.source.date or "", "as declared"
        if not found:
            found, whose = day.pinned(self._config, self._settings, spec.name, files.tokenizer)
        note = f"its chat template asks for the date ({clock.NAME}) and is told {found}, {whose}"
        if note not in self._noted:
            self._noted.add(note)
            said.say(says(files.source, note))
        return dataclasses.replace(plan, day=found)

    def _plan(self, spec: VariantSpec, trail: Mapping[str, str]) -> Plan:
        """Plan a variant, what it adapts and what it searches with first.

        Args:
            spec: the variant.
            trail: the names that led to it, each with the key that named the next.
        """
        if spec.name in trail:
            raise circular(self._config.path, trail, spec.name)
        if spec.name not in self._plans:
            from pytest_modellab import variants

            base = None
            if spec.base is not None:
                base = self._plan(self._config.variants[spec.base], {**trail, spec.name: "base"})
            kind = self._extensions.kinds[spec.kind]
            plan = variants.make_plan(
                kind,
                self._with_models(spec, kind),
                base,
                self._config.model_of(spec),
                self._config.path,
            )
            if plan.grounding is not None:
                self._check_retriever(spec, plan.grounding, trail)
            self._plans[spec.name] = plan
        return self._plans[spec.name]

    def _with_models(self, spec: VariantSpec, kind: Kind) -> VariantSpec:
        """Put declared models in the places of their names, in options that name one."""
        found = dict(spec.options)
        for key in kind.models:
            name = found.get(key)
            if isinstance(name, str):
                if name not in self._config.models:
                    where = f"{self._config.path}: variants.{spec.name}.{key}"
                    hint = near_misses(name, self._config.models)
                    raise ConfigError(f"{where}: unknown model {name!r}; {hint}")
                found[key] = self._config.models[name]
        return dataclasses.replace(spec, options=found)

    def _check_retriever(
        self, spec: VariantSpec, grounding: Grounding, trail: Mapping[str, str]
    ) -> None:
        """Refuse a search before a variant that is none, or that leads back to the variant."""
        retriever, known = grounding.retriever, self._config.variants
        key = next((key for key, value in spec.options.items() if value == retriever), "retriever")
        where = f"{self._config.path}: variants.{spec.name}.{key}"
        if retriever not in known:
            hint = near_misses(retriever, known)
            raise ConfigError(f"{where}: unknown variant {retriever!r}; {hint}")
        if self._plan(known[retriever], {**trail, spec.name: key}).search is None:
            raise ConfigError(
                f"{where}: {retriever!r} is of kind {known[retriever].kind!r}, which ranks no "
                "documents; name one of kind embedding or lexical"
            )

    def _find(self, spec: VariantSpec) -> ModelFiles:
        """Find and hash the files of a variant's base model, once a model."""
        from pytest_modellab.models import locate
        from pytest_modellab.models.files import NO_FILES

        model = self._config.model_of(spec)
        kind = self._extensions.kinds[spec.kind]
        if model is NO_MODEL or not (kind.needs_model or kind.own_model):
            return NO_FILES
        if spec.recipe is not None and spec.model is not None:
            place = self._config.root / Path(model.source).expanduser()
            if not model.source.startswith("package:") and not place.exists():
                raise ModelError(f"{place} does not exist; build it: modellab build {spec.name}")
        if model.name not in self._files:
            self._files[model.name] = locate.locate(model, self._config.root)
        return self._files[model.name]
