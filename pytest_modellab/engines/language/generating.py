"""How a model of transformers is asked for replies: row by row in slots, or by its own method."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import inspect
import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from pytest_modellab.engines.batching import common_prefix, due, plan, spread
from pytest_modellab.engines.budget import GENERATION_FACTOR
from pytest_modellab.engines.interface import Done, GenerationRequest
from pytest_modellab.engines.language.base import NAN, answer_together, at_once
from pytest_modellab.engines.language.decoding import Decoder, Reply, Row, Rules
from pytest_modellab.engines.language.logits import GumbelNoise, NanWatch
from pytest_modellab.engines.language.slots import Prefix, Unusable
from pytest_modellab.engines.language.trial import in_slots, prefix_cache
from pytest_modellab.engines.tokens import encode_all
from pytest_modellab.records.runs import Output

ROWS = 512
"""Most rows at once: with more of them a GPU's step costs no less a row."""

WAVES = 4
"""Requests of a batch, for each row: a batch that was broken off is begun anew."""

ROUND = 64
"""What lengths are rounded up to on a GPU, so that batches share what was captured."""

PREFILL = 65_536
"""Most tokens of prompts that are computed together."""

_SEEING = frozenset({"full_attention", "sliding_attention"})

_CHANGING = frozenset({"dynamic", "longrope"})
"""Rotary embeddings that depend on the longest row of a batch."""

_HARMLESS = frozenset(
    {
        "bos_token_id",
        "cache_implementation",
        "do_sample",
        "eos_token_id",
        "max_length",
        "max_new_tokens",
        "min_p",
        "pad_token_id",
        "repetition_penalty",
        "temperature",
        "top_k",
        "top_p",
        "transformers_version",
        "typical_p",
        "use_cache",
    }
)
_NEUTRAL = {"length_penalty": 1.0, "num_beams": 1, "num_return_sequences": 1}
"""What a model's ``generation_config.json`` may say without changing a greedy reply further."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Requests that are answered together.

    Attributes:
        members: their indices, the longest first.
        rows: how many are computed at once.
        length: tokens that a row has room for.
    """

    members: tuple[int, ...]
    rows: int
    length: int


