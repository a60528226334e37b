"""The token budget: how many tokens an engine computes together, where nobody says it.

A batch must be large enough that its kernels keep the device busy, and small enough for its memory.
On the CPU a constant does. On an accelerator the budget is what half of the free memory holds, by
the largest of what one token of a batch takes:

- scoring: the layer that is being computed (the stream before and after it, queries, keys, values
  and the MLP's two halves with their product, norms in float32), the keys and values of all layers,
  and the logits of a place with their logarithms in float32, as if every place were predicted;
- generation, whose batches hold :data:`GENERATION_FACTOR` times as many tokens: their keys and
  values, twice, as a cache that grows is copied.

A mask that is written out takes more with the square of the tokens.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_modellab.engines.interface import Engine

DEFAULT_BUDGET = 512
"""On the CPU, and of an engine that does not say its own: more tokens gain nothing there."""

LARGEST = 65_536
"""On an accelerator: larger batches are no faster, of a model of 135 million parameters either."""

LARGEST_DENSE = 8_192
"""The same where the mask is written out: from here on attention takes most of the time."""

GENERATION_FACTOR = 8
"""Generated batches may be larger: a decoding step costs about the same for 1 row as for 32."""

SHARE = 0.5
"""Of the memory that is free: what kernels work in, and what they leave in pieces, is not known."""

_FLOAT32 = 4


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What decides how much memory a token of a batch takes.

    Attributes:
        hidden: width of the stream between layers.
        inner: width inside an MLP, all of a token's experts together.
        layers: how many.
        queries: width of all heads' queries.
        keys: width of all heads' keys, and of their values.
        heads: attention heads.
        vocabulary: tokens, of which each has a logit.
        width: bytes of a number.
    """

    hidden: int
    inner: int
    layers: int
    queries: int
    keys: int
    heads: int
    vocabulary: int
    width: int

    @property
    def cached(self) -> int:
        """Bytes of a token's keys and values in all layers."""
        return 2 * self.layers * self.keys * self.width

    @property
    def scored(self) -> int:
        """Bytes that a token takes while it is scored."""
        layer = 3 * self.hidden + 2 * self.queries + 2 * self.keys + 3 * self.inner
        norms = 2 * self.hidden * _FLOAT32
        logits = self.vocabulary * (self.width + 2 * _FLOAT32)
        return layer * self.width + norms + self.cached + logits

    def taken(self, tokens: int, *, dense: bool, eager: bool = False) -> int:
        """Bytes that a batch takes at most.

        Args:
            tokens: the batch's.
            dense: whether the mask is written out.
            eager: whether attention weights are, too, as a matrix a head.
        """
        matrices = int(dense or eager) + self.heads * int(eager)
        square = matrices * tokens**2 * (2 * self.width + _FLOAT32)
        written = tokens * GENERATION_FACTOR * 2 * self.cached
        return max(tokens * self.scored + square, written)


def sizes_of(model: Any) -> Sizes:
    """Return the sizes of a model of transformers, by its configuration; guessed where it has none.

    Args:
        model: of transformers, loaded.
    """
    config = model.config.get_text_config()

    def size(*names: str, default: int) -> int:
        found = (getattr(config, name, None) for name in names)
        return next((one for one in found if isinstance(one, int) and one > 0), default)

    hidden = size("hidden_size", "n_embd", "d_model", default=1024)
    heads = size("num_attention_heads", "n_head", "n_heads", default=max(1, hidden // 64))
    wide = size("head_dim", default=max(1, hidden // heads))
    experts = size("num_experts_per_tok", default=1)
    return Sizes(
        hidden=hidden,
        inner=max(
            size("intermediate_size", "ffn_dim", "n_inner", default=4 * hidden),
            experts * size("moe_intermediate_size", "intermediate_size", default=0),
        ),
        layers=size("num_hidden_layers", "n_layer", "n_layers", default=32),
        queries=heads * wide,
        keys=size("num_key_value_heads", default=heads) * wide,
        heads=heads,
        vocabulary=size("vocab_size", default=65_536),
        width=model.dtype.itemsize,
    )


def fitting(free: int, sizes: Sizes, *, dense: bool, eager: bool = False) -> int:
    """Return the largest power of two of tokens that fits, up to the largest that gains anything.

    Never less than :data:`DEFAULT_BUDGET`: whether that fits is found out by trying.

    Args:
        free: bytes of memory that are free, beside the model.
        sizes: the model's.
        dense: whether the mask is written out.
        eager: whether attention weights are, too.
    """
    budget = LARGEST_DENSE if dense or eager else LARGEST
    while budget > DEFAULT_BUDGET and (
        sizes.taken(budget, dense=dense, eager=eager) > SHARE * free
    ):
        budget //= 2
    return budget


def device_budget(model: Any, *, dense: bool) -> int:
    """Return the token budget of a model of transformers where it lies now.

    Args:
        model: loaded, and in nobody's batch.
        dense: whether the mask of a batch is written out.
    """
    if model.device.type != "cuda":
        return DEFAULT_BUDGET
    import torch

    free, _ = torch.cuda.mem_get_info(model.device)
    held = torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    eager = getattr(model.config, "_attn_implementation", None) == "eager"
    return fitting(free + held, sizes_of(model), dense=dense, eager=eager)


def budget_of(engine: Engine) -> int:
    """Return the token budget that an engine says, or the default."""
    say = getattr(engine, "token_budget", None)
    return int(say()) if callable(say) else DEFAULT_BUDGET
