"""The whole of modellab.toml as one frozen record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.records.declared import (
    NO_MODEL,
    EngineConfig,
    MlflowConfig,
    ModelSource,
    PerformanceConfig,
    Price,
    Scenario,
    TaskSetConfig,
    VariantSpec,
)
from pytest_modellab.records.setting import Setting, misspelt
from pytest_modellab.visible import visible

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario(
                name="prototype",
                title="rapid iteration",
                weights=MappingProxyType({"quality": 0.5, "cost": 0.1, "latency": 0.4}),
                volume=10_000,
            ),
            Scenario(
                name="smb_saas",
                title="a small company's product",
                weights=MappingProxyType(
                    {"quality": 0.4, "cost": 0.25, "latency": 0.15, "memory": 0.1, "risk": 0.1}
                ),
                limits=MappingProxyType({"forgetting": 0}),
                volume=1_000_000,
            ),
            Scenario(
                name="regulated_enterprise",
                title="a regulated enterprise",
                weights=MappingProxyType(
                    {"quality": 0.45, "risk": 0.4, "cost": 0.05, "latency": 0.1}
                ),
                limits=MappingProxyType({"forgetting": 0, "churn": 0.02}),
                volume=1_000_000,
            ),
        )
    }
)
"""The scenarios that there are unless the configuration declares one of the same name."""


class KindTraits(Protocol):
    """What the configuration must know of a kind."""

    @property
    def strategy(self) -> str:
        """The strategy of its variants unless they name another."""

    @property
    def own_model(self) -> bool:
        """Whether a variant may name a model beside its base."""

    @property
    def needs_model(self) -> bool:
        """Whether a variant must have a model, its own or its base's."""

    @property
    def adapts_prompt(self) -> bool:
        """Whether the prompt is what its variants adapt."""

    @property
    def adapts_pieces(self) -> bool:
        """Whether its variants may have a base that is made of several models."""

    @property
    def models(self) -> tuple[str, ...]:
        """The options that name a model each, of which its variants are made."""

    @property
    def options(self) -> Mapping[str, Setting] | None:
        """The options that its variants may have; None where only the plan knows."""


_OF_ALL = ("base", "engine", "model", "price", "recipe", "slow", "strategy", "targets")


def _check_keys(spec: VariantSpec, kind: KindTraits, where: str) -> None:
    """Refuse an option that its kind does not have and that is a misspelt key of all variants.

    All other options are the plan's to refuse.
    """
    if kind.options is None:
        return
    unknown = spec.options.keys() - kind.options.keys()
    for key in (*_OF_ALL, *({"scoring"} & kind.options.keys())):
        if (given := misspelt(key, unknown)) is not None:
            raise ConfigError(f"{where}.{visible(given)}: unknown key; did you mean {key!r}?")


@dataclasses.dataclass(frozen=True)
class LabConfig:
    """The whole configuration.

    Attributes:
        path: the file that it was read from.
        baselines: folder of the accepted baselines.
        models: by name.
        task_sets: by name.
        variants: by name, in file order; a base always comes before what it is the base of.
        prices: what computing costs, by name.
        scenarios: what deployments ask for, by name: the built-in ones and the declared ones.
        performance: how latency is measured.
        engine: how engines work.
        mlflow: where sessions are logged, or None where they are not.
        store: address of a store that machines share, or None.
        acknowledged: what was made weaker on purpose, as ``modellab review`` prints it → why.
    """

    path: Path
    baselines: Path
    models: Mapping[str, ModelSource]
    task_sets: Mapping[str, TaskSetConfig]
    variants: Mapping[str, VariantSpec]
    prices: Mapping[str, Price] = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    scenarios: Mapping[str, Scenario] = dataclasses.field(default_factory=lambda: SCENARIOS)
    performance: PerformanceConfig = dataclasses.field(default_factory=PerformanceConfig)
    engine: EngineConfig = dataclasses.field(default_factory=EngineConfig)
    mlflow: MlflowConfig | None = None
    store: str | None = None
    acknowledged: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: MappingProxyType({})
    )

    @property
    def root(self) -> Path:
        """The folder that relative paths in the file start from."""
        return self.path.parent

    def model_of(self, spec: VariantSpec) -> ModelSource:
        """Return ``spec``'s own model, or the nearest in its chain of bases; NO_MODEL without."""
        while spec.model is None:
            if spec.base is None:
                return NO_MODEL
            spec = self.variants[spec.base]
        return self.models[spec.model]

    def _root(self, spec: VariantSpec) -> VariantSpec:
        """Return the variant that a chain of bases begins with."""
        while spec.base is not None:
            spec = self.variants[spec.base]
        return spec

    def with_kinds(self, kinds: Mapping[str, KindTraits]) -> LabConfig:
        """Check every variant's kind, which plugins may add to, and fill in what it says of them.

        Args:
            kinds: all there are, by name.

        Returns:
            The configuration with strategy and ``adapts_prompt`` of each variant.

        Raises:
            ConfigError: an unknown kind, or a model beside a base where the kind takes one only.
        """
        found = {}
        for spec in self.variants.values():
            where = f"{self.path}: variants.{spec.name}"
            if spec.kind not in kinds:
                hint = near_misses(spec.kind, kinds)
                raise ConfigError(f"{where}.kind: unknown kind {spec.kind!r}; {hint}")
            kind = kinds[spec.kind]
            _check_keys(spec, kind, where)
            if spec.base is not None and spec.model is not None and not kind.own_model:
                raise ConfigError(f"{where}: needs either 'model' or 'base', and not both")
            if kind.needs_model and self.model_of(spec) is NO_MODEL:
                if spec.base is None:
                    raise ConfigError(f"{where}: needs either 'model' or 'base'")
                if not (kind.adapts_pieces and kinds[self._root(spec).kind].models):
                    raise ConfigError(f"{where}.base: {spec.base!r} has no model to adapt")
            strategy = spec.strategy or kind.strategy
            found[spec.name] = dataclasses.replace(
                spec, strategy=strategy, adapts_prompt=kind.adapts_prompt
            )
        return dataclasses.replace(self, variants=MappingProxyType(found))
