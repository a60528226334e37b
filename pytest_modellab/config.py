"""``modellab.toml`` → frozen records. Every error names file, key, value and the choices."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.records import (
    LIMITS,
    METRICS,
    NO_MODEL,
    MlflowConfig,
    ModelSource,
    PerformanceConfig,
    Price,
    Scenario,
    TaskSetConfig,
    VariantSpec,
)

FILE_NAME = "modellab.toml"

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]*")
"""Variant and task-set names: no hyphen, so that they can be found again in a pytest node id; no
dot in front, so that a baseline's path stays in its folder."""

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
        mlflow: where sessions are logged, or None where they are not.
    """

    path: Path
    baselines: Path
    models: Mapping[str, ModelSource]
    task_sets: Mapping[str, TaskSetConfig]
    variants: Mapping[str, VariantSpec]
    prices: Mapping[str, Price] = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    scenarios: Mapping[str, Scenario] = dataclasses.field(default_factory=lambda: SCENARIOS)
    performance: PerformanceConfig = dataclasses.field(default_factory=PerformanceConfig)
    mlflow: MlflowConfig | None = None

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
            if spec.base is not None and spec.model is not None and not kind.own_model:
                raise ConfigError(f"{where}: needs either 'model' or 'base', and not both")
            if kind.needs_model and self.model_of(spec) is NO_MODEL:
                if spec.base is None:
                    raise ConfigError(f"{where}: needs either 'model' or 'base'")
                raise ConfigError(f"{where}.base: {spec.base!r} has no model to adapt")
            strategy = spec.strategy or kind.strategy
            found[spec.name] = dataclasses.replace(
                spec, strategy=strategy, adapts_prompt=kind.adapts_prompt
            )
        return dataclasses.replace(self, variants=MappingProxyType(found))


def find(start: Iterable[Path], root: Path) -> Path | None:
    """Find ``modellab.toml`` in or above the folders of ``start``, not above ``root``.

    Args:
        start: files or folders, for example pytest's arguments.
        root: where the search ends; ``root/suites`` is looked at last.

    Returns:
        The first file found, or None.
    """
    for place in start:
        place = place.resolve()
        folder = place if place.is_dir() else place.parent
        for candidate in (folder, *folder.parents):
            if (candidate / FILE_NAME).is_file():
                return candidate / FILE_NAME
            if candidate == root:
                break
    fallback = root / "suites" / FILE_NAME
    return fallback if fallback.is_file() else None


def variant_of(nodeid: str, variants: Collection[str]) -> str | None:
    """Return the variant that a node id's parameters name, or None.

    Where the test is at hand, its own parameter is surer. The plugin's parameters come first, so
    the first part that is a variant's name counts.

    Args:
        nodeid: ``path::class::function[parameters]``. Path and parameters may hold brackets, and
            parameters ``::``; names of classes and functions hold neither.
        variants: names of the declared variants; no hyphen is in them.
    """
    _, _, names = nodeid.partition("::")
    _, bracket, parameters = names.partition("[")
    parts = parameters.removesuffix("]").split("-") if bracket else []
    return next((part for part in parts if part in variants), None)


def load(path: Path) -> LabConfig:
    """Read and check the configuration.

    Args:
        path: a ``modellab.toml``.

    Returns:
        The frozen configuration with absolute paths.

    Raises:
        ConfigError: unreadable file, malformed TOML, or a wrong key or value.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error.reason}") from error
    except (ValueError, RecursionError) as error:  # also a number too long, a table too deep
        raise ConfigError(f"{path}: malformed TOML: {error}") from error
    top = _Table(path, "", data)
    root = path.resolve().parent
    config = LabConfig(
        path=path.resolve(),
        baselines=(root / top.take("baselines", str, "baselines")).resolve(),
        models=_section(top, "models", _model),
        task_sets=_section(top, "task_sets", lambda name, t: _task_set(name, t, root)),
        variants=_section(top, "variants", _variant),
        prices=_section(top, "prices", _price),
        scenarios=MappingProxyType({**SCENARIOS, **_section(top, "scenarios", _scenario)}),
        performance=_performance(top),
        mlflow=_mlflow(top, root),
    )
    top.finish()
    return dataclasses.replace(config, variants=_linked(config))


_REQUIRED: Any = object()
T = TypeVar("T")


