"""Candidates that nothing is wrong with: the same function, or a little different everywhere."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
import transformers
from transformers.cache_utils import DynamicCache

from benchmarks.faults import backgrounds
from benchmarks.faults.draw import ATTENTION, MLP, Draw, path
from benchmarks.faults.models import rebuilt, saved_and_loaded
from benchmarks.faults.weights import get, put, untie

_READ = {"input_norm": ("q_proj", "k_proj", "v_proj"), "post_norm": ("gate_proj", "up_proj")}
"""The projections that read what a norm returns."""


# --- nothing is different, or only how it is held -------------------------------------------------


def equal(draw: Draw) -> None:
    """A copy."""


def saved(draw: Draw) -> None:
    draw.model = saved_and_loaded(draw.model)


def eager(draw: Draw) -> None:
    draw.model.set_attn_implementation("eager")


def float64(draw: Draw) -> None:
    draw.model.double()


def untied(draw: Draw) -> None:
    """The head has its own copy of the embedding; an untied one stays."""
    untie(draw.model)


def usual_cache(draw: Draw) -> None:
    draw.cache = lambda config: DynamicCache(config=config)


def names(draw: Draw) -> None:
    """Names and versions of the configuration."""
    config = draw.model.config
    config.name_or_path = "somewhere/else"
    config.architectures = ["AnotherForCausalLM"]
    config.transformers_version = "4.0.0"
    config.initializer_range = 0.5


def white_space(draw: Draw) -> None:
    """White space in the template's tags, which renders to the same."""
    draw.tokenizer = copy.deepcopy(draw.tokenizer)
    text = draw.tokenizer.chat_template
    draw.tokenizer.chat_template = "{# a comment #}" + text.replace("%}", "  %}")


def tokenizer_again(draw: Draw) -> None:
    draw.tokenizer = rebuilt(draw.tokenizer, lambda content: content.update(padding=None))


def longest(draw: Draw) -> None:
    """A larger position limit, which nothing uses."""
    draw.model.config.max_position_embeddings *= 2


def sampling_saved(draw: Draw) -> None:
    draw.model.generation_config = transformers.GenerationConfig.from_dict(
        draw.model.generation_config.to_dict()
    )


# --- the same function in other weights -----------------------------------------------------------


def _some_layers(draw: Draw) -> Sequence[int]:
    return range(draw.depth) if draw.rng.random() < 0.5 else [draw.layer()]


def neurons(draw: Draw) -> None:
    """Neurons of MLPs in another order, with their partners."""
    for layer in _some_layers(draw):
        up = get(draw.model, path(layer, "up_proj"))
        order = draw.some(len(up), len(up), up.device)
        put(draw.model, path(layer, "up_proj"), up[order])
        put(draw.model, path(layer, "gate_proj"), get(draw.model, path(layer, "gate_proj"))[order])
        down = get(draw.model, path(layer, "down_proj"))
        put(draw.model, path(layer, "down_proj"), down[:, order])


def _blocks(heads: torch.Tensor, width: int) -> torch.Tensor:
    """Rows of heads, given the heads."""
    return (heads[:, None] * width + torch.arange(width, device=heads.device)[None]).reshape(-1)


def heads(draw: Draw) -> None:
    """Heads in another order, with what belongs to them."""
    config = draw.model.config
    groups = config.num_key_value_heads
    each, width = config.num_attention_heads // groups, config.head_dim
    for layer in _some_layers(draw):
        order = draw.some(groups, groups, draw.model.device)
        inside = draw.some(each, each, draw.model.device)
        queries = _blocks((order[:, None] * each + inside[None]).reshape(-1), width)
        for kind, rows in (("q_proj", queries), ("k_proj", _blocks(order, width)),
                           ("v_proj", _blocks(order, width))):  # fmt: skip
            put(draw.model, path(layer, kind), get(draw.model, path(layer, kind))[rows])
        out = get(draw.model, path(layer, "o_proj"))
        put(draw.model, path(layer, "o_proj"), out[:, queries])


def _fold(draw: Draw, layers: Sequence[int]) -> None:
    for layer in layers:
        for norm, kinds in _READ.items():
            weight = get(draw.model, path(layer, norm)).clone()
            for kind in kinds:
                put(draw.model, path(layer, kind), get(draw.model, path(layer, kind)) * weight)
            put(draw.model, path(layer, norm), torch.ones_like(weight))


def norms_folded(draw: Draw) -> None:
    """The norms' weights are in the projections that read them."""
    _fold(draw, _some_layers(draw))


def last_norm_folded(draw: Draw) -> None:
    """The last norm's weight is in the head."""
    untie(draw.model)
    weight = get(draw.model, "model.norm").clone()
    put(draw.model, "lm_head", get(draw.model, "lm_head") * weight)
    put(draw.model, "model.norm", torch.ones_like(weight))


def _factors(draw: Draw, count: int) -> torch.Tensor:
    noise = torch.randn(count, generator=draw.gen)
    return torch.exp(0.7 * noise).to(draw.model.device)


def up_to_down(draw: Draw) -> None:
    """Scales moved from up_proj to down_proj, as SmoothQuant and AWQ do."""
    for layer in _some_layers(draw):
        up, down = (get(draw.model, path(layer, kind)) for kind in ("up_proj", "down_proj"))
        scale = _factors(draw, len(up))
        put(draw.model, path(layer, "up_proj"), up * scale[:, None])
        put(draw.model, path(layer, "down_proj"), down / scale)


