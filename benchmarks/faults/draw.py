"""What a fault is made with, and what it says about itself."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
NORMS = {"input_norm": "input_layernorm", "post_norm": "post_attention_layernorm"}


@dataclass(frozen=True)
class Made:
    """A fault that was made.

    Attributes:
        sites: what counts as exact; the first is the site itself, others are equivalents.
        fault: the class, without its numbers.
        paths: modules that are put back for the proof; ``code`` where code is: everything but the
            leaves, or of the layers in ``layers``.
        layers: layers whose code is put back; empty for all.
        code: whether code was changed and not what a leaf holds.
    """

    sites: tuple[str, ...]
    fault: str
    paths: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    code: bool = False


@dataclass
class Draw:
    """A copy of the base that faults are put into, and the chance they are drawn with.

    Attributes:
        model: the candidate to be.
        tokenizer: the candidate's.
        base: nobody changes it.
        name: of the case: the seed.
        windows: token ids that both models are asked.
        texts: that they were cut from.
        cache: makes the candidate's key-value cache, or None.
    """

    model: Any
    tokenizer: Any
    base: Any
    name: str
    windows: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...] = ()
    cache: Callable[[Any], Any] | None = None
    rng: random.Random = field(init=False)
    gen: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        number = int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:6])
        self.rng = random.Random(number)
        self.gen = torch.Generator().manual_seed(number)

    @property
    def depth(self) -> int:
        return len(self.model.model.layers)

    def layer(self, margin: int = 0) -> int:
        """A random layer, at least ``margin`` from the last."""
        return self.rng.randrange(self.depth - margin)

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        """Normal noise, drawn on the CPU."""
        noise = torch.randn(like.shape, generator=self.gen)
        return noise.to(like.device, like.dtype)

    def some(self, count: int, of: int, device: Any = "cpu") -> torch.Tensor:
        """So many different numbers below ``of``."""
        return torch.randperm(of, generator=self.gen)[:count].to(device)

    def log_uniform(self, low: float, high: float) -> float:
        return float(low * (high / low) ** self.rng.random())


def path(layer: int, kind: str) -> str:
    """Where a leaf is in a Llama of transformers."""
    if kind in NORMS:
        return f"model.layers.{layer}.{NORMS[kind]}"
    return f"model.layers.{layer}.{'self_attn' if kind in ATTENTION else 'mlp'}.{kind}"


def site(layer: int, kind: str) -> str:
    """What the specification calls that leaf."""
    if kind in NORMS:
        return f"layer.{layer}.{kind}"
    return f"layer.{layer}.{'attention' if kind in ATTENTION else 'mlp'}.{kind}"


def leaf_sites(model: Any) -> dict[str, str]:
    """Path to site of every leaf, rotary tables included."""
    found = {"model.embed_tokens": "embedding"}
    for layer in range(len(model.model.layers)):
        for kind in ("input_norm", *ATTENTION, "post_norm", *MLP):
            found[path(layer, kind)] = site(layer, kind)
    return {
        **found,
        "model.norm": "final_norm",
        "lm_head": "lm_head",
        "model.rotary_emb": "rope",
    }