class _Table:
    """One TOML table, whose keys are taken one by one; what is left at the end is unknown."""

    def __init__(self, path: Path, key: str, data: Mapping[str, Any]) -> None:
        self.path, self.key, self.data = path, key, dict(data)
        self.known: list[str] = []

    def where(self, name: str) -> str:
        return f"{self.path}: {self.key}.{name}" if self.key else f"{self.path}: {name}"

    def take(self, name: str, type_: type | tuple[type, ...], default: Any = _REQUIRED) -> Any:
        self.known.append(name)
        if name not in self.data:
            if default is _REQUIRED:
                raise ConfigError(f"{self.where(name)}: missing")
            return default
        value = self.data.pop(name)
        types = type_ if isinstance(type_, tuple) else (type_,)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            expected = " or ".join(t.__name__ for t in types)
            raise ConfigError(
                f"{self.where(name)}: {value!r} is {type(value).__name__}, expected {expected}"
            )
        if isinstance(value, str) and "\0" in value:
            raise ConfigError(f"{self.where(name)}: {value!r} holds a NUL character")
        return value

    def take_share(self, name: str, default: float | None, *, zero: bool) -> float | None:
        """Take a number in [0, 1), or in (0, 1) where zero makes no sense."""
        value: float | None = self.take(name, (int, float), default)
        if value is not None and not ((0 <= value < 1) and (zero or value > 0)):
            interval = "[0, 1)" if zero else "(0, 1)"
            raise ConfigError(f"{self.where(name)}: {value!r} lies outside {interval}")
        return value

    def take_names(self, name: str) -> tuple[str, ...]:
        """Take a list of strings, empty unless given."""
        values = self.take(name, list, [])
        if not all(isinstance(value, str) for value in values):
            raise ConfigError(f"{self.where(name)}: {values!r}: expected a list of strings")
        return tuple(values)

    def take_amount(self, name: str) -> float | None:
        """Take a number of dollars, at least 0, or None."""
        value: float | None = self.take(name, (int, float), None)
        if value is not None and not 0 <= value < math.inf:
            raise ConfigError(f"{self.where(name)}: {value!r} is no amount of dollars")
        return value

    def take_numbers(
        self, name: str, keys: Collection[str], default: Mapping[str, float] | None
    ) -> Mapping[str, float]:
        """Take a table of numbers, at least 0, under known keys."""
        missing = _REQUIRED if default is None else default
        table = _Table(self.path, f"{self.key}.{name}", self.take(name, dict, missing))
        found = {}
        for key in keys:
            value = table.take(key, (int, float), None)
            if value is None:
                continue
            if not 0 <= value < math.inf:
                raise ConfigError(f"{table.where(key)}: {value!r} is less than 0 or no number")
            found[key] = float(value)
        table.finish()
        return found

    def finish(self) -> None:
        for name in self.data:
            raise ConfigError(f"{self.where(name)}: unknown key; {near_misses(name, self.known)}")


def _section(top: _Table, name: str, make: Callable[[str, _Table], T]) -> Mapping[str, T]:
    result: dict[str, T] = {}
    for key, value in top.take(name, dict, {}).items():
        where = f"{name}.{key}"
        if not NAME.fullmatch(key):
            raise ConfigError(
                f"{top.path}: {where}: a name may hold letters, digits, '_' and '.' only, "
                "and not begin with '.'"
            )
        if not isinstance(value, dict):
            raise ConfigError(f"{top.path}: {where}: {value!r} is not a table")
        result[key] = make(key, _Table(top.path, where, value))
    return MappingProxyType(result)


def _model(name: str, table: _Table) -> ModelSource:
    model = ModelSource(
        name=name,
        source=table.take("source", str),
        sha256=table.take("sha256", str, None),
        install=table.take("install", str, None),
        allow_pickle=table.take("allow_pickle", bool, False),
        trust_remote_code=table.take("trust_remote_code", bool, False),
        tokenizer=table.take("tokenizer", str, None),
    )
    table.finish()
    return model


def _task_set(name: str, table: _Table, root: Path) -> TaskSetConfig:
    margin = table.take_share("margin", 0.0, zero=True)
    config = TaskSetConfig(
        name=name,
        path=root / table.take("path", str),
        margin=margin or 0.0,
        capability_margin=table.take_share("capability_margin", margin, zero=True) or 0.0,
        floor=table.take_share("floor", None, zero=False),
    )
    table.finish()
    return config


def _variant(name: str, table: _Table) -> VariantSpec:
    if name == "base":
        raise ConfigError(f"{table.path}: {table.key}: the name means the base of a variant")
    return VariantSpec(
        name=name,
        kind=table.take("kind", str),
        strategy=table.take("strategy", str, ""),
        base=table.take("base", str, None),
        model=table.take("model", str, None),
        targets=table.take_names("targets"),
        recipe=table.take("recipe", dict, None),
        slow=table.take("slow", bool, False),
        price=table.take("price", str, None),
        options=MappingProxyType(table.data),
    )


