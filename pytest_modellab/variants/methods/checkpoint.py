"""Kind ``quantized`` with a model of its own: a checkpoint that somebody has quantized already."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pytest_modellab.errors import ConfigError, ModelError, near_misses
from pytest_modellab.models import locate
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.store import checkout
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.steps.weights import own_weights

PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "auto-round": ("auto-round",),
        "awq": ("gptqmodel",),
        "bitsandbytes": ("bitsandbytes",),
        "compressed-tensors": ("compressed-tensors",),
        "fp8": (),
        "gptq": ("gptqmodel", "optimum"),
        "hqq": ("hqq",),
        "torchao": ("torchao",),
    }
)
"""``quant_method`` of a config.json → the distributions that transformers reads it with."""


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a quantized checkpoint; how it was quantized stands in its config.json.

    Args:
        spec: no options.
        base: the plan of the variant that it was made from.
        model: the checkpoint.
        root: the folder that a relative path starts from.

    Returns:
        The base's plan with the checkpoint's weights.

    Raises:
        ConfigError: an option, no base, or no checkpoint that can be read; the message begins with
            the option's name.
    """
    for option in spec.options:
        raise ConfigError(
            f"{option}: belongs to a variant without a model of its own; "
            f"how {model.name!r} was quantized stands in its config.json"
        )
    made = own_weights(spec, base, model)
    method = _method(spec, model, root)
    packages = dict.fromkeys((*made.packages, *PACKAGES[method]))
    return dataclasses.replace(made, quantization={"checkpoint": method}, packages=tuple(packages))


def _method(spec: VariantSpec, model: ModelSource, root: Path) -> str:
    """Read how a checkpoint was quantized."""
    folder = root / Path(model.source).expanduser()
    try:
        if not folder.is_dir():  # a hub id, or nothing
            folder = locate.locate(model, root).path
        config = json.loads(checkout.read(folder / "config.json"))
    except checkout.Unready as error:
        raise ConfigError(f"model: {folder / 'config.json'}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"model: {folder / 'config.json'}: not JSON: {error}") from error
    except (ModelError, OSError) as error:
        build = f"; build it: modellab build {spec.name}" if spec.recipe is not None else ""
        raise ConfigError(f"model: {error}{build}") from error
    settings = config.get("quantization_config") if isinstance(config, dict) else None
    if not isinstance(settings, dict):
        raise ConfigError(
            f"model: {folder / 'config.json'} has no quantization_config: {model.name!r} is not "
            "quantized. Name a 'method' instead of a 'model'; a plain checkpoint is of the kind "
            "'finetuned'"
        )
    method = str(settings.get("quant_method"))
    if method not in PACKAGES:
        raise ConfigError(
            f"model: {folder / 'config.json'}: unknown quant_method {method!r}; "
            f"{near_misses(method, PACKAGES)}"
        )
    return method
