"""Figures as a record and a sentence hold them."""

from __future__ import annotations

import math
from collections.abc import Iterable


def plain(value: float) -> float | None:
    """The value with four digits, or None where there is nothing: no number, or beyond them all."""
    value = float(value)
    return float(f"{value:.4g}") if math.isfinite(value) else None


def row(values: Iterable[float]) -> tuple[float | None, ...]:
    """Each value, as :func:`plain` gives it."""
    return tuple(plain(value) for value in values)


def short(value: float) -> str:
    """The value with two digits, as a sentence says it: ``0.62``, ``1e-4``, ``nan``."""
    if value and abs(value) < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    if abs(value) >= 10:
        return f"{value:.0f}"
    return f"{value:.2g}"


def percent(share: float) -> str:
    """The share in per cent: ``99 %``."""
    return f"{round(100 * share) if math.isfinite(share) else share} %"


def finite(values: Iterable[float | None]) -> list[float]:
    """The values that are numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]
