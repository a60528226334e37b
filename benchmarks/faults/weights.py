"""Faults of weights: in one matrix, a head, a branch, a layer, several, or all of a kind."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.faults.draw import ATTENTION, MLP, NORMS, Draw, Made, path, site

Change = Callable[[Draw, torch.Tensor], torch.Tensor]


# --- what happens to a matrix ---------------------------------------------------------------------


def rounded(draw: Draw, weight: torch.Tensor) -> torch.Tensor:
    """Rounded to few steps a row."""
    steps = 2 ** draw.rng.choice((2, 2, 3)) - 1
    least = weight.amin(1, keepdim=True)
    width = (weight.amax(1, keepdim=True) - least).clamp(min=1e-12) / steps
    return torch.round((weight - least) / width) * width + least


def noise(draw: Draw, weight: torch.Tensor) -> torch.Tensor:
    return weight + draw.log_uniform(0.2, 0.8) * weight.std() * draw.normal(weight)


def scaled(draw: Draw, weight: torch.Tensor) -> torch.Tensor:
    return weight * draw.rng.choice((-1.0, 0.25, 0.4, 0.6, 1.5, 2.0, 3.0))


def zeroed(draw: Draw, weight: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(weight)


def zeroed_rows(draw: Draw, weight: torch.Tensor) -> torch.Tensor:
    changed, rows = weight.clone(), weight.shape[0]
    changed[draw.some(round(rows * draw.log_uniform(0.1, 0.6)), rows)] = 0.0
    return changed


def zeroed_columns(draw: Draw, weight: torch.Tensor) -> torch.Tensor:
    return zeroed_rows(draw, weight.T).T


def spikes(draw: Draw, weight: torch.Tensor) -> torch.Tensor:
    """A few elements far larger than any: flipped bits of exponents."""
    changed = weight.clone().reshape(-1)
    where = draw.some(draw.rng.randint(4, 24), changed.numel(), weight.device)
    size = draw.log_uniform(10, 60) * weight.abs().max()
    changed[where] = size * draw.normal(where.to(weight))
    return changed.reshape(weight.shape)


def permuted(draw: Draw, weight: torch.Tensor) -> torch.Tensor:
    return weight[draw.some(weight.shape[0], weight.shape[0])]


def reset(draw: Draw, weight: torch.Tensor) -> torch.Tensor:
    return weight.std() * draw.normal(weight)


def low_rank(draw: Draw, weight: torch.Tensor) -> torch.Tensor:
    rank = draw.rng.choice((1, 2, 4, 8))
    left = torch.randn(weight.shape[0], rank, generator=draw.gen)
    right = torch.randn(rank, weight.shape[1], generator=draw.gen)
    change = (left @ right).to(weight)
    return weight + draw.log_uniform(0.3, 1.5) * weight.norm() / change.norm() * change


def nonfinite(draw: Draw, weight: torch.Tensor) -> torch.Tensor:
    changed = weight.clone().reshape(-1)
    where = draw.some(draw.rng.randint(1, 4), changed.numel())
    changed[where] = draw.rng.choice((float("nan"), float("inf"), -float("inf")))
    return changed.reshape(weight.shape)


CHANGES: dict[str, Change] = {
    one.__name__: one
    for one in (
        rounded, noise, scaled, zeroed, zeroed_rows, zeroed_columns, spikes, permuted, reset,
        low_rank, nonfinite,
    )
}  # fmt: skip


def fault_of(change: str) -> str:
    """The specification's class of a change."""
    return "zeroed" if change.startswith("zeroed") else change


def put(model: Any, where: str, value: torch.Tensor) -> None:
    with torch.no_grad():
        model.get_submodule(where).weight.copy_(value)


def get(model: Any, where: str) -> torch.Tensor:
    weight: torch.Tensor = model.get_submodule(where).weight.detach()
    return weight


# --- one matrix -----------------------------------------------------------------------------------


def matrix(change: str, draw: Draw) -> Made:
    """Change one projection."""
    layer, kind = draw.layer(), draw.rng.choice(ATTENTION + MLP)
    where = path(layer, kind)
    put(draw.model, where, CHANGES[change](draw, get(draw.model, where)))
    return Made((site(layer, kind),), fault_of(change), (where,))


