"""What a served variant was trained to, as its recipe and its adapter's files tell it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ConfigError, ModelError
from pytest_modellab.models import convert, weights
from pytest_modellab.models.files import NO_FILES, ModelFiles
from pytest_modellab.models.reads import read_json
from pytest_modellab.runs.canary.adapters import Row, Trained
from pytest_modellab.variants.loading import Loadable
from pytest_modellab.variants.plan import Training
from pytest_modellab.variants.steps.adapter_loading import CONFIG, WEIGHTS

ROWS = 4
"""Prompts of training data that a server is asked, the shortest: they cost the least."""

LONGEST = 2000
"""Characters of an input that is not asked."""


def found(source: Loadable, cache: Path) -> Trained | None:
    """Read what a served variant was trained to; None where nothing says that it was.

    Args:
        source: of a served model.
        cache: where converted models are kept.

    Raises:
        ConfigError: the recipe's training data cannot be read.
        ModelError: the adapter's or the model's files cannot be.
    """
    training = source.plan.training
    if training is None:
        return None
    tensors = _tensors(training.adapter)
    return Trained(
        variant=training.variant,
        rows=_rows(training),
        tensors=tensors,
        weights=_weights(source.files, cache) if tensors is not None else None,
    )


def _rows(training: Training) -> tuple[Row, ...]:
    from pytest_modellab.recipes import RECIPES, data

    declared: Mapping[str, Any] = training.recipe or {}
    name, recipe = declared.get("data"), RECIPES.get(str(declared.get("method")))
    if not isinstance(name, str) or recipe is None:
        return ()
    try:
        rows = data.read(training.root, name, recipe.keys).rows
    except ConfigError as error:
        raise ConfigError(f"the recipe of {training.variant!r}: {error}") from error
    fit = [row for row in rows if len(row["input"]) <= LONGEST]
    return tuple(
        Row(
            tuple(training.prompt.messages(row["input"])),
            row.get("reply", row.get("chosen", "")),
        )
        for row in sorted(fit, key=lambda row: len(row["input"]))[:ROWS]
    )


def _tensors(adapter: Path | None) -> Collection[str] | None:
    """Names in the file of a LoRA; None of any other method, whose modules no server leaves out."""
    if adapter is None:
        return None
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:  # whoever asks by chat alone needs none of it
        return None
    try:
        if read_json(adapter / CONFIG).get("peft_type") != "LORA":
            return None
        with safe_open(adapter / WEIGHTS, framework="numpy") as tensors:
            return tuple(tensors.keys())
    except (AttributeError, OSError, ValueError, RecursionError, SafetensorError) as error:
        raise ModelError(f"the adapter {adapter} cannot be read: {error}") from error


def _weights(files: ModelFiles, cache: Path) -> Collection[str] | None:
    """Names in the files of a model; None where it has none."""
    return None if files == NO_FILES else weights.names(convert.folder(files, cache)) or None
