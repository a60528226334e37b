"""What requests cost, from tokens or seconds and prices."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from pytest_modellab.records.declared import Price

REQUESTS = 1000
"""Costs are given for so many requests."""


MINUTE = 60.0
"""Costs of recordings are given for so many seconds of them."""


def price_of(device: str, prices: Mapping[str, Price]) -> Price | None:
    """Find the price of a device: the longest name that its name contains as a word, in any case.

    Args:
        device: for example ``cpu`` or ``NVIDIA H100 80GB HBM3``.
        prices: by name.

    Returns:
        The price, or None where none fits or the device's is an endpoint's.
    """
    fitting = [
        price
        for name, price in prices.items()
        if price.usd_per_hour is not None
        and re.search(rf"(?<![a-z0-9]){re.escape(name.lower())}(?![a-z0-9])", device.lower())
    ]
    return max(fitting, key=lambda price: len(price.name), default=None)


def serving(
    price: Price,
    *,
    seconds: float,
    tokens_in: float,
    tokens_out: float,
    audio_seconds: float = 0.0,
    images: float = 0.0,
) -> float:
    """Dollars for 1,000 requests.

    Args:
        price: of the device or the endpoint.
        seconds: that one request keeps the device busy.
        tokens_in: of one prompt.
        tokens_out: of one reply.
        audio_seconds: of the recordings of one request.
        images: of one request.

    Returns:
        Dollars.
    """
    if price.usd_per_hour is not None:
        return REQUESTS * seconds * price.usd_per_hour / 3600.0
    given, taken = price.usd_per_million_input or 0.0, price.usd_per_million_output or 0.0
    heard = audio_seconds / MINUTE * (price.usd_per_minute_audio or 0.0)
    seen = images * (price.usd_per_image or 0.0)
    return REQUESTS * ((tokens_in * given + tokens_out * taken) / 1e6 + heard + seen)


def indexing(usd_per_hour: float, documents_per_second: float) -> float:
    """Dollars that encoding a million documents costs."""
    return 1e6 / documents_per_second * usd_per_hour / 3600.0


def amortized(training_usd: float, volume: int) -> float:
    """Dollars of training that 1,000 requests of a volume carry."""
    return REQUESTS * training_usd / volume


def break_even(
    serving_a: float, training_a: float, serving_b: float, training_b: float
) -> int | None:
    """The number of requests at which two variants have cost the same.

    Below it the one with the cheaper training has cost less, above it the one with the cheaper
    requests.

    Args:
        serving_a: dollars for 1,000 requests of ``a``.
        training_a: dollars that making ``a`` cost.
        serving_b: the same of ``b``.
        training_b: the same of ``b``.

    Returns:
        Requests, rounded up; None where one of them is never dearer than the other.
    """
    made, served = training_a - training_b, serving_b - serving_a
    if made * served <= 0:
        return None
    return math.ceil(REQUESTS * made / served)
