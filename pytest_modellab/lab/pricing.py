"""What was measured, in dollars: from a summary and the prices that are declared now."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pytest_modellab.records.declared import Price, VariantSpec
from pytest_modellab.records.runs import RunSummary
from pytest_modellab.tradeoff import cost

INDEXING = "usd_per_million_documents"
"""Stands among a summary's probes, and in no run record: prices change, runs do not."""


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
    """Return what probes cost: the dollars of indexing a million documents, where it is known.

    Args:
        probes: of a run.
        spec: the variant.
        device: what it ran on.
        prices: those that are declared, by name.
    """
    speed = probes.get("documents_per_second")
    price = price_of(spec, device, prices) if speed else None
    if not speed or price is None or price.usd_per_hour is None:
        return {}
    return {INDEXING: round(cost.indexing(price.usd_per_hour, speed), 6)}


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