def copied(draw: Draw) -> Made:
    layer, kind = draw.layer(), draw.rng.choice(ATTENTION + MLP)
    other = draw.rng.choice([n for n in range(draw.depth) if n != layer])
    put(draw.model, path(layer, kind), get(draw.base, path(other, kind)))
    return Made((site(layer, kind),), "copied", (path(layer, kind),))


def head(draw: Draw) -> Made:
    """Change what one head has of q_proj or o_proj."""
    return _head(draw, draw.rng.choice(("q_proj", "o_proj")), "head")


def kv_head(draw: Draw) -> Made:
    """Change what one head of keys and values has of k_proj or v_proj."""
    return _head(draw, draw.rng.choice(("k_proj", "v_proj")), "kv_head")


def _head(draw: Draw, kind: str, name: str) -> Made:
    config, layer = draw.model.config, draw.layer()
    heads = config.num_attention_heads if name == "head" else config.num_key_value_heads
    number, width = draw.rng.randrange(heads), config.head_dim
    change = draw.rng.choice(("zeroed", "noise", "scaled", "reset"))
    where = path(layer, kind)
    weight = get(draw.model, where).clone()
    block = slice(number * width, (number + 1) * width)
    if kind == "o_proj":
        weight[:, block] = CHANGES[change](draw, weight[:, block])
    else:
        weight[block] = CHANGES[change](draw, weight[block])
    put(draw.model, where, weight)
    return Made((f"layer.{layer}.attention.{name}.{number}",), change, (where,))


# --- more than one --------------------------------------------------------------------------------


def _together(draw: Draw, layers: Sequence[int], kinds: Sequence[str]) -> tuple[str, list[str]]:
    """One change, drawn anew for each of the matrices."""
    change = draw.rng.choice(("noise", "rounded", "scaled", "permuted", "reset"))
    strength = draw.rng.getstate()
    paths = [path(layer, kind) for layer in layers for kind in kinds]
    for where in paths:
        draw.rng.setstate(strength)
        put(draw.model, where, CHANGES[change](draw, get(draw.model, where)))
    return change, paths


def attention(draw: Draw) -> Made:
    layer = draw.layer()
    change, paths = _together(draw, [layer], ATTENTION)
    return Made((f"layer.{layer}.attention",), change, tuple(paths))


def mlp(draw: Draw) -> Made:
    layer = draw.layer()
    change, paths = _together(draw, [layer], MLP)
    return Made((f"layer.{layer}.mlp",), change, tuple(paths))


def layer(draw: Draw) -> Made:
    number = draw.layer()
    change, paths = _together(draw, [number], ATTENTION + MLP)
    return Made((f"layer.{number}",), change, tuple(paths))


def neighbours(draw: Draw) -> Made:
    """Two or three layers in a row."""
    count = draw.rng.choice((2, 3))
    first = draw.layer(count)
    change, paths = _together(draw, range(first, first + count), ATTENTION + MLP)
    return Made((f"layers.{first}-{first + count - 1}",), change, tuple(paths))


def bypassed(draw: Draw) -> Made:
    """A layer that adds nothing: the two projections that write are zero."""
    number = draw.layer()
    paths = (path(number, "o_proj"), path(number, "down_proj"))
    for where in paths:
        put(draw.model, where, torch.zeros_like(get(draw.model, where)))
    everything = tuple(path(number, kind) for kind in (*ATTENTION, *MLP))
    return Made((f"layer.{number}",), "zeroed", everything)


def swapped(draw: Draw) -> Made:
    """Two layers in each other's place, norms included."""
    first, second = sorted(draw.rng.sample(range(draw.depth), 2))
    paths = []
    for here, there in ((first, second), (second, first)):
        for kind in (*ATTENTION, *MLP, *NORMS):
            put(draw.model, path(here, kind), get(draw.base, path(there, kind)))
            paths.append(path(here, kind))
    sites = [f"layer.{first}+layer.{second}"]
    if second == first + 1:
        sites.append(f"layers.{first}-{second}")
    return Made(tuple(sites), "swapped", tuple(paths))


def copied_layer(draw: Draw) -> Made:
    """A layer that is another one, norms included."""
    number, other = draw.rng.sample(range(draw.depth), 2)
    paths = []
    for kind in (*ATTENTION, *MLP, *NORMS):
        put(draw.model, path(number, kind), get(draw.base, path(other, kind)))
        paths.append(path(number, kind))
    return Made((f"layer.{number}",), "copied", tuple(paths))


