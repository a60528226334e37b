"""What a configuration names and what is not there, found before anything is planned or read."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.errors import ConfigError, ModelError
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec, bases
from pytest_modellab.visible import shortened

if TYPE_CHECKING:
    from pytest_modellab.variants.plan import Kind

_LOOKED_AT = 1000
"""Files of a folder among which one of a similar name is looked for."""


def require(
    config: LabConfig,
    kinds: Mapping[str, Kind],
    variants: Iterable[str],
    task_sets: Iterable[str] = (),
) -> None:
    """Refuse to begin with files missing that the named variants and task sets need.

    Models are left to who plans a variant, which says first what of its options is wrong.

    Args:
        config: the configuration, its kinds checked.
        kinds: all there are, by name.
        variants: names of what is to run.
        task_sets: names of what it is to be asked.

    Raises:
        ConfigError: a line for each file that is not there.
    """
    absent = Absent(config, kinds)
    found = [told for name in variants for told in absent.of_options(name)]
    found += [told for name in task_sets for told in absent.of_task_set(name)]
    if found:
        raise ConfigError("\n".join(dict.fromkeys(found)))


class Absent:
    """Looks for the files that variants and task sets name; nothing is opened.

    Args:
        config: the configuration, its kinds checked.
        kinds: all there are, by name.
    """

    def __init__(self, config: LabConfig, kinds: Mapping[str, Kind]) -> None:
        self._config = config
        self._kinds = kinds
        self._where = os.path.relpath(config.path)

    def of_task_set(self, name: str) -> tuple[str, ...]:
        """Return a message where the path of a task set leads nowhere."""
        path = self._config.task_sets[name].path
        key = f"task_sets.{name}.path"
        shown = os.path.relpath(path, self._config.root)
        return () if path.exists() else (self._missing(key, shown, path),)

    def of_variant(self, name: str) -> tuple[str, ...]:
        """Return a message for every file that a variant, or what it starts from, cannot find."""
        return tuple(dict.fromkeys(self._of_all(self._config.variants[name], set())))

    def of_options(self, name: str) -> tuple[str, ...]:
        """As :meth:`of_variant`, of the files that options name."""
        spec = self._config.variants[name]
        all_ = (spec, *bases(spec, self._config.variants))
        return tuple(dict.fromkeys(told for one in all_ for told in self._of_options(one)))

    def _of_all(self, spec: VariantSpec, seen: set[str]) -> Iterator[str]:
        for one in (spec, *bases(spec, self._config.variants)):
            if one.name in seen:
                continue
            seen.add(one.name)
            yield from self._of_options(one)
            retriever = self._config.variants.get(str(one.options.get("retriever")))
            if retriever is not None:
                yield from self._of_all(retriever, seen)
        for model in self._models(spec):
            try:
                self._place(spec, model)
            except ModelError as error:
                yield str(error)

    def _of_options(self, spec: VariantSpec) -> Iterator[str]:
        """Look for what the options of one variant name."""
        for key, setting in (self._kinds[spec.kind].options or {}).items():
            value = spec.options.get(key)
            for name in value if isinstance(value, list) else (value,):
                if not setting.path or not isinstance(name, str) or name.startswith("package:"):
                    continue
                path = self._config.root / Path(name).expanduser()
                if "\0" not in name and not path.exists():
                    built = spec.recipe is not None and key == "adapter"
                    mend = f"build it: modellab build {spec.name}" if built else ""
                    yield self._missing(f"variants.{spec.name}.{key}", name, path, mend)

    def _models(self, spec: VariantSpec) -> Iterator[ModelSource]:
        kind = self._kinds[spec.kind]
        named = [self._config.models.get(str(spec.options.get(key))) for key in kind.models]
        own = self._config.model_of(spec) if kind.needs_model or kind.own_model else NO_MODEL
        for model in (own, own.language, *named):
            if model is not None and model is not NO_MODEL:
                yield model

    def _place(self, spec: VariantSpec, model: ModelSource) -> None:
        """Raise ModelError where nothing is in a model's place on this machine."""
        from pytest_modellab.models import locate

        if spec.recipe is not None and spec.model is not None:
            return  # what is to be built says so itself
        if not model.more:
            locate.place(model, self._config.root)

    def _missing(self, key: str, name: str, path: Path, mend: str = "") -> str:
        mend = mend or self._near(name, path) or "write it, or name another"
        return f"{self._where}: {key}: {shortened(name, 200)!r} does not exist; {mend}"

    def _near(self, name: str, path: Path) -> str:
        """Name what lies in the same folder, or anywhere below the configuration's."""
        folder = path.parent if path.parent.is_dir() else self._config.root
        try:
            entries = [one.name for one in itertools.islice(folder.iterdir(), _LOOKED_AT)]
        except OSError:
            return ""
        close = difflib.get_close_matches(path.name, sorted(entries), n=2)
        found = [os.path.relpath(folder / one, self._config.root) for one in close]
        return f"did you mean {' or '.join(map(repr, found))}?" if found else ""
