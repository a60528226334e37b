"""Options behind images and a text: how likely each is, with as much as possible read once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_modellab.engines.language import trial
from pytest_modellab.engines.language.transfer import continued

FAR = 1e-4
"""How far an option's log-likelihood may be from that of the option alone, as a part of it."""

FAR_IN_16_BITS = 0.02
"""The same of a model in bfloat16 or float16, and of a quantized one: its kernels may round so."""

BEGINNING = 8
"""Tokens before the first image, from which on they are read apart."""

Reading = Callable[[Mapping[str, Any]], Any]
"""Reads what a model is given, and returns logits and cache."""

Answering = Callable[[Mapping[str, Any], Sequence[list[int]]], list[float]]
"""Takes what a model is given and an option's tokens each → their log-likelihoods."""

_ROWS = frozenset({"DynamicLayer", "DynamicSlidingWindowLayer"})
"""Layers of a key-value cache that hold a row a text."""


Tried = tuple[Mapping[str, Any], Sequence[list[int]], Sequence[float]]
"""What a model is given, an option's tokens each, and how likely each is alone."""


def way(model: Any, tried: Sequence[Tried]) -> Answering:
    """Return how options are read: the first way that says what each option alone says.

    Args:
        model: of transformers.
        tried: the requests that ways are tried with.
    """
    import torch
    from transformers import DynamicCache

    layers = {type(layer).__name__ for layer in DynamicCache(config=model.config).layers}
    ways = (behind_beginnings(model), functools.partial(_at_once, model))
    for read in ways if layers <= _ROWS else ():
        answering = functools.partial(together, model, read)
        try:
            if all(
                _alike(model, answering(inputs, options), alone) for inputs, options, alone in tried
            ):
                return answering
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except trial.REFUSALS:
            continue
    return functools.partial(each, model)


def _alike(model: Any, found: Sequence[float], alone: Sequence[float]) -> bool:
    """Whether options are as likely as each alone; a NaN is told by its answer."""
    far = FAR if model.dtype.itemsize > 2 else FAR_IN_16_BITS
    pairs = zip(found, alone, strict=True)
    return not any(abs(one - other) > far * (1 + abs(other)) for one, other in pairs)


def _at_once(model: Any, inputs: Mapping[str, Any]) -> Any:
    """Read images and context in one pass, whose cache goes on."""
    return model(**inputs, use_cache=True, logits_to_keep=1)


def behind_beginnings(model: Any) -> Reading:
    """Return what reads images and context behind what stands before the first image.

    That is often the same for all samples, and then read once: by its own tokens, so that a
    sample's numbers depend on no other. A model that is told of each token whether it is an
    image's sees images both ways, and reads all at once.
    """
    import torch
    from transformers import DynamicCache

    token = getattr(model.config, "image_token_id", None)

    @functools.lru_cache(maxsize=4)
    def beginning(tokens: tuple[int, ...]) -> Any:
        kept = DynamicCache(config=model.config)
        ids = torch.tensor([tokens], device=model.device)
        model(input_ids=ids, past_key_values=kept, use_cache=True, logits_to_keep=1)
        return kept

    def read(inputs: Mapping[str, Any]) -> Any:
        ids = inputs["input_ids"]
        places = (ids[0] == token).nonzero() if token is not None else ids.new_zeros(0)
        count = int(places[0]) if len(places) else 0
        alike = {key for key, value in inputs.items() if value.shape == ids.shape}
        if count < BEGINNING or alike != {"input_ids", "attention_mask"}:
            return _at_once(model, inputs)
        past = continued(beginning(tuple(ids[0, :count].tolist())))
        return _at_once(model, {**inputs, "input_ids": ids[:, count:], "past_key_values": past})

    return read


def together(
    model: Any, read: Reading, inputs: Mapping[str, Any], options: Sequence[list[int]]
) -> list[float]:
    """Return the log-likelihood of every option, image and context read once."""
    import torch

    context = read(inputs)
    first = torch.log_softmax(context.logits[0, -1].float(), dim=-1)
    values = [float(first[tokens[0]]) for tokens in options]
    longer = [k for k, tokens in enumerate(options) if len(tokens) > 1]
    if not longer:
        return values
    width = max(len(options[k]) for k in longer) - 1
    rows = [options[k][:-1] + [0] * (width + 1 - len(options[k])) for k in longer]
    ids = torch.tensor(rows, device=model.device)
    past = context.past_key_values
    seen = ids.new_ones(len(rows), past.get_seq_length() + width)  # what is padding comes last
    past.batch_repeat_interleave(len(rows))
    logits = model(input_ids=ids, attention_mask=seen, past_key_values=past, use_cache=True).logits
    for row, k in enumerate(longer):
        rest = options[k][1:]
        values[k] += _summed(logits[row, : len(rest)], rest)
    return values


def each(model: Any, inputs: Mapping[str, Any], options: Sequence[list[int]]) -> list[float]:
    """Return the log-likelihood of each option alone, images and context read again."""
    values = []
    for tokens in options:
        logits = model(
            **_followed(inputs, tokens[:-1]), use_cache=False, logits_to_keep=len(tokens)
        ).logits
        values.append(_summed(logits[0, -len(tokens) :], tokens))
    return values


def _summed(logits: Any, tokens: Sequence[int]) -> float:
    """Return the log-likelihood of tokens, each predicted by a row of logits."""
    import torch

    told = torch.log_softmax(logits.float(), dim=-1)
    targets = torch.tensor(tokens, device=logits.device)
    return float(told.gather(1, targets[:, None]).double().sum())


def _followed(inputs: Mapping[str, Any], tokens: Sequence[int]) -> dict[str, Any]:
    """Return a model's inputs with some tokens of text behind them."""
    import torch

    ids = inputs["input_ids"]
    more = ids.new_tensor([tokens]).reshape(1, -1)
    found = dict(inputs)
    for key, value in inputs.items():
        if isinstance(value, torch.Tensor) and value.shape == ids.shape:
            filled = {"input_ids": more, "attention_mask": torch.ones_like(more)}
            end = filled.get(key, torch.zeros_like(more))  # types of tokens: 0 is text
            found[key] = torch.cat([value, end.to(value.dtype)], dim=1)
    return found
