"""What a declared quantization makes of a matrix: written from scratch, to compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
"""Steps of nf4: quantiles of a normal distribution (Dettmers et al. 2023, QLoRA)."""

FP4 = (0.0, 0.0625 / 12, 2 / 12, 3 / 12, 4 / 12, 6 / 12, 8 / 12, 12 / 12)
"""Steps of bitsandbytes' fp4 above zero."""

_BLOCK = 64
_LEAST = 1e-30


def of(settings: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    """Give what a variant's settings say is done to a matrix.

    Args:
        settings: ``quantization`` of its plan.

    Returns:
        Float matrix (out, in) → what is computed with, as float32; None where the settings round no
        matrices, or in a way that is not known here.
    """
    method = settings.get("method")
    size = settings.get("group_size")
    known: dict[Any, Callable[[Any], Any]] = {
        "bitsandbytes-nf4": lambda weight: by_codebook(weight, NF4),
        "bitsandbytes-fp4": lambda weight: by_codebook(
            weight, (*(-step for step in reversed(FP4[1:])), *FP4)
        ),
        "bitsandbytes-int8": lambda weight: symmetric(weight.half().float(), 8, half=False),
        "torchao-int8": lambda weight: symmetric(weight, 8),
        "torchao-int8-weight-only": lambda weight: symmetric(weight, 8),
        "torchao-int4-weight-only": lambda weight: symmetric(weight, 4, size),
        "quanto-int8": lambda weight: symmetric(weight, 8, half=False),
        "quanto-int4": lambda weight: between(weight, 4, _quanto_group(weight.shape[1])),
        "rtn": lambda weight: between(weight, int(settings["bits"]), int(size or 0)),
    }
    return known.get(method)


def between(weight: Any, bits: int, group_size: int) -> Any:
    """Round to ``2**bits`` even steps between a group's least and largest value.

    Args:
        weight: (out, in).
        bits: of a value.
        group_size: values along the input that share a scale; the last group may be shorter.

    Returns:
        The rounded matrix, float32.
    """
    import torch

    parts = []
    for part in weight.float().split(group_size or weight.shape[1], dim=1):
        low, high = part.amin(1, keepdim=True), part.amax(1, keepdim=True)
        step = ((high - low) / (2**bits - 1)).clamp_min(_LEAST)
        parts.append(((part - low) / step).round() * step + low)
    return torch.cat(parts, dim=1)


def symmetric(weight: Any, bits: int, group_size: int | None = None, *, half: bool = True) -> Any:
    """Round to whole multiples of a group's scale, zero among them.

    Args:
        weight: (out, in).
        bits: of a value.
        group_size: values along the input that share a scale; None for whole rows.
        half: whether the largest value lies half a step beyond the last positive one, as torchao
            has it, or on it.

    Returns:
        The rounded matrix, float32.
    """
    import torch

    top = 2 ** (bits - 1)
    parts = []
    for part in weight.float().split(group_size or weight.shape[1], dim=1):
        most = part.abs().amax(1, keepdim=True)
        scale = (most / (top - 0.5 if half else top - 1)).clamp_min(_LEAST)
        # torchao multiplies: a negative largest value then lies on the edge of two steps as it does
        steps = part * (1.0 / scale) if half else part / scale
        parts.append(steps.round().clamp(-top, top - 1) * scale)
    return torch.cat(parts, dim=1)


def by_codebook(weight: Any, steps: tuple[float, ...]) -> Any:
    """Round to the nearest of some steps, times the largest value of 64 neighbours.

    Args:
        weight: (out, in); neighbours lie along the rows, over their ends.
        steps: ascending, in [-1, 1].

    Returns:
        The rounded matrix, float32.
    """
    import torch

    flat = weight.float().flatten()
    short = -len(flat) % _BLOCK
    blocks = torch.nn.functional.pad(flat, (0, short)).view(-1, _BLOCK)
    most = blocks.abs().amax(1, keepdim=True).clamp_min(_LEAST)
    table = torch.tensor(steps, device=weight.device)
    nearest = torch.bucketize(blocks / most, (table[:-1] + table[1:]) / 2)
    rounded = (table[nearest] * most).flatten()
    return rounded[: len(flat)].view(weight.shape)


def _quanto_group(width: int) -> int:
    """The group that optimum-quanto takes: 128 or less of a row, or all of it."""
    size = 128
    while width % size and size > 32:
        size -= 32
    return size if width > 128 and width % size == 0 else width