def gguf_order(draw: Draw) -> Made:
    """Rows of all q_proj and k_proj left in the order that GGUF files hold them in."""
    paths = []
    for number in range(draw.depth):
        for kind in ("q_proj", "k_proj"):
            weight = get(draw.model, path(number, kind))
            width = draw.model.config.head_dim
            heads = weight.shape[0] // width
            halves = weight.reshape(heads, 2, width // 2, weight.shape[1])
            put(draw.model, path(number, kind), halves.transpose(1, 2).reshape(weight.shape))
            paths.append(path(number, kind))
    return Made(("all.q_proj+k_proj", "all.k_proj+q_proj"), "permuted", tuple(paths))


# --- vectors, and tables of the vocabulary --------------------------------------------------------


def norm(draw: Draw) -> Made:
    """One norm scaled, noisy, or back to ones."""
    kind = draw.rng.choice(("input_norm", "post_norm", "final_norm"))
    number = draw.layer()
    where = "model.norm" if kind == "final_norm" else path(number, kind)
    change, weight = draw.rng.choice(("scaled", "noise", "reset")), get(draw.model, where)
    if change == "reset":
        put(draw.model, where, torch.ones_like(weight))
    elif change == "noise":
        put(draw.model, where, weight * (1 + draw.log_uniform(0.3, 1.0) * draw.normal(weight)))
    else:
        put(draw.model, where, scaled(draw, weight))
    return Made(("final_norm" if kind == "final_norm" else site(number, kind),), change, (where,))


def embedding_rows(draw: Draw) -> Made:
    """Some rows of the embedding, among them tokens that are read."""
    return _rows(draw, "model.embed_tokens", "embedding")


def head_rows(draw: Draw) -> Made:
    """Some rows of the head, which may be the embedding."""
    tied = draw.model.lm_head.weight is draw.model.model.embed_tokens.weight
    return _rows(draw, "lm_head", "embedding" if tied else "lm_head")


def _rows(draw: Draw, where: str, name: str) -> Made:
    weight = get(draw.model, where).clone()
    read = sorted({token for window in draw.windows for token in window})
    rows = draw.rng.sample(read, max(3, len(read) // draw.rng.choice((4, 8, 12))))
    rows += draw.some(len(weight) // 50, len(weight)).tolist()
    kind = draw.rng.choice(("zeroed", "noise", "permuted"))
    if kind == "zeroed":
        weight[rows] = 0.0
    elif kind == "noise":
        weight[rows] += draw.log_uniform(0.6, 2.0) * weight.std() * draw.normal(weight[rows])
    else:
        weight[rows] = weight[draw.rng.sample(rows, len(rows))]
    put(draw.model, where, weight)
    both = ("model.embed_tokens", "lm_head")
    tied = draw.model.lm_head.weight is draw.model.model.embed_tokens.weight
    return Made((name,), "rows_damaged", both if tied else (where,))


def table(draw: Draw) -> Made:
    """The whole head or embedding, noisy or scaled."""
    tied = draw.model.lm_head.weight is draw.model.model.embed_tokens.weight
    name = draw.rng.choice(("embedding", "lm_head"))
    where = "lm_head" if name == "lm_head" else "model.embed_tokens"
    change = draw.rng.choice(("noise", "scaled", "rounded"))
    put(draw.model, where, CHANGES[change](draw, get(draw.model, where)))
    both = ("model.embed_tokens", "lm_head")
    return Made(("embedding" if tied else name,), change, both if tied else (where,))


def stale_head(draw: Draw) -> Made:
    """The head has weights of its own, and they are not the base's."""
    untie(draw.model)
    weight = get(draw.model, "lm_head")
    change = draw.rng.choice(("noise", "rounded"))
    put(draw.model, "lm_head", CHANGES[change](draw, weight))
    return Made(("lm_head",), change, ("lm_head",))


def untie(model: Any) -> None:
    """Give the head its own copy of the embedding; an untied one stays."""
    head = model.lm_head
    if head.weight is model.model.embed_tokens.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
        model.config.tie_word_embeddings = False


KINDS: dict[str, Callable[[Draw], Made]] = {
    **{change: functools.partial(matrix, change) for change in CHANGES},
    **{
        one.__name__: one
        for one in (
            copied, head, kv_head, attention, mlp, layer, neighbours, bypassed, swapped,
            gguf_order, norm, embedding_rows, head_rows, table, copied_layer, stale_head,
        )
    },
}  # fmt: skip