def _price(name: str, table: _Table) -> Price:
    amounts = ("usd_per_hour", "usd_per_million_input", "usd_per_million_output")
    hour, given, taken = (table.take_amount(key) for key in amounts)
    table.finish()
    if (hour is None) == (given is None and taken is None):
        raise ConfigError(
            f"{table.path}: {table.key}: needs either usd_per_hour (a device) or "
            "usd_per_million_input and usd_per_million_output (an endpoint)"
        )
    if hour is None and (given is None or taken is None):
        raise ConfigError(
            f"{table.path}: {table.key}: an endpoint needs both usd_per_million_input and "
            "usd_per_million_output"
        )
    return Price(name, hour, given, taken)


def _scenario(name: str, table: _Table) -> Scenario:
    """Read a scenario; what it leaves out is the built-in one's of that name."""
    known = SCENARIOS.get(name)
    title = table.take("title", str, known.title if known else name.replace("_", " "))
    weights = table.take_numbers("weights", METRICS, known.weights if known else None)
    total = sum(weights.values())
    if not total > 0:
        raise ConfigError(f"{table.where('weights')}: they are all 0; one must be larger")
    limits = table.take_numbers("limits", LIMITS, known.limits if known else {})
    volume = table.take("volume", int, known.volume if known else 1_000_000)
    if volume < 1:
        raise ConfigError(f"{table.where('volume')}: {volume!r} is less than 1 request")
    table.finish()
    shares = {key: value / total for key, value in weights.items()}
    return Scenario(name, title, MappingProxyType(shares), MappingProxyType(limits), volume)


def _performance(top: _Table) -> PerformanceConfig:
    table = _Table(top.path, "performance", top.take("performance", dict, {}))
    found = {}
    for field in dataclasses.fields(PerformanceConfig):
        value = found[field.name] = table.take(field.name, int, field.default)
        if value < 1:
            raise ConfigError(f"{table.where(field.name)}: {value!r} is less than 1")
    table.finish()
    return PerformanceConfig(**found)


def _mlflow(top: _Table, root: Path) -> MlflowConfig | None:
    data = top.take("mlflow", dict, None)
    if data is None:
        return None
    table = _Table(top.path, "mlflow", data)
    experiment = table.take("experiment", str, "modellab")
    uri = table.take("tracking_uri", str, None)
    for name, value in (("experiment", experiment), ("tracking_uri", uri)):
        if value is not None and not value.strip():
            raise ConfigError(f"{table.where(name)}: is empty; leave it out for the default")
    table.finish()
    return MlflowConfig(folder=root, experiment=experiment, tracking_uri=uri)


def _linked(config: LabConfig) -> Mapping[str, VariantSpec]:
    """Check every ``base`` and ``model`` and put bases before what they are the base of."""
    _check_circles(config)
    done: dict[str, VariantSpec] = {}

    def visit(spec: VariantSpec) -> None:
        where = f"{config.path}: variants.{spec.name}"
        if spec.name in done:
            return
        if spec.base is not None:
            if spec.base not in config.variants:
                hint = near_misses(spec.base, config.variants)
                raise ConfigError(f"{where}.base: unknown variant {spec.base!r}; {hint}")
            visit(config.variants[spec.base])
        if spec.price is not None and spec.price not in config.prices:
            hint = near_misses(spec.price, config.prices)
            raise ConfigError(f"{where}.price: unknown price {spec.price!r}; {hint}")
        if spec.model is not None and spec.model not in config.models:
            hint = near_misses(str(spec.model), config.models)
            raise ConfigError(f"{where}.model: unknown model {spec.model!r}; {hint}")
        done[spec.name] = spec

    for spec in config.variants.values():
        visit(spec)
    return MappingProxyType(done)


def _check_circles(config: LabConfig) -> None:
    """Refuse a variant that needs itself, by the bases and the retrievers that lead back to it."""
    clear: set[str] = set()

    def visit(name: str, trail: Mapping[str, str]) -> None:
        """Follow what a variant names; ``trail`` has the key by which each one before it leads."""
        if name in trail:
            names = list(trail)
            circle = names[names.index(name) :]
            keys = sorted({trail[one] for one in circle})
            raise ConfigError(
                f"{config.path}: variants.{name}.{trail[name]}: circular: "
                f"{' -> '.join((*circle, name))}; name another {' or '.join(keys)} in one of them"
            )
        if name in clear or name not in config.variants:
            return
        spec = config.variants[name]
        for key, other in (("base", spec.base), ("retriever", spec.options.get("retriever"))):
            if isinstance(other, str):
                visit(other, {**trail, name: key})
        clear.add(name)

    for name in config.variants:
        visit(name, {})
