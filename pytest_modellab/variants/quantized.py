"""Kind ``quantized``: the base variant with its linear layers' weights held in fewer bits."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.records import ModelSource, VariantSpec
from pytest_modellab.variants import gguf
from pytest_modellab.variants.plan import Plan, Step, check_options

if TYPE_CHECKING:
    import torch

METHODS = ("bitsandbytes-nf4", "torchao-int8", "rtn", "gguf")


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a quantized variant.

    Args:
        spec: option ``method``; ``rtn`` also takes ``bits`` (2 to 8) and ``group_size``.
        base: the plan of the variant that is quantized; its adapters are merged first.
        model: not used.
        root: the folder that a relative path starts from.

    Returns:
        The base's plan, quantized: nothing else changes.

    Raises:
        ConfigError: a wrong option, or no base; the message begins with the option's name.
    """
    options = dict(spec.options)
    if options.get("method") == "gguf":
        return gguf.plan(spec, base, root)
    if base is None:
        raise ConfigError("base: missing; name the variant that is quantized")
    if base.quantization:
        raise ConfigError(f"base: {spec.base!r} is quantized already")
    base = dataclasses.replace(base, baked=(*base.baked, *base.steps), steps=())
    check_options(options, {"method": str, "bits": int, "group_size": int})
    method = options.pop("method", None)
    if method not in METHODS:
        problem = "missing" if method is None else f"unknown {method!r}"
        raise ConfigError(f"method: {problem}; {near_misses(str(method), METHODS)}")
    if method == "rtn":
        settings = {"bits": options.get("bits", 4), "group_size": options.get("group_size", 64)}
        if not 2 <= settings["bits"] <= 8:
            raise ConfigError(f"bits: {settings['bits']} lies outside 2 to 8")
        if settings["group_size"] < 1:
            raise ConfigError(f"group_size: {settings['group_size']} must be at least 1")
        rounding = Step("rtn", settings, functools.partial(_round_to_nearest, **settings))
        rounded = dataclasses.replace(base, quantization={"method": method, **settings})
        return rounded.with_step(rounding)
    if options:
        raise ConfigError(f"{min(options)}: the method {method!r} does not take it")
    load_options: Mapping[str, Callable[[], Mapping[str, Any]]] = {
        "bitsandbytes-nf4": functools.partial(_nf4, base.dtype),
        "torchao-int8": _int8,
    }
    return dataclasses.replace(
        base,
        quantization={"method": method},
        packages=(*base.packages, method.split("-", maxsplit=1)[0]),
        load_options=load_options[method],
    )


def _nf4(dtype: str) -> Mapping[str, Any]:
    """4-bit NormalFloat weights in blocks of 64 (Dettmers et al. 2023, QLoRA)."""
    import torch
    from transformers import BitsAndBytesConfig

    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
    }


def _int8() -> Mapping[str, Any]:
    """int8 weights per channel, int8 activations with a scale for each token."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig
    from transformers import TorchAoConfig

    return {"quantization_config": TorchAoConfig(Int8DynamicActivationInt8WeightConfig())}


def _round_to_nearest(model: Any, *, bits: int, group_size: int) -> Any:
    """Round every linear weight to ``2**bits`` even steps between its group's least and largest.

    The plain baseline that quantization papers call RTN (for example Frantar et al. 2022, GPTQ);
    weights stay in their dtype, so only quality shows what it costs. The output head is left out,
    as the other methods do.
    """
    import torch

    head = model.get_output_embeddings()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear) and module is not head:
                module.weight.copy_(_rounded(module.weight, bits, group_size))
    return model


def _rounded(weight: torch.Tensor, bits: int, group_size: int) -> torch.Tensor:
    """Round a matrix in groups of ``group_size`` along its input dimension.

    Args:
        weight: (out, in).
        bits: steps are ``2**bits - 1`` an interval.
        group_size: the last group may be shorter.

    Returns:
        The rounded matrix, same shape and dtype.
    """
    import torch

    parts = []
    for group in weight.split(group_size, dim=1):
        low, high = group.amin(dim=1, keepdim=True), group.amax(dim=1, keepdim=True)
        step = ((high - low) / (2**bits - 1)).clamp_min(torch.finfo(weight.dtype).tiny)
        parts.append((group - low).div(step).round().mul(step).add(low))
    return torch.cat(parts, dim=1)
