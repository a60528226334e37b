"""``modellab.toml`` → frozen records. Every error names file, key, value and the choices."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from pytest_modellab.config.circles import circular
from pytest_modellab.config.lab_config import SCENARIOS, LabConfig
from pytest_modellab.config.table import Table
from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.records.declared import (
    LIMITS,
    METRICS,
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
    top = Table(path, "", data)
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


T = TypeVar("T")


def _section(top: Table, name: str, make: Callable[[str, Table], T]) -> Mapping[str, T]:
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
        result[key] = make(key, Table(top.path, where, value))
    return MappingProxyType(result)


def _model(name: str, table: Table) -> ModelSource:
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


def _task_set(name: str, table: Table, root: Path) -> TaskSetConfig:
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


def _variant(name: str, table: Table) -> VariantSpec:
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
        options=table.data,
    )


def _price(name: str, table: Table) -> Price:
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


def _scenario(name: str, table: Table) -> Scenario:
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
    return Scenario(name, title, shares, limits, volume)


def _performance(top: Table) -> PerformanceConfig:
    table = Table(top.path, "performance", top.take("performance", dict, {}))
    found = {}
    for field in dataclasses.fields(PerformanceConfig):
        value = found[field.name] = table.take(field.name, int, field.default)
        if value < 1:
            raise ConfigError(f"{table.where(field.name)}: {value!r} is less than 1")
    table.finish()
    return PerformanceConfig(**found)


def _mlflow(top: Table, root: Path) -> MlflowConfig | None:
    data = top.take("mlflow", dict, None)
    if data is None:
        return None
    table = Table(top.path, "mlflow", data)
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
            raise circular(config.path, trail, name)
        if name in clear or name not in config.variants:
            return
        spec = config.variants[name]
        for key, other in (("base", spec.base), ("retriever", spec.options.get("retriever"))):
            if isinstance(other, str):
                visit(other, {**trail, name: key})
        clear.add(name)

    for name in config.variants:
        visit(name, {})