def batches(lengths: Sequence[int], budget: int, *, step: int) -> tuple[Batch, ...]:
    """Plan batches of similar lengths, whose rows take at most ``budget`` tokens of room.

    Args:
        lengths: tokens of each request, with its reply.
        budget: most tokens at once; a longer request is computed alone.
        step: what lengths are rounded up to.

    Returns:
        Batches with each request in exactly one, the longest first.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    made = []
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        length = -(-longest // step) * step
        most = max(1, min(ROWS, budget // length))
        end = start + 1
        while end < min(len(order), start + WAVES * most) and 2 * lengths[order[end]] >= longest:
            end += 1
        rows = -(-(end - start) // -(-(end - start) // most))  # no wave of a few rows
        made.append(Batch(tuple(order[start:end]), rows, length))
        start = end
    return tuple(made)


def answer(
    model: Any,
    tokenizer: Any,
    requests: Sequence[GenerationRequest],
    *,
    reach: float,
    cache: Callable[[Any], Any] | None,
    budget: int,
    skip: Set[int],
    done: Done,
) -> None:
    """Answer every request.

    Args:
        model: of transformers.
        tokenizer: its tokenizer.
        requests: contexts in the chat template with their token limits.
        reach: see :func:`.reach.reach`.
        cache: makes a key-value cache that is not the usual one.
        budget: tokens of all rows that are computed at once.
        skip: indices that need no answer.
        done: called when some are answered.
    """
    contexts = encode_all(tokenizer, [request.context for request in requests])

    def output(i: int, reply: Reply) -> Output:
        tokens = reply.tokens[: requests[i].max_tokens]  # a row in slots has room for one at least
        return Output(
            text=tokenizer.decode(tokens, skip_special_tokens=True),
            tokens_in=len(contexts[i]),
            tokens_out=len(tokens),
            failed=NAN if reply.nan else "",
        )

    layers = windows(model) if reach and cache is None else None
    if layers is not None and in_slots(model, layers):
        try:
            _in_slots(model, layers, contexts, requests, budget, skip, output, done)
        except Unusable:  # before anything is answered
            pass
        else:
            return
    _by_generate(model, contexts, requests, reach, cache, budget, skip, output, done)


# --- in slots -------------------------------------------------------------------------------------


def windows(model: Any) -> tuple[int | None, ...] | None:
    """Return how far back each layer sees, or None where rows cannot be continued in slots.

    Args:
        model: of transformers.
    """
    from transformers import DynamicCache, GenerationMixin
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    text = model.config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    every = (rope, *rope.values())
    ropes = {one.get("rope_type") for one in every if isinstance(one, Mapping)}
    adapters = getattr(model, "peft_config", None) or {}
    bare = model.get_base_model() if adapters and hasattr(model, "get_base_model") else model
    if (
        text is not model.config
        or not getattr(model, "_supports_attention_backend", False)
        or not set(getattr(text, "layer_types", None) or ()) <= _SEEING
        or "position_ids" not in inspect.signature(bare.forward).parameters
        or len(set(getattr(model, "hf_device_map", {}).values())) > 1
        or not getattr(text, "is_causal", True)
        or getattr(text, "use_bidirectional_attention", None)
        or getattr(text, "attention_chunk_size", None)
        or getattr(text, "num_kv_shared_layers", None)
        or ropes & _CHANGING
        or any(getattr(one, "is_prompt_learning", False) for one in adapters.values())
        or changes(model.generation_config)
        or getattr(bare.generate, "__func__", None) is not GenerationMixin.generate  # its own
    ):
        return None
    layers = DynamicCache(config=model.config).layers
    if not {type(layer) for layer in layers} <= {DynamicLayer, DynamicSlidingWindowLayer}:
        return None
    return tuple(getattr(layer, "sliding_window", None) for layer in layers)


def changes(config: Any) -> tuple[str, ...]:
    """Return the settings of a generation configuration that change greedy replies further.

    Args:
        config: of transformers.
    """
    return tuple(name for name, value in config.to_diff_dict().items() if _changes(name, value))


def _changes(name: str, value: Any) -> bool:
    """Whether a setting of generation could change a reply."""
    if name in _HARMLESS or name.startswith(("_", "output_", "return_")):
        return False
    if name.endswith("_token_id"):  # token 0 is one, too
        return value is not None
    return bool(value) and value != _NEUTRAL.get(name)


def _in_slots(
    model: Any,
    layers: Sequence[int | None],
    contexts: Sequence[Sequence[int]],
    requests: Sequence[GenerationRequest],
    budget: int,
    skip: Set[int],
    output: Callable[[int, Reply], Output],
    done: Done,
) -> None:
    shared = common_prefix(contexts)
    prefix = Prefix(contexts[0][:shared] if contexts else (), len(layers))
    rows = [
        Row(context[shared:], max(request.max_tokens, 1), request.temperature, request.seed)
        for context, request in zip(contexts, requests, strict=True)
    ]
    rules = Rules(ends(model.generation_config), model.generation_config.repetition_penalty or 1.0)
    on_gpu = model.device.type == "cuda"
    planned = batches([row.length for row in rows], budget, step=ROUND if on_gpu else 1)
    scored = budget // GENERATION_FACTOR
    make = functools.partial(
        Decoder,
        model,
        layers,
        rules,
        prefix,
        limit=max((row.limit for row in rows), default=1),
        # without logits a GPU has room for more
        prefill=max(1, min(PREFILL, 2 * scored if on_gpu else scored)),
    )
    decoder, shape = None, (0, 0)
    by_members = {batch.members: batch for batch in planned}
    for members in due(spread(tuple(by_members)), skip):
        batch = by_members[members]
        start = time.perf_counter()
        if decoder is None or shape != (batch.rows, batch.length):
            decoder = None  # its room is free before the next takes it
            shape = batch.rows, batch.length
            decoder = make(rows=batch.rows, length=batch.length)
        with contextlib.closing(decoder.replies([rows[i] for i in members])) as replies:
            for told in replies:
                outputs = {members[k]: output(members[k], reply) for k, reply in told.items()}
                now = time.perf_counter()
                total = sum(rows[i].length for i in outputs)
                done(
                    {
                        i: dataclasses.replace(one, seconds=(now - start) * rows[i].length / total)
                        for i, one in outputs.items()
                    }
                )
                start = time.perf_counter()


# --- by the model's own method --------------------------------------------------------------------


def _by_generate(
    model: Any,
    contexts: Sequence[list[int]],
    requests: Sequence[GenerationRequest],
    reach: float,
    cache: Callable[[Any], Any] | None,
    budget: int,
    skip: Set[int],
    output: Callable[[int, Reply], Output],
    done: Done,
) -> None:
    pairs = zip(contexts, requests, strict=True)
    far = max((len(one) + request.max_tokens for one, request in pairs), default=0)
    # padding would stand between the prefix and the rest, where a window counts it
    shared = 0 if cache or far > reach else common_prefix(contexts)
    lengths = [
        len(context) - shared + request.max_tokens
        for context, request in zip(contexts, requests, strict=True)
    ]
    past = functools.cache(lambda: prefix_cache(model, contexts[0][:shared]) if shared else None)

    def compute(batch: Sequence[int]) -> list[Reply]:
        rows = [(contexts[i], requests[i]) for i in batch]
        if not reach:  # a state would take up the padding
            return [_generated(model, [row], 0, None)[0] for row in rows]
        own = cache(model.config) if cache else copy.deepcopy(past())
        return _generated(model, rows, shared, own)

    planned = due(spread(plan(lengths, budget, padded=True)), skip)
    answer_together(planned, lengths, at_once(compute), output, done)


def ends(config: Any) -> tuple[int, ...]:
    """Return the tokens that end a reply; without any it ends at its limit.

    Args:
        config: a model's generation configuration, of transformers.
    """
    own = config.eos_token_id
    every = own if isinstance(own, list) else [own]
    return tuple(end for end in every if end is not None)


def _generated(
    model: Any, rows: Sequence[tuple[list[int], GenerationRequest]], prefix: int, cache: Any
) -> list[Reply]:
    """Generate; padding stands between the shared prefix and what follows it.

    Args:
        model: of transformers.
        rows: contexts and what is asked of each.
        prefix: tokens that the cache holds.
        cache: of one row, which is used up; or an empty one; or None for the usual.
    """
    import torch

    pad = _padding(model)
    width = max(len(context) for context, _ in rows)
    ids = torch.full((len(rows), width), pad)
    seen = torch.zeros_like(ids)
    for row, (context, _) in enumerate(rows):
        rest = len(context) - prefix
        ids[row, :prefix] = torch.tensor(context[:prefix], dtype=ids.dtype)
        ids[row, width - rest :] = torch.tensor(context[prefix:])
        seen[row, :prefix] = 1
        seen[row, width - rest :] = 1
    if prefix:
        cache.batch_repeat_interleave(len(rows))
    inputs = {"input_ids": ids.to(model.device), "attention_mask": seen.to(model.device)}
    return written(model, {**inputs, "past_key_values": cache}, [request for _, request in rows])


def _padding(model: Any) -> int:
    own = model.generation_config.pad_token_id
    return int(own if own is not None else (ends(model.generation_config) or (0,))[0])


def written(
    model: Any, inputs: Mapping[str, Any], requests: Sequence[GenerationRequest]
) -> list[Reply]:
    """Have a model write what is asked for, by its own ``generate``.

    Args:
        model: of transformers.
        inputs: what it is given, a row a request; padding stands before the rest of a row.
        requests: one a row.
    """
    from transformers import GenerationConfig, LogitsProcessorList

    stops = ends(model.generation_config)
    width = inputs["input_ids"].shape[1]
    limits = [request.max_tokens for request in requests]
    watch = NanWatch(len(requests))
    processors = LogitsProcessorList([watch])
    if any(request.temperature > 0 for request in requests):
        processors.append(GumbelNoise(requests, width))
    out = model.generate(
        **inputs,
        logits_processor=processors,
        generation_config=GenerationConfig(
            do_sample=False,
            max_new_tokens=max(limits),
            eos_token_id=list(stops) or None,
            pad_token_id=_padding(model),
        ),
    )
    replies = []
    for row, limit in enumerate(limits):
        tokens = out[row, width : width + limit].tolist()
        end = next((k for k, token in enumerate(tokens) if token in stops), len(tokens))
        replies.append(Reply(tokens[:end], watch.seen[row]))
    return replies
