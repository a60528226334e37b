"""Is an adapter served, or its base in its place? Judged by replies and names alone."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Mapping, Sequence

from pytest_modellab.endpoints.replies import Reply
from pytest_modellab.records.canary import Finding, Noise, Unchecked

LEAST = 1e-4
"""Nats by which an adapter that does anything moves some log-probability."""

_LORA = re.compile(r"^(?:base_model\.model\.)+(.+?)\.lora_(?:A|B|embedding_A|embedding_B)(?:\.|$)")

_LAYER = re.compile(r"(?:^|\.)(\d+\..*)$")

_TIED = "lm_head"
"""A module that has no weights of its own in the files of models that share them."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One prompt of a recipe's training data.

    Attributes:
        messages: the conversation, up to the reply.
        reply: that was trained; empty where the data holds none.
    """

    messages: Sequence[Mapping[str, str]]
    reply: str = ""


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a served model is declared to have been trained to.

    Attributes:
        variant: that was trained, as declared.
        rows: a few of its training data; none where there are none to be read.
        tensors: names in the adapter's file; None where it is no LoRA in a folder.
        weights: names in the files of the model that it was trained on; None where they are not
            at hand.
    """

    variant: str
    rows: tuple[Row, ...] = ()
    tensors: Collection[str] | None = None
    weights: Collection[str] | None = None


def served(
    rows: Sequence[Row], base: Sequence[Reply], adapter: Sequence[Reply], floor: Noise
) -> Finding | Unchecked | None:
    """Judge that an adapter answers otherwise than its base.

    Args:
        rows: what was asked, with the replies that training data gives.
        base: its replies.
        adapter: the adapter's to the same requests.
        floor: the server's noise, which is no difference.

    Returns:
        None where it does; what could not be told, where noise may be all that differs, or
        log-probabilities are missing and no training data says that replies must.
    """
    others = any(a.text != b.text for a, b in zip(base, adapter, strict=True))
    if others and not floor.flips:
        return None
    apart = [
        abs(a.logprob - b.logprob)
        for one, other in zip(base, adapter, strict=True)
        for a, b in zip(one.tokens or (), other.tokens or (), strict=False)
    ]
    largest = max((one for one in apart if not math.isnan(one)), default=None)
    if largest is not None and largest > max(LEAST, 2 * (floor.nats or 0.0)):
        return None
    if others:
        return Unchecked(
            "adapter",
            f"replies differ from the base's, and so do {floor.flips} of {floor.replies} replies "
            "to one request",
        )
    must = sum(_otherwise(row.reply, one.text) for row, one in zip(rows, base, strict=True))
    if not must and (largest is None or largest > LEAST):
        told = (
            "log-probabilities are not told"
            if largest is None
            else f"log-probabilities differ by {largest:.2g} nats, no more than repeated ones do"
        )
        return Unchecked(
            "adapter",
            f"on {len(base)} prompts the replies are the base's, {told}, and no training data "
            "(data of the recipe) says that a reply must be another",
        )
    nats = {None: "", 0.0: ", and so are their log-probabilities"}.get(
        largest, f" (log-probabilities differ by up to {largest or 0:.2g} nats)"
    )
    trained = f"; training data has other replies to {must} of them" if must else ""
    return Finding(
        "base served in place of the adapter",
        f"on all {len(base)} prompts asked the adapter's replies are the base's{nats}{trained}",
        "other replies, since it was trained",
        "see the server's log for adapters that it did not load, that the adapter's name is the "
        "served one, and that its scale is not 0",
    )


def modules(tensors: Collection[str], weights: Collection[str]) -> Finding | None:
    """Judge that the modules of a LoRA, as PEFT names them, are the model's.

    What stands before the number of a layer is not compared: releases of transformers differ in it.

    Args:
        tensors: names in ``adapter_model.safetensors``.
        weights: names in the base's files.
    """
    have = {name.rpartition(".")[0] for name in weights}
    known = {*have, *map(_within, have), _TIED}
    found = {match[1] for name in tensors if (match := _LORA.match(name))}
    missing = sorted(
        name
        for name in found
        if not {name, _within(name)} & known and not name.endswith(f".{_TIED}")
    )
    if found and not missing:
        return None
    seen = (
        f"{len(missing)} of {len(found)} modules of the adapter are none of the model's, for "
        f"example {missing[0][:80]!r}"
        if found
        else f"none of the {len(tensors)} tensors of the adapter is named as PEFT names them"
    )
    return Finding(
        "adapter of other module names",
        seen,
        f"names of the model's modules, for example {_example(missing, have)!r}",
        "a server leaves out what it does not know and serves the base: train the adapter on this "
        "model, or save it with the library that loads it",
    )


def _within(name: str) -> str:
    """A module's name from the number of its layer on; all of it where it has none."""
    match = _LAYER.search(name)
    return match[1] if match else name


def _example(missing: Sequence[str], have: Collection[str]) -> str:
    """A module of the model's in the layer of one that is missing, else any."""
    layer = _within(missing[0]).partition(".")[0] if missing else ""
    near = sorted(one for one in have if _within(one).partition(".")[0] == layer)
    return next((one for one in near if "proj" in one), min(near or have, default="none"))


def _otherwise(trained: str, said: str) -> bool:
    """Whether a reply of training data is another than one that may be cut off."""
    a, b = trained.strip(), said.strip()
    return bool(a) and not (a.startswith(b) or b.startswith(a))
