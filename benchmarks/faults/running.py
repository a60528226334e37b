"""Faults of code and configuration: the weights are right, what is computed with them is not."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.activations import ACT2FN
from transformers.cache_utils import DynamicCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama import modeling_llama as llama

from benchmarks.faults.draw import Draw, Made, path, site
from benchmarks.faults.weights import get, put

# --- attention: which tokens are seen -------------------------------------------------------------


def _masked(length: int, past: int, width: int | None, like: torch.Tensor) -> torch.Tensor:
    """An additive mask: all that is there, or the last ``width`` up to the token itself."""
    own = torch.arange(past, past + length, device=like.device)[:, None]
    other = torch.arange(past + length, device=like.device)[None]
    seen = torch.ones_like(own + other, dtype=torch.bool)
    if width is not None:
        seen = (other <= own) & (other > own - width)
    mask = torch.zeros(seen.shape, dtype=like.dtype, device=like.device)
    return mask.masked_fill(~seen, torch.finfo(like.dtype).min)[None, None]


def _give_mask(module: Any, width: int | None) -> None:
    """Give a decoder layer or an attention another mask, whatever it was given."""

    def give(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hidden = args[0] if args else kwargs["hidden_states"]
        cache = kwargs.get("past_key_values")
        past = 0 if cache is None else cache.get_seq_length(number)
        kwargs["attention_mask"] = _masked(hidden.shape[1], past, width, hidden)
        return args, kwargs

    number = getattr(module, "self_attn", module).layer_idx
    module.register_forward_pre_hook(give, with_kwargs=True)


def _mask(draw: Draw, width: int | None, fault: str) -> Made:
    layers = draw.model.model.layers
    if draw.rng.random() < 0.5:
        for layer in layers:
            _give_mask(layer, width)
        return Made(("attention_mask",), fault, code=True)
    number = draw.layer()
    _give_mask(draw.rng.choice((layers[number], layers[number].self_attn)), width)
    return Made((f"layer.{number}.attention.core",), fault, layers=(number,), code=True)


def window(draw: Draw) -> Made:
    """Sliding windows where there are none, in all layers or in one."""
    return _mask(draw, draw.rng.choice((4, 8, 12, 16, 24)), "window")


def not_causal(draw: Draw) -> Made:
    """Later tokens are seen, in all layers or in one."""
    return _mask(draw, None, "not_causal")


# --- attention: rotations and scores --------------------------------------------------------------


class Unrotated(llama.LlamaRotaryEmbedding):  # type: ignore[misc]
    """Tables of no rotation at all."""

    def forward(self, x: Any, position_ids: Any) -> Any:
        cos, sin = super().forward(x, position_ids)
        return torch.ones_like(cos), torch.zeros_like(sin)


def rope(draw: Draw) -> Made:
    """Another theta, positions scaled, or no rotation."""
    decoder, config = draw.model.model, copy.deepcopy(draw.model.config)
    change = draw.rng.choice(("theta", "scaled", "none"))
    if change == "none":
        made: Any = Unrotated(config)
    else:
        if change == "theta":
            config.rope_parameters["rope_theta"] *= draw.rng.choice((0.01, 0.1, 10.0))
        made = llama.LlamaRotaryEmbedding(config)
        if change == "scaled":
            made.inv_freq /= draw.rng.choice((2.0, 4.0))
    decoder.rotary_emb = made.to(draw.model.device)
    return Made(("rope",), "rope", ("model.rotary_emb",))


def unrotated_layer(draw: Draw) -> Made:
    """One layer does not turn its queries and keys."""
    number = draw.layer()

    def give(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        cos, sin = kwargs["position_embeddings"]
        kwargs["position_embeddings"] = (torch.ones_like(cos), torch.zeros_like(sin))
        return args, kwargs

    attention = draw.model.model.layers[number].self_attn
    attention.register_forward_pre_hook(give, with_kwargs=True)
    return Made((f"layer.{number}.attention.core",), "rope", layers=(number,), code=True)


def attention_scale(draw: Draw) -> Made:
    """Scores times a factor, in all layers or in one."""
    factor = draw.rng.choice((0.25, 0.5, 2.0, 4.0))
    layers = range(draw.depth)
    chosen = layers if draw.rng.random() < 0.5 else [draw.layer()]
    for number in chosen:
        draw.model.model.layers[number].self_attn.scaling *= factor
    if len(chosen) > 1:
        return Made(("attention_scale",), "attention_scale", code=True)
    name = f"layer.{chosen[0]}.attention.core"
    return Made((name,), "attention_scale", layers=tuple(chosen), code=True)


def _rolled(module: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
    found, weights = ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, *args, **kwargs)
    return found.roll(1, dims=2), weights


def _capped(module: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
    """Queries cut off at half of their usual size: a kernel in too few bits."""
    limit = 0.5 * query.abs().mean()
    return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query.clamp(-limit, limit), *args, **kwargs)


ALL_ATTENTION_FUNCTIONS.register("fault_rolled", _rolled)
ALL_ATTENTION_FUNCTIONS.register("fault_capped", _capped)


def attention_code(draw: Draw) -> Made:
    """A kernel of one attention returns heads in another order, or cuts queries off."""
    number = draw.layer()
    attention = draw.model.model.layers[number].self_attn
    attention.config = copy.deepcopy(attention.config)
    attention.config._attn_implementation = draw.rng.choice(("fault_rolled", "fault_capped"))
    return Made((f"layer.{number}.attention.core",), "code", layers=(number,), code=True)


# --- MLP, norms, and what is around them ----------------------------------------------------------


def activation(draw: Draw) -> Made:
    """Another activation, in all layers or in one."""
    name = draw.rng.choice(("gelu", "gelu_pytorch_tanh", "relu", "tanh"))
    whole = draw.rng.random() < 0.5
    chosen = list(range(draw.depth)) if whole else [draw.layer()]
    for number in chosen:
        draw.model.model.layers[number].mlp.act_fn = ACT2FN[name]
    if whole:
        draw.model.config.hidden_act = name
        return Made(("activation",), "activation", code=True)
    name = f"layer.{chosen[0]}.mlp.core"
    return Made((name,), "activation", layers=tuple(chosen), code=True)


class Exchanged(llama.LlamaMLP):  # type: ignore[misc]
    """Takes the gate for what is gated."""

    def forward(self, x: Any) -> Any:
        return self.down_proj(self.act_fn(self.up_proj(x)) * self.gate_proj(x))


def mlp_code(draw: Draw) -> Made:
    """One MLP gates the wrong half."""
    number = draw.layer()
    draw.model.model.layers[number].mlp.__class__ = Exchanged
    return Made((f"layer.{number}.mlp.core",), "code", layers=(number,), code=True)


class RoundedInput(torch.nn.Linear):  # type: ignore[misc]
    """Rounds what comes in to few steps."""

    steps = 4.0

    def forward(self, x: Any) -> Any:
        scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-12) / self.steps
        return super().forward(torch.round(x / scale) * scale)


def linear_code(draw: Draw) -> Made:
    """One projection rounds its input; its weights are right."""
    number, kind = draw.layer(), draw.rng.choice(("o_proj", "up_proj", "down_proj"))
    module = draw.model.get_submodule(path(number, kind))
    if type(module) is not torch.nn.Linear:
        raise Unsuited("the projection is no plain Linear on this background")
    module.__class__ = RoundedInput
    module.steps = draw.rng.choice((2.0, 3.0, 4.0))
    return Made((site(number, kind),), "code", (path(number, kind),))


class Unsuited(Exception):
    """A fault that cannot be put on this background."""


def norm_eps(draw: Draw) -> Made:
    """Every norm adds another constant, of the size of what the first one reads."""
    read = get(draw.model, "model.embed_tokens").float().square().mean()
    eps = draw.log_uniform(0.2, 4.0) * float(read)
    paths = [name for name, module in draw.model.named_modules() if _is_norm(module)]
    for name in paths:
        draw.model.get_submodule(name).variance_epsilon = eps
    draw.model.config.rms_norm_eps = eps
    return Made(("norm_eps",), "norm_eps", tuple(paths))


def _is_norm(module: Any) -> bool:
    return hasattr(module, "variance_epsilon")


class ScaledResidual(llama.LlamaDecoderLayer):  # type: ignore[misc]
    """Adds a multiple of what its branches return, as Granite does."""

    multiplier = 1.0

    def forward(self, hidden_states: Any, **kwargs: Any) -> Any:
        attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        hidden_states = hidden_states + self.multiplier * attended
        added = self.mlp(self.post_attention_layernorm(hidden_states))
        return hidden_states + self.multiplier * added


def residual_scale(draw: Draw) -> Made:
    """What branches return is added in another measure, in all layers."""
    factor = draw.rng.choice((0.25, 0.5, 0.75, 1.5))
    for layer in draw.model.model.layers:
        layer.__class__ = ScaledResidual
        layer.multiplier = factor
    return Made(("residual_scale",), "residual_scale", code=True)


class OtherLogits(llama.LlamaForCausalLM):  # type: ignore[misc]
    """Logits times a factor, or soft-capped."""

    factor = 1.0
    cap: float | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        found = super().forward(*args, **kwargs)
        found.logits = found.logits * self.factor
        if self.cap is not None:
            found.logits = self.cap * torch.tanh(found.logits / self.cap)
        return found


def logit_scale(draw: Draw) -> Made:
    """Logits times a factor, or soft-capped."""
    draw.model.__class__ = OtherLogits
    if draw.rng.random() < 0.5:
        draw.model.factor = draw.rng.choice((0.5, 0.7, 1.4, 2.0))
    else:
        draw.model.cap = draw.rng.choice((2.0, 3.0, 5.0))
    return Made(("logit_scale",), "logit_scale", code=True)


class ScaledEmbedding(llama.LlamaModel):  # type: ignore[misc]
    """Multiplies what the embedding returns, as Gemma does."""

    multiplier = 1.0

    def forward(self, input_ids: Any = None, **kwargs: Any) -> Any:
        if kwargs.get("inputs_embeds") is None:
            kwargs["inputs_embeds"] = self.embed_tokens(input_ids) * self.multiplier
        return super().forward(**kwargs)


def embedding_scale(draw: Draw) -> Made:
    """What the embedding returns is multiplied before the first layer."""
    draw.model.model.__class__ = ScaledEmbedding
    root = math.sqrt(draw.model.config.hidden_size)
    draw.model.model.multiplier = draw.rng.choice((0.2, 0.5, 3.0, root))
    return Made(("embedding_scale",), "embedding_scale", code=True)


# --- number formats and caches --------------------------------------------------------------------


def overflow(draw: Draw) -> Made:
    """Half precision, where one projection's output is beyond it; its weights are finite.

    What follows divides by the same factor: in float32 it is the same function.
    """
    number, (kind, partner) = (
        draw.layer(),
        draw.rng.choice((("up_proj", "down_proj"), ("v_proj", "o_proj"))),
    )
    where = path(number, kind)
    with torch.no_grad():
        largest: list[float] = []
        handle = draw.base.get_submodule(where).register_forward_hook(
            lambda _, __, found: largest.append(float(found.abs().max()))
        )
        device = draw.base.device
        for one in draw.windows:
            draw.base(torch.tensor([one], device=device), use_cache=False)
        handle.remove()
    factor = 1.5 * 65504.0 / max(largest)
    if float(get(draw.base, where).abs().max()) * factor > 65000.0:
        raise Unsuited("the weights would be beyond the format too")
    put(draw.model, where, get(draw.model, where) * factor)
    other = path(number, partner)
    put(draw.model, other, get(draw.model, other) / factor)
    for parameter in draw.model.parameters():
        parameter.data = parameter.data.to(torch.float16)
    return Made((site(number, kind),), "overflow", (where, other))


class WrongCache(DynamicCache):  # type: ignore[misc]
    """Keeps keys and values that are not what it was given."""

    def __init__(self, fault: str, layers: Sequence[int], config: Any) -> None:
        super().__init__(config=config)
        self._fault, self._layers = fault, frozenset(layers)

    def update(self, key_states: Any, value_states: Any, layer_idx: int, *args: Any) -> Any:
        if layer_idx in self._layers:
            if self._fault == "rounded":
                key_states, value_states = _coarse(key_states), _coarse(value_states)
            elif self._fault == "shifted":
                key_states = key_states.roll(1, dims=-2)
            else:
                value_states = torch.zeros_like(value_states)
        return super().update(key_states, value_states, layer_idx, *args)


def _coarse(states: torch.Tensor) -> torch.Tensor:
    scale = states.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 1.5
    return torch.round(states / scale) * scale


def kv_cache(draw: Draw) -> Made:
    """The cache rounds to two bits, shifts keys, or loses values: in all layers or in one."""
    fault = draw.rng.choice(("rounded", "shifted", "lost"))
    layers = [draw.layer()] if draw.rng.random() < 0.5 else list(range(draw.depth))
    draw.cache = lambda config: WrongCache(fault, layers, config)
    return Made(("kv_cache",), "kv_cache")


KINDS: dict[str, Callable[[Draw], Made]] = {
    one.__name__: one
    for one in (
        window, not_causal, rope, unrotated_layer, attention_scale, attention_code, activation,
        mlp_code, linear_code, norm_eps, residual_scale, logit_scale, embedding_scale, overflow,
        kv_cache,
    )
}  # fmt: skip
