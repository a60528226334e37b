"""What was measured, in dollars: from a summary and the prices that are declared now."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pytest_modellab.records.declared import Price, VariantSpec
from pytest_modellab.records.runs import RunSummary
from pytest_modellab.tradeoff import cost

INDEXING = "usd_per_million_documents"
"""Stands among a summary's probes, and in no run record: prices change, runs do not."""


MINUTE = "usd_per_minute_audio"
"""As :data:`INDEXING`: a minute of recordings."""


IMAGE = "usd_per_image"
"""As :data:`INDEXING`: an image; of a reader, a page."""


_TIMED = ("documents_per_second", "real_time_factor", "seconds_per_image")
"""Probes that dollars are made of, by the price of a device."""


_COUNTED = "tokens_per_document"
"""The probe that dollars are made of by the price of a server that embeds."""


def price_of(spec: VariantSpec, device: str, prices: Mapping[str, Price]) -> Price | None:
    """Return what computing costs a variant: its declared price, or the device's, or None.

    Args:
        spec: the variant.
        device: what it ran on.
        prices: those that are declared, by name.
    """
    return cost.price_of(device, prices) if spec.price is None else prices[spec.price]


def dollars(
    probes: Mapping[str, float], spec: VariantSpec, device: str, prices: Mapping[str, Price]
) -> dict[str, float]:
    """Return what probes cost: a million documents to index, a minute of audio, an image.

    Args:
        probes: of a run.
        spec: the variant.
        device: what it ran on.
        prices: those that are declared, by name.
    """
    timed = {name: probes[name] for name in _TIMED if probes.get(name)}
    if tokens := probes.get(_COUNTED):
        timed.pop("documents_per_second", None)  # of the server's machine, and its other users
        asked = prices[spec.price] if spec.price is not None else None
        if asked is not None and asked.usd_per_million_input is not None:
            return {INDEXING: round(tokens * asked.usd_per_million_input, 6)}
    price = price_of(spec, device, prices) if timed else None
    if price is None:
        return {}
    if (hour := price.usd_per_hour) is None:
        given = {MINUTE: price.usd_per_minute_audio, IMAGE: price.usd_per_image}
        named = {MINUTE: "real_time_factor", IMAGE: "seconds_per_image"}
        return {k: usd for k, usd in given.items() if usd is not None and named[k] in timed}
    found = {}
    if speed := timed.get("documents_per_second"):
        found[INDEXING] = round(cost.indexing(hour, speed), 6)
    if factor := timed.get("real_time_factor"):
        found[MINUTE] = float(f"{cost.MINUTE * factor * hour / 3600.0:.6g}")
    if seconds := timed.get("seconds_per_image"):
        found[IMAGE] = float(f"{seconds * hour / 3600.0:.6g}")
    return found


def priced(summary: RunSummary, spec: VariantSpec, prices: Mapping[str, Price]) -> RunSummary:
    """Return a summary with what its probes cost.

    Args:
        summary: of a run.
        spec: the variant.
        prices: those that are declared, by name.
    """
    device = str(summary.environment.get("device") or "cpu")
    found = dollars(summary.probes, spec, device, prices)
    return dataclasses.replace(summary, probes={**summary.probes, **found})
