"""What is said in the end: one name that was proved, or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pytest_modellab.records.diagnosis import Finding

NOTHING = 1e-3
"""Nats a token, below which nothing is called damaged."""


NAMED = 0.25
"""The share of the damage that a place must hold to be named."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is said.

    Attributes:
        culprit: the site, or None.
        fault: its class, or the class of the whole.
        headline: one sentence.
    """

    culprit: str | None
    fault: str
    headline: str


def decide(damage: float, findings: Sequence[Finding], whole: str) -> Verdict:
    """Name the place that holds most of the damage, where one holds enough.

    Args:
        damage: nats a token.
        findings: places.
        whole: the class of the whole, where no place is named.

    Returns:
        The verdict.
    """
    if damage < NOTHING:
        return Verdict(None, "none", "nothing is damaged")
    best = max(findings, key=lambda one: one.restored or 0.0, default=None)
    if best is not None and (best.restored or 0.0) >= NAMED:
        return Verdict(best.site, best.fault, f"{best.site} is {best.fault}")
    return Verdict(None, whole, f"nothing is named: {whole}")