def norm_to_readers(draw: Draw) -> None:
    """Scales moved from the norms to the projections that read them, as SmoothQuant does."""
    for layer in _some_layers(draw):
        for norm, kinds in _READ.items():
            weight = get(draw.model, path(layer, norm))
            scale = _factors(draw, len(weight))
            put(draw.model, path(layer, norm), weight / scale)
            for kind in kinds:
                put(draw.model, path(layer, kind), get(draw.model, path(layer, kind)) * scale)


def values_to_output(draw: Draw) -> None:
    """An orthogonal map between v_proj and o_proj, another in each head."""
    config = draw.model.config
    width, groups = config.head_dim, config.num_key_value_heads
    each = config.num_attention_heads // groups
    for layer in _some_layers(draw):
        values = get(draw.model, path(layer, "v_proj")).clone()
        out = get(draw.model, path(layer, "o_proj")).clone()
        for group in range(groups):
            turn = _orthogonal(draw, width)
            rows = slice(group * width, (group + 1) * width)
            values[rows] = turn @ values[rows]
            for head in range(group * each, (group + 1) * each):
                columns = slice(head * width, (head + 1) * width)
                out[:, columns] = out[:, columns] @ turn.T
        put(draw.model, path(layer, "v_proj"), values)
        put(draw.model, path(layer, "o_proj"), out)


def _orthogonal(draw: Draw, width: int) -> torch.Tensor:
    made = torch.linalg.qr(torch.randn(width, width, generator=draw.gen)).Q
    return made.to(draw.model.device)


def queries_to_keys(draw: Draw) -> None:
    """A factor moved from all queries of a layer to its keys."""
    for layer in _some_layers(draw):
        factor = draw.rng.choice((0.5, 2.0, 4.0))
        q, k = path(layer, "q_proj"), path(layer, "k_proj")
        put(draw.model, q, get(draw.model, q) * factor)
        put(draw.model, k, get(draw.model, k) / factor)


def signs(draw: Draw) -> None:
    """Half of the neurons with the other sign in up_proj and down_proj."""
    for layer in _some_layers(draw):
        up, down = (get(draw.model, path(layer, kind)) for kind in ("up_proj", "down_proj"))
        sign = torch.ones(len(up), device=up.device)
        sign[draw.some(len(up) // 2, len(up))] = -1.0
        put(draw.model, path(layer, "up_proj"), up * sign[:, None])
        put(draw.model, path(layer, "down_proj"), down * sign)


def rotated(draw: Draw) -> None:
    """The whole residual stream turned, as QuaRot does."""
    model = draw.model
    _fold(draw, range(draw.depth))
    last_norm_folded(draw)
    turn = _orthogonal(draw, model.config.hidden_size)
    for where in ("model.embed_tokens", "lm_head"):
        put(model, where, get(model, where) @ turn)
    for layer in range(draw.depth):
        for kind in ATTENTION + MLP:
            weight, where = get(model, path(layer, kind)), path(layer, kind)
            writes = kind in ("o_proj", "down_proj")
            put(model, where, turn.T @ weight if writes else weight @ turn)


# --- a little different, or where nobody looks ----------------------------------------------------


def unread_rows(draw: Draw) -> None:
    """Rows of tokens that no probe holds; the head keeps what it had."""
    untie(draw.model)
    read = {token for window in draw.windows for token in window}
    weight = get(draw.model, "model.embed_tokens").clone()
    rows = [row for row in range(len(weight)) if row not in read]
    rows = draw.rng.sample(rows, max(1, len(rows) // 4))
    weight[rows] = weight.std() * draw.normal(weight[rows])
    put(draw.model, "model.embed_tokens", weight)


def faint_noise(draw: Draw) -> None:
    """Noise far below an effect, everywhere or in one projection."""
    layers = _some_layers(draw)
    kinds = ATTENTION + MLP if len(layers) > 1 else (draw.rng.choice(ATTENTION + MLP),)
    for layer in layers:
        for kind in kinds:
            weight = get(draw.model, path(layer, kind))
            put(draw.model, path(layer, kind), weight + 3e-4 * weight.std() * draw.normal(weight))


def even_noise(draw: Draw) -> None:
    """Noise of one strength in every projection: as much as rounding to 8 bits, or to 4."""
    strength = draw.rng.choice((0.01, 0.05))
    for layer in range(draw.depth):
        for kind in ATTENTION + MLP:
            weight = get(draw.model, path(layer, kind))
            put(
                draw.model,
                path(layer, kind),
                weight + strength * weight.std() * draw.normal(weight),
            )


def empty_adapter(draw: Draw) -> None:
    """PEFT's modules, with an adapter that adds nothing."""
    backgrounds.peft(draw, relative=0.0)


def _background(name: str) -> Callable[[Draw], None]:
    return backgrounds.BACKGROUNDS[name]


HARMLESS: dict[str, Callable[[Draw], None]] = {
    **{
        one.__name__: one
        for one in (
            equal, saved, eager, float64, untied, usual_cache, names, white_space,
            tokenizer_again, longest, sampling_saved, neurons, heads, norms_folded,
            last_norm_folded, up_to_down, norm_to_readers, values_to_output, queries_to_keys,
            signs, rotated, unread_rows, faint_noise, even_noise, empty_adapter,
        )
    },
    **{
        f"{name} alone": _background(name)
        for name in (
            "bfloat16", "int8", "rtn4", "nf4", "lora", "peft", "bitsandbytes-nf4", "torchao-int8"
        )
    },
}  # fmt: skip
CHANGE_TUNED = frozenset({"lora alone", "peft alone"})
"""Here ``adapter``, the whole change, is no false name: it is what was done."""
