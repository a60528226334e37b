"""Faults of the text side and of adapters: weights and code are as they should be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.faults.backgrounds import delta
from benchmarks.faults.draw import ATTENTION, MLP, Draw, Made, path
from benchmarks.faults.models import duplicate, rebuilt
from benchmarks.faults.weights import get, put


def token_ids(draw: Draw) -> Made:
    """Some tokens that are read have each other's numbers."""
    read = sorted({token for window in draw.windows for token in window})

    def change(content: dict[str, Any]) -> None:
        vocabulary = content["model"]["vocab"]
        names = {number: name for name, number in vocabulary.items()}
        chosen = draw.rng.sample([one for one in read if one in names], 6)
        for first, second in zip(chosen[::2], chosen[1::2], strict=True):
            vocabulary[names[first]], vocabulary[names[second]] = second, first

    draw.tokenizer = rebuilt(draw.tokenizer, change)
    return Made(("tokenizer",), "tokenizer")


def merges_lost(draw: Draw) -> Made:
    """The later part of the merges is gone."""

    def change(content: dict[str, Any]) -> None:
        merges = content["model"]["merges"]
        content["model"]["merges"] = merges[: round(len(merges) * draw.rng.uniform(0.05, 0.5))]

    draw.tokenizer = rebuilt(draw.tokenizer, change)
    return Made(("tokenizer",), "tokenizer")


def lower_case(draw: Draw) -> Made:
    """A normalizer that the base's tokenizer does not have."""

    def change(content: dict[str, Any]) -> None:
        content["normalizer"] = {"type": "Lowercase"}

    draw.tokenizer = rebuilt(draw.tokenizer, change)
    return Made(("tokenizer",), "tokenizer")


def template(draw: Draw) -> Made:
    """Chats are rendered another way."""
    draw.tokenizer = copy.deepcopy(draw.tokenizer)
    text = draw.tokenizer.chat_template
    draw.tokenizer.chat_template = draw.rng.choice(
        (
            "You are a parrot.\n" + text,
            text.replace("<|im_end|>", ""),
            text.replace("assistant", "model"),
            text.replace("<|im_start|>", "<|im_end|>"),
        )
    )
    return Made(("chat_template",), "template")


def generation(draw: Draw) -> Made:
    """Other settings for what is generated."""
    settings = copy.deepcopy(draw.model.generation_config)
    changes: tuple[dict[str, Any], ...] = (
        {"eos_token_id": 7},
        {"repetition_penalty": 1.6},
        {"temperature": 2.0, "do_sample": True},
    )
    settings.update(**draw.rng.choice(changes))
    draw.model.generation_config = settings
    return Made(("generation_config",), "generation_config")


def _expected(draw: Draw) -> dict[str, torch.Tensor]:
    """Make a declared adapter, and the base that it is in: what a candidate is compared with."""
    relative = draw.log_uniform(0.08, 0.2)
    draw.base = duplicate(draw.base)
    changes = {}
    for number in range(draw.depth):
        for kind in ATTENTION + MLP:
            where = path(number, kind)
            changes[where] = delta(draw, get(draw.base, where), relative)
            put(draw.base, where, get(draw.base, where) + changes[where])
    return changes


def adapter_times(draw: Draw) -> Made:
    """An adapter is in the weights twice, or with another alpha."""
    times = draw.rng.choice((2.0, 2.0, 0.5, 4.0))
    changes = _expected(draw)
    for where, change in changes.items():
        put(draw.model, where, get(draw.model, where) + times * change)
    return Made(("adapter",), "adapter", tuple(changes))


def adapter_layer_lost(draw: Draw) -> Made:
    """One layer did not get its part of the adapter."""
    number = draw.layer()
    changes = _expected(draw)
    lost = [path(number, kind) for kind in ATTENTION + MLP]
    for where, change in changes.items():
        if where not in lost:
            put(draw.model, where, get(draw.model, where) + change)
    return Made((f"layer.{number}",), "low_rank", tuple(lost))


KINDS: dict[str, Callable[[Draw], Made]] = {
    one.__name__: one
    for one in (
        token_ids, merges_lost, lower_case, template, generation, adapter_times,
        adapter_layer_lost,
    )
}  # fmt: skip
