"""Measurements of several runs that are one: of its stages, shards, or prompts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Probes = Mapping[str, float]


def times(parts: Sequence[Probes]) -> dict[str, float]:
    """Add up seconds and tokens, and say how many tokens a second that is.

    Args:
        parts: probes of each run.
    """
    seconds = math.fsum(part["seconds"] for part in parts)
    tokens = math.fsum(part["tokens"] for part in parts)
    return {
        "seconds": round(seconds, 3),
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1) if seconds else 0.0,
    }


def media(parts: Sequence[Probes]) -> dict[str, float]:
    """Add up what was heard and seen, and how long a part of it took on average.

    Args:
        parts: probes of each run.
    """
    found: dict[str, float] = {}
    for amount, rate in (("audio_seconds", "real_time_factor"), ("images", "seconds_per_image")):
        showing = [part for part in parts if part.get(amount)]
        if total := math.fsum(part[amount] for part in showing):
            seconds = math.fsum(part[amount] * part[rate] for part in showing)
            found |= {amount: round(total, 3), rate: float(f"{seconds / total:.4g}")}
    return found
