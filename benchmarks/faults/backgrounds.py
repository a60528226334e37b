"""What changes a candidate everywhere and on purpose, while a fault may sit in one place."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.faults.draw import ATTENTION, MLP, Draw, path

NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip
"""The sixteen values of NF4 (Dettmers et al. 2023)."""


def projections(model: Any) -> Iterator[Any]:
    """Every projection of the layers, in order."""
    for layer in range(len(model.model.layers)):
        for kind in ATTENTION + MLP:
            yield model.get_submodule(path(layer, kind))


def _rewrite(model: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with torch.no_grad():
        for module in projections(model):
            module.weight.copy_(change(module.weight))


def bfloat16(draw: Draw) -> None:
    """Parameters in bfloat16; buffers (rotations) stay, as they do when a model is loaded so."""
    for parameter in draw.model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    draw.model.config.dtype = torch.bfloat16


def int8(draw: Draw) -> None:
    """Symmetric, one scale a row."""

    def change(weight: torch.Tensor) -> torch.Tensor:
        scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        return torch.round(weight / scale) * scale

    _rewrite(draw.model, change)


def _groups(weight: torch.Tensor, size: int = 64) -> torch.Tensor:
    return weight.reshape(-1, size)


def rtn4(draw: Draw) -> None:
    """Four bits, sixteen even steps between the least and the largest of 64 neighbours."""

    def change(weight: torch.Tensor) -> torch.Tensor:
        groups = _groups(weight)
        least = groups.amin(1, keepdim=True)
        step = (groups.amax(1, keepdim=True) - least).clamp(min=1e-12) / 15
        return (torch.round((groups - least) / step) * step + least).reshape(weight.shape)

    _rewrite(draw.model, change)


def nf4(draw: Draw) -> None:
    """Four bits, the code book of NF4 over the largest of 64 neighbours."""

    def change(weight: torch.Tensor) -> torch.Tensor:
        book = torch.tensor(NF4, device=weight.device)
        middles = (book[1:] + book[:-1]) / 2
        groups = _groups(weight)
        scale = groups.abs().amax(1, keepdim=True).clamp(min=1e-12)
        return (book[torch.bucketize(groups / scale, middles)] * scale).reshape(weight.shape)

    _rewrite(draw.model, change)


def lora(draw: Draw, relative: float = 0.06) -> None:
    """A change of rank 8 in every projection, merged: fine-tuned, and nobody says so."""

    def change(weight: torch.Tensor) -> torch.Tensor:
        return weight + delta(draw, weight, relative)

    _rewrite(draw.model, change)


def delta(draw: Draw, weight: torch.Tensor, relative: float, rank: int = 8) -> torch.Tensor:
    """A random change of low rank, so large beside the weight; sizes differ by module."""
    left = torch.randn(weight.shape[0], rank, generator=draw.gen)
    right = torch.randn(rank, weight.shape[1], generator=draw.gen)
    change = (left @ right).to(weight)
    size = relative * draw.log_uniform(0.7, 1.4)
    return size * weight.norm() / change.norm() * change


def peft(draw: Draw, relative: float = 0.06) -> None:
    """The same change in adapters that PEFT put into the modules."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=8, lora_alpha=16, target_modules=list(ATTENTION + MLP))
    inject_adapter_in_model(config, draw.model)
    draw.model.eval()
    with torch.no_grad():
        for module in projections(draw.model):
            weight = module.base_layer.weight
            down, up = module.lora_A["default"].weight, module.lora_B["default"].weight
            down.copy_(draw.normal(down))
            up.copy_(draw.normal(up))
            change = (up @ down) * module.scaling["default"]
            size = relative * draw.log_uniform(0.7, 1.4)
            up.mul_(size * weight.norm() / change.norm())


def bitsandbytes_nf4(draw: Draw) -> None:
    """What bitsandbytes makes of it: packed weights in modules of its own."""
    import bitsandbytes

    def replace(parent: Any, name: str, module: Any) -> None:
        packed = bitsandbytes.nn.Linear4bit(
            module.in_features,
            module.out_features,
            bias=False,
            compute_dtype=torch.float32,
            quant_type="nf4",
        )
        packed.weight = bitsandbytes.nn.Params4bit(
            module.weight.data.cpu(), requires_grad=False, quant_type="nf4"
        )
        setattr(parent, name, packed.to(draw.model.device))

    for number, layer in enumerate(draw.model.model.layers):
        for kind in ATTENTION + MLP:
            parent = layer.self_attn if kind in ATTENTION else layer.mlp
            replace(parent, kind, draw.model.get_submodule(path(number, kind)))


def torchao_int8(draw: Draw) -> None:
    """What torchao makes of it: tensors of its own in the usual modules; weights only."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    names = {id(module) for module in projections(draw.model)}
    quantize_(draw.model, Int8WeightOnlyConfig(), filter_fn=lambda module, _: id(module) in names)


def none(draw: Draw) -> None:
    """Nothing else is different."""


BACKGROUNDS: dict[str, Callable[[Draw], None]] = {
    "none": none,
    "bfloat16": bfloat16,
    "int8": int8,
    "rtn4": rtn4,
    "nf4": nf4,
    "lora": lora,
    "lora-declared": lora,
    "peft": peft,
    "bitsandbytes-nf4": bitsandbytes_nf4,
    "torchao-int8": torchao_int8,
}
DECLARED = frozenset({"lora-declared"})
"""The diagnosis is given the base with the declared change in it, as an accepted variant has it."""
ADDED = frozenset({"lora", "lora-declared", "peft"})
"""Backgrounds that are added to the weights, and do not round them."""
_NEEDS = {"peft": "peft", "bitsandbytes-nf4": "bitsandbytes", "torchao-int8": "torchao"}


@functools.cache
def available(name: str) -> bool:
    """Whether the library that a background needs is installed."""
    return name not in _NEEDS or importlib.util.find_spec(_NEEDS[name]) is not None
