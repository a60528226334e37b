"""Whether a model computes of texts in one row, or in slots, what it computes of each alone.

Of a configuration it cannot be told all: a model's own code may count positions by itself, or look
ahead, or bias its attention, and would then answer wrongly without an error. So each is tried with
a few tokens first, and one that differs is asked for each text alone.
"""

from __future__ import annotations

import subprocess
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from pytest_modellab.engines.language.packing import Packed, pack
from pytest_modellab.engines.language.slots import (
    Memory,
    Prefix,
    Prompts,
    Unusable,
    attending,
    kernel_on,
)

REFUSALS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,  # Triton, on which compiling rests
    LookupError,
    OSError,  # no compiler of C
    RuntimeError,
    subprocess.SubprocessError,
    TypeError,
    ValueError,
)
"""What a model or a compiler raises that cannot compute in such a way."""

TEXT = 24
"""Tokens of the longest text that is tried in one row with others."""

FAR = 0.03
"""How far logits may be from what they should be, by their own spread, at most places.

In float32 those of SmolLM2 are 0.00001 away, and where it is not told where tokens stand, 0.16 in
rows and 1 in slots."""

FAR_IN_16_BITS = 0.15
"""The same of a model in bfloat16 or float16, which is 0.04 away."""

MOST = 0.75
"""How many places: a mixture of experts may take another one at some."""

_SHARED = 6

_alike: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()
"""Models that were tried in slots."""


def prefix_cache(
    model: Any, tokens: Sequence[int], empty: Callable[[Any], Any] | None = None
) -> Any:
    """Compute keys and values of what all texts begin with.

    Args:
        model: of transformers.
        tokens: what they begin with.
        empty: makes an empty cache for a model's config, where it is not the usual one.
    """
    import torch
    from transformers import DynamicCache

    kept = empty(model.config) if empty else DynamicCache(config=model.config)
    ids = torch.tensor([tokens], device=model.device)
    model(input_ids=ids, past_key_values=kept, use_cache=True, logits_to_keep=1)
    return kept


def in_rows(model: Any, compute: Callable[[Packed, Any], Any]) -> bool:
    """Return whether texts in one row, behind a prefix, get the logits that each has alone.

    Args:
        model: of transformers.
        compute: takes a row and the cache of the prefix, and returns the logits at the kept places.

    Raises:
        Exception: torch's, where memory runs out.
    """
    import torch

    shared, *tokens = _tokens(model, _SHARED, 3, 4, 9, 6, 5)
    rows = [(tokens[0], tokens[1:2]), (tokens[2], tokens[3:])]  # the first may well be right

    def alone(context: list[int], option: list[int]) -> Any:
        ids = torch.tensor([shared + context + option[:-1]], device=model.device)
        return model(input_ids=ids, use_cache=False).logits[0, -len(option) :]

    wanted = [
        alone(context, option)[number > 0 :]  # a context's end is kept once
        for context, options in rows
        for number, option in enumerate(options)
    ]
    try:
        found = compute(pack(rows, _SHARED), prefix_cache(model, shared))
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except REFUSALS:
        return False
    return _near(model, found, torch.cat(wanted))


def in_slots(model: Any, windows: Sequence[int | None]) -> bool:
    """Return whether rows in slots get the logits that ``model.generate`` has of each; asked once.

    Args:
        model: of transformers.
        windows: see :class:`~.slots.Memory`.

    Raises:
        Exception: torch's, where memory runs out.
    """
    import torch

    if model not in _alike:
        try:
            _alike[model] = _slots(model, windows)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except (Unusable, *REFUSALS):
            _alike[model] = False
    return _alike[model]


def _slots(model: Any, windows: Sequence[int | None]) -> bool:
    import torch

    device = model.device
    shared, *rows = _tokens(model, _SHARED, 12, 5, 9, 7)
    memory = Memory(windows, len(rows), 16, Prefix(shared, len(windows)), kernel_on(device.type))

    def call(ids: Any, place: Any) -> Any:
        return model(
            input_ids=ids.to(device),
            position_ids=place.to(device),
            past_key_values=memory.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]

    with attending(model, memory):
        memory.share()
        call(torch.tensor([shared]), torch.arange(_SHARED)[None])
        prompts = Prompts.of(range(len(rows)), [len(row) - 1 for row in rows], device)
        memory.take(prompts)
        inner = [token for row in rows for token in row[:-1]]
        call(torch.tensor([inner]), prompts.place[None] + _SHARED)
        place = torch.tensor([len(row) - 1 for row in rows], device=device)
        memory.step(len(rows), 16, place)
        found = call(torch.tensor([row[-1:] for row in rows]), place[:, None] + _SHARED)
    if found.shape[-1] != model.config.get_text_config().vocab_size:  # noise is made of its size
        return False
    wanted = torch.cat([_generated(model, shared + row) for row in rows])
    return _near(model, found, wanted)


def _generated(model: Any, tokens: list[int]) -> Any:
    """Return the logits that ``model.generate`` has of the token behind a text."""
    import torch
    from transformers import GenerationConfig

    ids = torch.tensor([tokens], device=model.device)
    return model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        generation_config=GenerationConfig(
            do_sample=False,
            max_new_tokens=1,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        ),
    ).logits[0]


def _tokens(model: Any, *sizes: int) -> list[list[int]]:
    """Return some texts, of tokens that are no special ones in most vocabularies."""
    vocabulary = model.config.get_text_config().vocab_size
    some = iter(range(sum(sizes)))
    return [[(vocabulary // 3 + 37 * next(some)) % vocabulary for _ in range(n)] for n in sizes]


def _near(model: Any, found: Any, wanted: Any) -> bool:
    """Return whether rows of logits are those that they should be, up to their precision.

    Of a quantized model only their number is looked at: activations that are rounded fall to the
    other side for a difference of nothing, so that SmolLM2's logits in int8 are 0.2 away.
    """
    import torch

    if found.shape != wanted.shape:
        return False
    if quantized(model):
        return True
    there = wanted.isfinite()  # a broken model is told by its answers
    zero = torch.zeros((), device=wanted.device)
    wanted = torch.where(there, wanted.float(), zero)
    differ = torch.where(there, found.float(), zero) - wanted
    count = there.sum(dim=-1, keepdim=True).clamp(min=1)
    spread = torch.where(there, wanted - wanted.sum(dim=-1, keepdim=True) / count, zero)
    far = FAR if model.dtype.itemsize > 2 else FAR_IN_16_BITS
    near = differ.norm(dim=-1) <= far * spread.norm(dim=-1) + 1e-6
    return bool(near.float().mean() >= MOST)


def quantized(model: Any) -> bool:
    """Whether numbers of a model are rounded; torchao's weights are tensors of tensors."""
    return getattr(model.config, "quantization_config", None) is not None or any(
        hasattr(weight, "__tensor_flatten__") for weight in model.parameters()
    )
