"""How much a served model's replies differ though nothing changes: its noise floor, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pytest_modellab.endpoints import served
from pytest_modellab.records.canary import Noise
from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.store import canaries

LEAST = 0.01
"""Nats that a reader is told of; less turns no choice that was not a tie."""


def sentences(runs: Iterable[tuple[str, Fingerprint]], cache: Path) -> Iterator[str]:
    """Say of each served model that was compared how much its replies differ by themselves.

    Nothing is said of one whose canary found no difference, or was not asked here.

    Args:
        runs: names of variants, and what was run of each.
        cache: the store's root.
    """
    told = set()
    for name, fingerprint in runs:
        server = fingerprint.settings.get("served")
        if not isinstance(server, Mapping) or (key := served.key(server)) in told:
            continue
        told.add(key)
        found = canaries.read(cache, key)
        if found is not None and found.noise is not None and (words := _words(found.noise)):
            yield (
                f"{name}: {words} though nothing changed, when its server was last asked: flips "
                "may be the server's noise, and the verdict counts them all the same"
            )


def _words(noise: Noise) -> str:
    if noise.flips:
        return f"{noise.flips} of {noise.replies} repeated replies differed"
    if noise.nats is not None and noise.nats > LEAST:
        return f"log-probabilities of repeated replies differed by up to {noise.nats:.2g} nats"
    return ""
