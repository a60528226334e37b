"""Kind ``quantized`` with a model of its own: a checkpoint that somebody has quantized already."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pytest_modellab.errors import ConfigError, ModelError
from pytest_modellab.models import locate, quantization
from pytest_modellab.models.quantization import Quantized
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.steps.weights import own_weights


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a quantized checkpoint; how it was quantized stands in its folder.

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
    method = _read(spec, model, root).method
    packages = dict.fromkeys((*made.packages, *quantization.PACKAGES[method]))
    return dataclasses.replace(
        made, quantization={"checkpoint": method}, packages=tuple(packages), plain=""
    )


def _read(spec: VariantSpec, model: ModelSource, root: Path) -> Quantized:
    """Read how a checkpoint was quantized."""
    folder = root / Path(model.source).expanduser()
    try:
        if not folder.is_dir():  # a hub id, or nothing
            folder = locate.locate(model, root).path
        quantization.check(folder)
        found = quantization.find(folder)
    except (ModelError, OSError) as error:
        build = f"; build it: modellab build {spec.name}" if spec.recipe is not None else ""
        raise ConfigError(f"model: {error}{build}") from error
    if found is None:
        raise ConfigError(f"model: {_plain(model, folder)}")
    if found.problem:
        raise ConfigError(f"model: {found.where}: {found.problem}")
    return found


def _plain(model: ModelSource, folder: Path) -> str:
    """Say that nothing in a folder tells that it is quantized, and what it may be."""
    graphs = sorted(p.name for p in folder.glob("*") if p.suffix in (".gguf", ".onnx"))
    if graphs and not any(folder.glob("*.safetensors")):
        method = "gguf" if graphs[0].endswith(".gguf") else "onnxruntime-int8"
        file = f' and file = "{folder.name}/{graphs[0]}"' if method == "gguf" else ""
        return (
            f"{folder} holds {', '.join(graphs[:3])} and no safetensors: declare the variant "
            f'without a model, by method = "{method}"{file}'
        )
    return (
        f"{folder}: neither config.json (quantization_config) nor a file beside it says that "
        f"{model.name!r} is quantized. Name a 'method' instead of a 'model'; a plain checkpoint is "
        "of the kind 'finetuned'"
    )
