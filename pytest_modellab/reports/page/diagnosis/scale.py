"""Values become steps of colour, and ticks of an axis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from pytest_modellab.records.diagnosed import finite
from pytest_modellab.reports.diagnosed import NOT_FINITE
from pytest_modellab.reports.page.words import MINUS
from pytest_modellab.reports.words import number

STEPS = 5
"""Colours on one side of the neutral one; as many above nothing on a sequential scale."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """From a value to its colour.

    Attributes:
        low: of a sequential scale the value of the palest colour; else as far below the middle as
            ``high`` is above it.
        high: the value of the strongest colour.
        middle: the neutral value of a diverging scale, or None.
    """

    low: float
    high: float
    middle: float | None

    def step(self, value: float) -> int:
        """The colour's number: -5 to 5 around the middle, else 0 to 5."""
        if self.middle is None:
            share = (value - self.low) / (self.high - self.low)
            return max(0, min(STEPS, round(share * STEPS)))
        share = (value - self.middle) / (self.high - self.middle)
        return max(-STEPS, min(STEPS, round(share * STEPS)))

    def steps(self) -> list[tuple[int, float]]:
        """Every colour with the value that it stands for, the lowest first."""
        if self.middle is None:
            width = (self.high - self.low) / STEPS
            return [(i, self.low + i * width) for i in range(STEPS + 1)]
        width = (self.high - self.middle) / STEPS
        return [(i, self.middle + i * width) for i in range(-STEPS, STEPS + 1)]


def drawable(value: float) -> bool:
    """Whether a value has a place on a scale: finite, and not so large that none has."""
    return finite(value) and abs(value) < 1e300


def scale(values: Iterable[float | None], middle: float | None) -> Scale:
    """The scale of a matrix; what is not finite does not count."""
    known = [v for v in values if v is not None and drawable(v)]
    if middle is not None and drawable(middle):
        span = max((abs(v - middle) for v in known), default=0.0)
        span = span or 1.0
        return Scale(middle - span, middle + span, middle)
    low, high = min(known, default=0.0), max(known, default=0.0)
    if 0 <= low < 0.5 * high:
        low = 0.0
    if not high > low:
        high = low + max(1.0, abs(low))
    return Scale(low, high, None)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values that cover a range: whole multiples of 1, 2 or 5 of some power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [i * step for i in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten that cover a range; every second one, or fewer, where there are many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / 7))
    exponents = range(first, max(last, first + 1) + every, every)
    return [10.0**e for e in exponents if e < 308]


def rounded(value: float, span: float) -> str:
    """A value to about a hundredth of what its scale spans, so that a cell tells no noise."""
    if not drawable(value) or not span > 0:
        return shown(value)
    digits = 1 - math.floor(math.log10(0.6 * span))
    return shown(round(value, max(0, min(digits, 300))) + 0.0)


def shown(value: float) -> str:
    """A value with three digits, its minus as wide as a plus."""
    if not finite(value):
        return NOT_FINITE
    if 0 < abs(value) < 1e-4 or abs(value) >= 1e6:
        mantissa, _, exponent = f"{value:.2g}".partition("e")
        text = f"{mantissa}e{int(exponent)}" if exponent else mantissa
    else:
        text = number(value)
    return text.replace("-", MINUS)
