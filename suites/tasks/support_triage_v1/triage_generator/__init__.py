"""One module a capability; each has `solved(rng)`, its test, and `examples(rng)`, its training."""

from __future__ import annotations

import random
from typing import TypedDict

from . import entities, intent, priority, reply
from .common import DIFFICULTIES, PER_BUCKET, Sample, Solved

__all__ = ["Example", "Sample", "Solved", "examples", "solved"]

CAPABILITIES = {"entities": entities, "intent": intent, "priority": priority, "reply": reply}


class Example(TypedDict):
    """One line of train.jsonl."""

    capability: str
    id: str
    input: str
    reply: str


def solved(seed: int) -> list[Solved]:
    """Every test sample with its ideal reply, checked for count and order."""
    found = [
        one
        for name, module in CAPABILITIES.items()
        for one in module.solved(random.Random(f"{seed}:test:{name}"))
    ]
    expected = [
        f"{name}-{difficulty}-{number:03d}"
        for name in CAPABILITIES
        for difficulty in DIFFICULTIES
        for number in range(1, PER_BUCKET + 1)
    ]
    if [one.sample["id"] for one in found] != expected:
        raise ValueError(f"ids are not easy, medium, hard × 001-{PER_BUCKET:03d}")
    return found


def examples(seed: int) -> list[Example]:
    """The training data; no input occurs twice."""
    found = [
        Example(capability=name, id=f"{name}-train-{number:04d}", input=asked, reply=answer)
        for name, module in CAPABILITIES.items()
        for number, (asked, answer) in enumerate(
            module.examples(random.Random(f"{seed}:train:{name}")), 1
        )
    ]
    if len({one["input"] for one in found}) != len(found):
        raise ValueError("two training inputs are equal")
    return found
