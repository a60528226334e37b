"""The matrix that a module applies, read off what it does, whatever packs or wraps it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

_BLOCK = 1 << 22
"""Elements of the longer side that are read at once: 16 MB in float32."""


@dataclasses.dataclass(frozen=True)
class Effective:
    """What a module applies.

    Attributes:
        weight: float32; ``(out, in)`` of a linear map, ``(vocabulary, width)`` of an embedding, the
            vector of a norm, or a parameter that is none of these, its first axis kept.
        bias: float32, or None.
    """

    weight: Any
    bias: Any = None


def effective(module: Any, dtype: Any = None, like: Any = None) -> Effective | None:
    """Read the weights that a module applies, as float32 on its device.

    Plain float weights are taken as they are, and so is what a packed tensor calls its
    ``dequantize()``. Whatever else is linear is asked: unit vectors give its columns, token ids an
    embedding's rows.

    Args:
        module: a leaf of a model, or what wraps one there.
        dtype: of the vectors that it is asked with; of its own weights where None.
        like: the module that it stands for, which says what it is where its class does not.

    Returns:
        Its weights; None where it holds none, or nothing is known about how it applies them.
    """
    import torch

    with torch.no_grad():
        known = like if like is not None else module
        if _is_embedding(known):
            return _embedding(module, known)
        if _sides(known) is not None:
            return _linear(module, known, dtype)
        return _stored(module)


def transposed(module: Any) -> bool:
    """Whether a module stores its matrix as ``(in, out)``: transformers' ``Conv1D``."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def _is_embedding(module: Any) -> bool:
    import torch

    return isinstance(module, torch.nn.Embedding)


def _sides(module: Any) -> tuple[int, int] | None:
    """Give (out, in) of a linear map; None of anything else."""
    if transposed(module):
        return int(module.nf), int(module.weight.shape[0])
    if isinstance(getattr(module, "in_features", None), int) and isinstance(
        getattr(module, "out_features", None), int
    ):
        return module.out_features, module.in_features
    return None


def _linear(module: Any, known: Any, dtype: Any) -> Effective | None:
    import torch

    plain = _plain(module)
    if plain is not None:
        weight, bias = plain
        return Effective(weight.t() if transposed(module) else weight, bias)
    sides = _sides(module) or _sides(known)
    assert sides is not None
    device, own = _home(module)
    dtype = dtype or own
    bias = _columns(module, torch.zeros(1, 1, sides[1], device=device, dtype=dtype))[0]
    out = len(bias)
    biased = bool(bias.count_nonzero())
    weight = torch.empty(out, sides[1], device=device)
    step = max(1, _BLOCK // max(out, sides[1]))
    with _without_bias(module) if biased else contextlib.nullcontext():
        left = _columns(module, torch.zeros(1, 1, sides[1], device=device, dtype=dtype))[0]
        for start in range(0, sides[1], step):
            stop = min(start + step, sides[1])
            unit = torch.zeros(1, stop - start, sides[1], device=device, dtype=dtype)
            unit[0, torch.arange(stop - start), torch.arange(start, stop)] = 1
            weight[:, start:stop] = (_columns(module, unit) - left).t()
    return Effective(weight, bias if biased else None)


def _columns(module: Any, vectors: Any) -> Any:
    """Ask a module for its outputs, as rows of float32."""
    output = module(vectors)
    return (output[0] if isinstance(output, tuple) else output)[0].float()


def _embedding(module: Any, known: Any) -> Effective | None:
    import torch

    plain = _plain(module)
    if plain is not None:
        return Effective(plain[0])
    device, _ = _home(module)
    rows = int(getattr(module, "num_embeddings", None) or known.num_embeddings)
    step = max(1, _BLOCK // int(known.embedding_dim))
    try:
        blocks = [
            module(torch.arange(start, min(start + step, rows), device=device)[None])[0].float()
            for start in range(0, rows, step)
        ]
    except (IndexError, TypeError, RuntimeError, ValueError):  # it takes something else than ids
        return _stored(module)
    return Effective(torch.cat(blocks))


def _stored(module: Any) -> Effective | None:
    """Give the parameters of a norm, or of a module that nothing is known about."""
    import torch

    weight = getattr(module, "weight", None)
    bias = getattr(module, "bias", None)
    if isinstance(weight, torch.Tensor) and weight.is_floating_point():
        bias = bias.float() if isinstance(bias, torch.Tensor) else None
        return Effective(_float(weight), bias)
    held = [
        _float(value)
        for _, value in sorted(module.named_parameters())
        if value.is_floating_point() and value.numel()
    ]
    if not held:
        return None
    if len(held) == 1:
        return Effective(held[0])
    first = held[0].shape[0] if held[0].dim() else 1
    if all(value.dim() > 1 and value.shape[0] == first for value in held):  # one row an expert
        return Effective(torch.cat([value.reshape(first, -1) for value in held], dim=1))
    return Effective(torch.cat([value.reshape(-1) for value in held]))


def _plain(module: Any) -> tuple[Any, Any] | None:
    """Give weight and bias where the module does nothing but apply them as they are stored."""
    import torch

    held = dict(module.named_parameters(recurse=False))
    weight, bias = held.get("weight"), held.get("bias")
    if (
        weight is None
        or "forward" in module.__dict__
        or vars(module)["_forward_hooks"]
        or vars(module)["_forward_pre_hooks"]
        or not (
            type(module).forward in (torch.nn.Linear.forward, torch.nn.Embedding.forward)
            or transposed(module)
        )
    ):
        return None
    if not (weight.is_floating_point() and weight.dim() == 2):
        return None
    if not _is_packed(weight):
        return _float(weight), _float(bias)
    unpacked = _unpacked(weight)
    return None if unpacked is None else (unpacked, _float(bias))


def _is_packed(tensor: Any) -> bool:
    import torch

    return type(tensor) not in (torch.Tensor, torch.nn.Parameter) or type(tensor.data) is not (
        torch.Tensor
    )


def _unpacked(tensor: Any) -> Any:
    """Give what a packed tensor says that it holds; None where it cannot say."""
    import torch

    holders: tuple[Any, ...] = (tensor, getattr(tensor, "original_weight_tensor", None))
    for holder in holders:
        if getattr(type(holder), "dequantize", None) in (None, torch.Tensor.dequantize):
            continue
        value: Any = holder.dequantize()
        if type(value) is torch.Tensor and value.shape == tensor.shape:
            return value.float()
    return None


def _float(tensor: Any) -> Any:
    return None if tensor is None else tensor.detach().float()


def _home(module: Any) -> tuple[Any, Any]:
    """Give a module's device, and the type of what it computes with."""
    import torch

    held = [*module.parameters(), *module.buffers()]
    device = held[0].device if held else torch.device("cpu")
    floats = [value.dtype for value in held if value.is_floating_point()]
    return device, next((kind for kind in floats if kind.itemsize <= 4), torch.float32)


@contextlib.contextmanager
def _without_bias(module: Any) -> Iterator[None]:
    """Take biases away for a while: in half precision they would round the columns away."""
    taken = [
        (part, held["bias"])
        for part in module.modules()
        if "bias" in (held := dict(part.named_parameters(recurse=False)))
    ]
    for part, _ in taken:
        part.bias = None
    try:
        yield
    finally:
        for part, bias in taken:
            part.bias = bias
