"""Modules get the names that a diagnosis prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

KINDS = {
    **{
        name: name
        for name in (
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
            "qkv_proj",
            "gate_up_proj",
        )
    },
    "input_layernorm": "input_norm",
    "ln_1": "input_norm",
    "post_attention_layernorm": "post_norm",
    "ln_2": "post_norm",
}
"""The last part of a path in a layer → the kind."""


ENCODERS = {
    **{
        path: ("attention", kind)
        for kind, paths in {
            "q_proj": ("attention.self.query", "attention.attn.q", "attention.q_lin"),
            "k_proj": ("attention.self.key", "attention.attn.k", "attention.k_lin"),
            "v_proj": ("attention.self.value", "attention.attn.v", "attention.v_lin"),
            "o_proj": ("attention.output.dense", "attention.attn.o", "attention.out_lin"),
            "post_norm": ("attention.output.LayerNorm", "attention.LayerNorm"),
        }.items()
        for path in paths
    },
    "intermediate.dense": ("mlp", "up_proj"),
    "output.dense": ("mlp", "down_proj"),
    "ffn.lin1": ("mlp", "up_proj"),
    "ffn.lin2": ("mlp", "down_proj"),
}
"""The path in a layer of BERT, MPNet and DistilBERT → branch and kind."""


ATTENTION = ("attn", "attention")
MLP = ("mlp", "feed_forward", "ffn", "moe", "experts")


SITE = "observed_as"
"""The attribute by which a module without parameters says what it is called."""


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A module that holds parameters and none of whose children do, or one that gives rotations.

    Attributes:
        path: in the base model, as ``get_submodule`` takes it.
        site: its name in reports; the path where no pattern fits.
        kind: what it has peers by: ``q_proj`` … ``down_proj``, ``input_norm``, ``post_norm``,
            ``final_norm``, ``embedding``, ``lm_head``, ``rope``; else the path in its layer.
        layer: its number, or None outside of the layers.
        branch: ``attention``, ``mlp``, or empty.
    """

    path: str
    site: str
    kind: str
    layer: int | None
    branch: str = ""

    @property
    def norm(self) -> bool:
        """Whether it is a norm, by its kind or its name."""
        name = self.path.rpartition(".")[2].lower()
        return self.kind.endswith("norm") or "norm" in name or name.startswith("ln_")


def leaves(model: Any) -> tuple[Leaf, ...]:
    """Name the leaves of a model.

    Args:
        model: of transformers, in whose modules adapters may be.

    Returns:
        In the order of its modules.
    """
    embedding = _get(model, "get_input_embeddings")
    head = _get(model, "get_output_embeddings")
    return tuple(_named(path, module, embedding, head) for path, module in _found(model, ""))


def module(model: Any, path: str) -> Any:
    """The module at a path, or None where a model has none there."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


def parts(leaves: Iterable[Leaf]) -> tuple[str, ...]:
    """Paths of the layers, attentions and MLPs that leaves lie in, in order."""
    paths = ((layer(leaf), branch(leaf)) for leaf in leaves)
    return tuple(dict.fromkeys(path for pair in paths for path in pair if path))


def layer(leaf: Leaf) -> str:
    """The path of the layer that a leaf lies in, or an empty one."""
    parts = leaf.path.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return "" if number is None else ".".join(parts[: number + 1])


def branch(leaf: Leaf) -> str:
    """The path of the attention or MLP that a leaf lies in, or an empty one.

    Of an MLP that is no module of its own it is the layer's.
    """
    parts = leaf.path.split(".")
    start = next((i for i, part in enumerate(parts) if part.isdigit()), len(parts)) + 1
    for end in range(start + 1, len(parts)):
        if _branch(parts[start:end]):
            return ".".join(parts[:end])
    return layer(leaf) if leaf.branch else ""  # BERT's MLP is no module of its own


def _found(module: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Leaves at or below a module."""
    if vars(module).get(SITE):
        yield path, module
        return
    if _holds(module) or "inv_freq" in dict(module.named_buffers(recurse=False)):
        whole = hasattr(module, "base_layer")  # an adapter's layer is one leaf with what it wraps
        if whole or not any(_parameters(child) for child in module.children()):
            yield path, module
            return
    elif hasattr(module, "base_layer"):
        yield path, module
        return
    for name, child in module.named_children():
        if name == "pooler":  # of BERT, which encoders make nothing of
            continue
        yield from _found(child, f"{path}.{name}" if path else name)


def _holds(module: Any) -> bool:
    """Whether a module has parameters of its own."""
    return next(module.parameters(recurse=False), None) is not None


def _parameters(module: Any) -> bool:
    """Whether a module has parameters, or one below it has."""
    return next(module.parameters(), None) is not None


def _get(model: Any, name: str) -> Any:
    try:
        return getattr(model, name)()
    except (AttributeError, NotImplementedError):
        return None


def _named(path: str, module: Any, embedding: Any, head: Any) -> Leaf:
    if module is embedding:
        return Leaf(path, "embedding", "embedding", None)
    if module is head:
        return Leaf(path, "lm_head", "lm_head", None)
    if own := vars(module).get(SITE):
        return Leaf(path, own, own, None)
    parts = path.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    if not _holds(module) and not _parameters(module):
        return Leaf(path, "rope", "rope", None)
    if number is None:
        if parts[-1] in ("norm", "ln_f", "final_layer_norm", "final_layernorm", "final_norm"):
            return Leaf(path, "final_norm", "final_norm", None)
        return Leaf(path, path, parts[-1], None)
    layer, rest = int(parts[number]), parts[number + 1 :]
    if encoders := ENCODERS.get(".".join(rest)):
        branch, known = encoders
        inside = f"{branch}.{known}" if known.endswith("_proj") else known
        return Leaf(path, f"layer.{layer}.{inside}", known, layer, branch)
    branch = _branch(rest[:-1])
    kind = KINDS.get(parts[-1])
    if kind is None or (kind.endswith("_proj") and len(rest) != 2):
        return Leaf(path, path, ".".join(rest), layer, branch)
    site = f"layer.{layer}.{branch}.{kind}" if kind.endswith("_proj") else f"layer.{layer}.{kind}"
    return Leaf(path, site if branch or kind.endswith("_norm") else path, kind, layer, branch)


def _branch(parts: list[str]) -> str:
    for part in parts:
        if any(name in part.lower() for name in ATTENTION):
            return "attention"
        if any(name in part.lower() for name in MLP):
            return "mlp"
    return ""
