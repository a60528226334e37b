"""Method ``calibrate``: 8-bit weights and activations, outliers smoothed by calibration data.

SmoothQuant (Xiao et al. 2023): what the largest activations of a channel are is measured on data,
and divided out of the activations into the weights before both are rounded to int8. torchao does
both; the checkpoint is one that transformers loads by itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pytest_modellab.engines.language.chat import render
from pytest_modellab.errors import ConfigError
from pytest_modellab.recipes import data
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.setting import at_least, share

SETTINGS = MappingProxyType(
    {
        "seed": at_least(int, 0, 0),
        "samples": at_least(int, 1, 128),
        "max_length": at_least(int, 8, 512),
        "alpha": share(0.5),
    }
)
"""``samples`` rows are drawn; ``alpha`` is how much of the difficulty moves from the activations to
the weights."""


def train(order: Order) -> Outcome:
    """Measure activations on rows of ``input`` and ``reply``, then quantize."""
    import torch
    from torchao.prototype.smoothquant import SmoothQuantConfig
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    rows, settings, model = order.data, order.settings, order.model
    assert rows is not None  # read before the order is made
    start = time.perf_counter()
    head = model.get_output_embeddings()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    int8 = Int8DynamicActivationInt8WeightConfig(version=2)

    def smooth(step: str) -> SmoothQuantConfig:
        return SmoothQuantConfig(int8, step, settings["alpha"], use_running_absmax=True)

    quantize_(model, smooth("prepare"), lambda module, _: any(module is one for one in linear))
    chats = data.conversations(rows, order.base.prompt)
    wanted = steps(settings, len(chats), order.max_steps)
    for number, chat in enumerate(random.Random(settings["seed"]).sample(chats, wanted), start=1):
        text = render(
            order.tokenizer, chat["prompt"] + chat["completion"], reply=False, day=order.base.day
        )
        tokens = order.tokenizer(text, add_special_tokens=False).input_ids
        with torch.no_grad():  # one by one: padding would be measured as well
            ids = torch.tensor([tokens[: settings["max_length"]]], device=model.device)
            model(input_ids=ids, use_cache=False, logits_to_keep=1)
        order.progress(number, wanted, what="row")
    quantize_(model, smooth("convert"), lambda module, _: hasattr(module, "obs"))
    _save(order, int8)
    return Outcome(rows, wanted, time.perf_counter() - start)


def _save(order: Order, int8: Any) -> None:
    """Write the checkpoint as ``from_pretrained`` with torchao would have."""
    from transformers import TorchAoConfig
    from transformers.quantizers import AutoHfQuantizer

    model = order.model
    model.config.quantization_config = TorchAoConfig(int8)
    model.hf_quantizer = AutoHfQuantizer.from_config(
        model.config.quantization_config, pre_quantized=True
    )
    model.save_pretrained(order.output)
    order.tokenizer.save_pretrained(order.output)


def steps(settings: Mapping[str, Any], rows: int, limit: int | None = None) -> int:
    """Return how many rows are measured."""
    samples: int = settings["samples"]
    return min(samples, rows, rows if limit is None else limit)


def _check(settings: Mapping[str, Any], spec: VariantSpec) -> None:
    if "adapter" in spec.options or spec.model is None:
        raise ConfigError(
            'model: missing; calibration writes a whole model: model = "NAME", and '
            '[models.NAME] source = "some/folder"'
        )


RECIPE = Recipe(
    name="calibrate",
    packages=("torch", "transformers", "torchao"),
    settings=SETTINGS,
    keys=("input", "reply"),
    steps=steps,
    train=train,
    check=_check,
)
