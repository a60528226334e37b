"""A leaf's weights in a model that has one matrix for q, k and v, or for gate and up.

What is fused is split into row blocks by the configuration's sizes, where they add up; a layout
that does not is left alone.
"""

from __future__ import annotations

from typing import Any

from pytest_modellab.observatory import sites
from pytest_modellab.observatory.effective import Effective, effective
from pytest_modellab.observatory.sites import Leaf

_FUSED = {
    ("q_proj", "k_proj", "v_proj"): ("qkv_proj", "W_pack", "Wqkv", "qkv"),
    ("gate_proj", "up_proj"): ("gate_up_proj",),
}


def read(model: Any, leaf: Leaf, like: Any = None, dtype: Any = None) -> Effective | None:
    """Read a leaf's effective weights in a model that may have fused or split its module.

    Args:
        model: which has the leaf's path, or what stands for it beside.
        leaf: of the base.
        like: the base's module, or None for the base itself.
        dtype: of the vectors that a module is asked with.

    Returns:
        Its weights; None where the model has nothing that can be read.
    """
    module = sites.module(model, leaf.path)
    if module is not None:
        return effective(module, dtype, like)
    parent, _, own = leaf.path.rpartition(".")
    for parts, names in _FUSED.items():
        if own in parts:
            for name in names:
                whole = sites.module(model, f"{parent}.{name}")
                if whole is not None:
                    return _part(effective(whole, dtype), sizes(model, parts), parts.index(own))
        if own in names:
            split = [sites.module(model, f"{parent}.{part}") for part in parts]
            if all(piece is not None for piece in split):
                return _joined([effective(piece, dtype) for piece in split])
    return None


def sizes(model: Any, parts: tuple[str, ...]) -> tuple[int, ...]:
    """Give the rows of the parts of a fused matrix, as the configuration has them."""
    if parts == ("q_proj", "k_proj", "v_proj"):
        heads, groups, width = attention(model)
        return heads * width, groups * width, groups * width
    inner = int(getattr(text(model), "intermediate_size", 0) or 0)
    return inner, inner


def parts(model: Any, name: str) -> tuple[tuple[str, int], ...]:
    """Give what a fused module holds, in order: (projection, rows); none where it is not known."""
    for names, wholes in _FUSED.items():
        if name in wholes:
            return tuple(zip(names, sizes(model, names), strict=True))
    return ()


def attention(model: Any) -> tuple[int, int, int]:
    """Give the number of heads, of their key and value groups, and a head's width; 0 if unknown."""
    config = text(model)
    heads = int(getattr(config, "num_attention_heads", 0) or 0)
    groups = int(getattr(config, "num_key_value_heads", 0) or 0) or heads
    hidden = int(getattr(config, "hidden_size", 0) or 0)
    width = int(getattr(config, "head_dim", 0) or 0) or (hidden // heads if heads else 0)
    return heads, groups, width


def text(model: Any) -> Any:
    """Give the configuration of the language model, where a model has several."""
    config: Any = getattr(model, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _part(whole: Effective | None, rows: tuple[int, ...], index: int) -> Effective | None:
    if whole is None or len(whole.weight) != sum(rows):
        return None
    start = sum(rows[:index])
    stop = start + rows[index]
    return Effective(
        whole.weight[start:stop], None if whole.bias is None else whole.bias[start:stop]
    )


def _joined(pieces: list[Effective | None]) -> Effective | None:
    import torch

    held = [piece for piece in pieces if piece is not None]
    if len(held) < len(pieces):
        return None
    biases = [piece.bias for piece in held]
    return Effective(
        torch.cat([piece.weight for piece in held]),
        None if any(bias is None for bias in biases) else torch.cat(biases),
    )
