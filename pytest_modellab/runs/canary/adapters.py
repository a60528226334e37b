"""Is an adapter served, or its base in its place? Judged by replies and names alone."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence

from pytest_modellab.endpoints.replies import Reply
from pytest_modellab.records.canary import Finding, Noise

LEAST = 1e-4
"""Nats by which an adapter that does anything moves some log-probability."""

_PEFT = re.compile(r"^base_model\.model\.(.+?)\.lora_(?:A|B|embedding_A|embedding_B)(?:\.|$)")


def served(base: Sequence[Reply], adapter: Sequence[Reply], floor: Noise) -> Finding | None:
    """Judge that an adapter answers otherwise than its base.

    Args:
        base: its replies.
        adapter: the adapter's to the same requests.
        floor: the server's noise, which is no difference.
    """
    if any(a.text != b.text for a, b in zip(base, adapter, strict=True)) and not floor.flips:
        return None
    least = max(LEAST, 2 * (floor.nats or 0.0))
    apart = [
        abs(a.logprob - b.logprob)
        for one, other in zip(base, adapter, strict=True)
        for a, b in zip(one.tokens or (), other.tokens or (), strict=False)
    ]
    largest = max((one for one in apart if not math.isnan(one)), default=0.0)
    if largest > least:
        return None
    return Finding(
        "base served in place of the adapter",
        f"on all {len(base)} prompts asked the adapter's replies and log-probabilities "
        f"are the base's (largest difference {largest:.2g} nats, noise {floor.nats or 0:.2g})",
        "other replies, since it was trained on them",
        "see the server's log for adapters that it did not load, and that the adapter's name is "
        "the served one; check its module names with `modellab canary`",
    )


def modules(tensors: Collection[str], weights: Collection[str]) -> Finding | None:
    """Judge that the modules of a PEFT adapter are the model's.

    Args:
        tensors: names in ``adapter_model.safetensors``.
        weights: names in the base's files.
    """
    have = {name.rpartition(".")[0] for name in weights}
    found = {match[1] for name in tensors if (match := _PEFT.match(name))}
    missing = sorted(found - have)
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
        f"names of the model's modules, for example {min(have, default='none')!r}",
        "a server leaves out what it does not know and serves the base: train the adapter on this "
        "model, or save it with the library that loads it",
    )
