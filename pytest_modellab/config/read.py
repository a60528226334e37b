"""``modellab.toml`` → frozen records. Every error names file, key, value and the choices."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pytest_modellab.config.circles import circular
from pytest_modellab.config.engine import CHOICES, ENGINE
from pytest_modellab.config.lab_config import SCENARIOS, LabConfig
from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.records.declared import (
    LIMITS,
    METRICS,
    EngineConfig,
    MetricConfig,
    MlflowConfig,
    ModelSource,
    PerformanceConfig,
    Price,
    Scenario,
    TaskSetConfig,
    VariantSpec,
)
from pytest_modellab.records.graded import GRADED, NUMERICS
from pytest_modellab.records.setting import NUMBER, OPTIONAL, Setting, count, resolve
from pytest_modellab.store import checkout
from pytest_modellab.store.addresses import folder, is_address
from pytest_modellab.visible import visible

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]*")
"""Variant and task-set names: no hyphen, so that they can be found again in a pytest node id; no
dot in front, so that a baseline's path stays in its folder."""


def _is_day(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return date.fromisoformat(text).isoformat() == text
    return False


def _share(default: Any, interval: str, check: Callable[[float], bool]) -> Setting:
    return Setting(NUMBER, default, check=check, wrong=f"{{value!r}} lies outside {interval}")


def _amounts(keys: Iterable[str], default: Any, wrong: str) -> dict[str, Setting]:
    """Numbers of at least 0, under these keys."""
    amount = Setting(NUMBER, default, check=lambda value: 0 <= value < math.inf, wrong=wrong)
    return dict.fromkeys(keys, amount)


MODEL = {
    "source": Setting((str, list), check=bool, wrong="{value!r} names nothing"),
    "sha256": Setting(str, None),
    "install": Setting(str, None),
    "allow_pickle": Setting(bool, False),
    "trust_remote_code": Setting(bool, False),
    "tokenizer": Setting(str, None),
    "language": Setting(str, None),
    "date": Setting(str, None, check=_is_day, wrong="{value!r} is no day; write it as 2026-11-29"),
    "revision": Setting(str, None),
}


def _graded(metric: str) -> Setting:
    """What may be declared of a graded metric."""
    wrong = f"{{value!r}} lies outside (0, 1); {NUMERICS.format(metric=metric)}: 0.01, say"
    margin = Setting(NUMBER, OPTIONAL, check=lambda value: 0 < value < 1, wrong=wrong)
    floor = _share(None, "(0, 1)", lambda value: 0 < value < 1)
    fields = {"margin": margin, "capability_margin": margin, "floor": floor}
    return Setting(dict, OPTIONAL, fields=fields)


TASK_SET = {
    "path": Setting(str, path=True),
    "limit": count(None, "{value!r} is less than 1 sample"),
    "margin": _share(0.0, "[0, 1)", lambda value: 0 <= value < 1),
    "capability_margin": _share(OPTIONAL, "[0, 1)", lambda value: 0 <= value < 1),
    "floor": _share(None, "(0, 1)", lambda value: 0 < value < 1),
    "kl": Setting(
        NUMBER, None, check=lambda value: 0 < value < math.inf, wrong="{value!r} is not above 0"
    ),
    "agreement": _share(None, "(0, 1)", lambda value: 0 < value < 1),
    "metrics": Setting(dict, {}, fields={metric: _graded(metric) for metric in GRADED}),
}


VARIANT = {
    "kind": Setting(str),
    "strategy": Setting(str, ""),
    "base": Setting(str, None),
    "model": Setting(str, None),
    "targets": Setting(list, ()),
    "recipe": Setting(dict, None),
    "slow": Setting(bool, False),
    "price": Setting(str, None),
    "engine": Setting(str, "", choices=CHOICES),
}
"""Other keys are options, which the kind checks."""


PRICE = _amounts(
    (
        "usd_per_hour",
        "usd_per_million_input",
        "usd_per_million_output",
        "usd_per_minute_audio",
        "usd_per_image",
    ),
    None,
    "{value!r} is no amount of dollars",
)


_LESS = "{value!r} is less than 0 or no number"


SCENARIO = {
    "title": Setting(str),
    "weights": Setting(dict, fields=_amounts(METRICS, OPTIONAL, _LESS)),
    "limits": Setting(dict, {}, fields=_amounts(LIMITS, OPTIONAL, _LESS)),
    "volume": count(1_000_000, "{value!r} is less than 1 request"),
}


PERFORMANCE = {
    field.name: count(field.default, "{value!r} is less than 1")
    for field in dataclasses.fields(PerformanceConfig)
}


def _filled(value: str) -> bool:
    return bool(value.strip())


MLFLOW = {
    key: Setting(str, default, check=_filled, wrong="is empty; leave it out for the default")
    for key, default in (("experiment", "modellab"), ("tracking_uri", None))
}


STORE = {"url": Setting(str, None, check=_filled, wrong="is empty; leave it out without one")}


FILE = {
    "baselines": Setting(str, "baselines"),
    **dict.fromkeys(("models", "task_sets", "variants", "prices", "scenarios"), Setting(dict, {})),
    "performance": Setting(dict, resolve(PERFORMANCE, {}), fields=PERFORMANCE),
    "engine": Setting(dict, resolve(ENGINE, {}), fields=ENGINE),
    "mlflow": Setting(dict, None, fields=MLFLOW),
    "store": Setting(dict, resolve(STORE, {}), fields=STORE),
    "acknowledged": Setting(dict, {}),
}


def _store(root: Path, url: str | None) -> str | None:
    """The address of a shared store; a folder starts from the configuration's."""
    return url if url is None or is_address(url) else str(root / folder(url, "store.url"))


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
        data = tomllib.loads(checkout.read(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except checkout.Unready as error:
        raise ConfigError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:  # also a number too long, a table too deep
        raise ConfigError(f"{path}: malformed TOML: {error}") from error
    top = resolve(FILE, data, f"{path}: ")
    root = path.resolve().parent
    section = functools.partial(_section, path, top)
    config = LabConfig(
        path=path.resolve(),
        baselines=Path(os.path.realpath(root / top["baselines"])),
        models=_with_languages(path, section("models", _model)),
        task_sets=section("task_sets", functools.partial(_task_set, root)),
        variants=section("variants", _variant),
        prices=section("prices", _price),
        scenarios=MappingProxyType({**SCENARIOS, **section("scenarios", _scenario)}),
        performance=PerformanceConfig(**top["performance"]),
        engine=EngineConfig(**top["engine"]),
        mlflow=None if top["mlflow"] is None else MlflowConfig(root, **top["mlflow"]),
        store=_store(root, top["store"]["url"]),
        acknowledged=_acknowledged(path, top["acknowledged"]),
    )
    return dataclasses.replace(config, variants=_linked(config))


T = TypeVar("T")


def _section(
    path: Path, top: Mapping[str, Any], key: str, make: Callable[[str, str, dict[str, Any]], T]
) -> Mapping[str, T]:
    """Make a record of each table ``[KEY.NAME]``; ``make`` takes name, place and table."""
    result: dict[str, T] = {}
    for name, table in top[key].items():
        where = f"{path}: {key}.{name}"
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"{where}: a name may hold letters, digits, '_' and '.' only, "
                "and not begin with '.'"
            )
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: {table!r} is not a table")
        result[name] = make(name, where, table)
    return MappingProxyType(result)


def _model(name: str, where: str, table: Mapping[str, Any]) -> tuple[ModelSource, str | None]:
    found = resolve(MODEL, table, f"{where}.")
    source, language = found.pop("source"), found.pop("language")
    first, *more = [source] if isinstance(source, str) else source
    return ModelSource(name, first, more=tuple(more), **found), language


def _with_languages(path: Path, models: Mapping[str, Any]) -> Mapping[str, ModelSource]:
    """Put the model in place of the name that ``language`` gives."""
    found = dict(models)
    for name, (source, language) in models.items():
        where = f"{path}: models.{name}.language"
        if language is not None and language not in models:
            hint = near_misses(language, models)
            raise ConfigError(f"{where}: unknown model {language!r}; {hint}")
        if language is not None and source.more:
            raise ConfigError(f"{where}: goes with one folder as source, not with several")
        if language is not None and models[language][1] is not None:
            raise ConfigError(
                f"{where}: {language!r} has a 'language' itself; name a whole language model"
            )
        whole = None if language is None else models[language][0]
        found[name] = dataclasses.replace(source, language=whole)
    return MappingProxyType(found)


def _task_set(root: Path, name: str, where: str, table: Mapping[str, Any]) -> TaskSetConfig:
    found = resolve(TASK_SET, table, f"{where}.")
    path, declared = root / found.pop("path"), found.pop("metrics")
    found = {"capability_margin": found["margin"], **found}
    drops = {key: found[key] for key in ("margin", "capability_margin")}
    metrics = {
        metric: MetricConfig(**{**drops, **_both(table)}) for metric, table in declared.items()
    }
    return TaskSetConfig(name, path, **found, metrics=metrics)


def _both(table: Mapping[str, Any]) -> dict[str, Any]:
    """A metric's own margin is also its capabilities', where they have none."""
    margin = {key: table["margin"] for key in ("margin", "capability_margin") if "margin" in table}
    return {**margin, **table}


def _variant(name: str, where: str, table: Mapping[str, Any]) -> VariantSpec:
    if name == "base":
        raise ConfigError(f"{where}: the name means the base of a variant")
    found = resolve(VARIANT, table, f"{where}.", others=True)
    found["targets"] = tuple(found["targets"])
    options = {key: value for key, value in table.items() if key not in VARIANT}
    return VariantSpec(name, options=options, **found)


def _price(name: str, where: str, table: Mapping[str, Any]) -> Price:
    price = Price(name, **resolve(PRICE, table, f"{where}."))
    given, taken = price.usd_per_million_input, price.usd_per_million_output
    media = price.usd_per_minute_audio is not None or price.usd_per_image is not None
    tokens = given is not None or taken is not None
    if (price.usd_per_hour is None) != (media or tokens):
        raise ConfigError(
            f"{where}: needs either usd_per_hour (a device) or "
            "usd_per_million_input and usd_per_million_output, or usd_per_minute_audio or "
            "usd_per_image (an endpoint)"
        )
    if tokens and (given is None or taken is None):
        raise ConfigError(
            f"{where}: an endpoint needs both usd_per_million_input and usd_per_million_output"
        )
    return price


def _scenario(name: str, where: str, table: Mapping[str, Any]) -> Scenario:
    """Read a scenario; what it leaves out is the built-in one's of that name."""
    given = {"title": name.replace("_", " "), **table}
    if known := SCENARIOS.get(name):
        kept = {"title": known.title, "weights": dict(known.weights), "limits": dict(known.limits)}
        given = {**kept, "volume": known.volume, **table}
    found = resolve(SCENARIO, given, f"{where}.")
    total = sum(found["weights"].values())
    if not total > 0:
        raise ConfigError(f"{where}.weights: they are all 0; one must be larger")
    shares = {key: value / total for key, value in found["weights"].items()}
    limits = {key: float(value) for key, value in found["limits"].items()}
    return Scenario(name, found["title"], shares, limits, found["volume"])


def _acknowledged(path: Path, table: Mapping[str, Any]) -> Mapping[str, str]:
    """Check the reasons for what was made weaker on purpose: ``[acknowledged]``."""
    for change, reason in table.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigError(
                f"{path}: acknowledged: {visible(change)!r}: {reason!r} is no reason; say in a "
                "text who agreed to it and why"
            )
    return MappingProxyType(dict(table))


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
