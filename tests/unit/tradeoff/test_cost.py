"""Cost: prices found by device, requests, training, and where it has paid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.records.declared import Price
from pytest_modellab.tradeoff import cost

CPU, H100 = Price("cpu", 0.10), Price("h100", 3.0)
ENDPOINT = Price("api", None, 0.5, 1.5)


def test_a_device_is_paid_by_the_hour() -> None:
    assert cost.serving(CPU, seconds=3.6, tokens_in=0, tokens_out=0) == pytest.approx(0.1)


def test_an_endpoint_is_paid_by_the_token() -> None:
    found = cost.serving(ENDPOINT, seconds=99.0, tokens_in=1000, tokens_out=200)
    assert found == pytest.approx(0.5 + 0.3)


def test_an_endpoint_is_paid_by_the_minute_and_the_image() -> None:
    price = Price("api", usd_per_minute_audio=0.006, usd_per_image=0.001)
    asked = {"seconds": 99.0, "tokens_in": 10, "tokens_out": 20}
    assert cost.serving(price, **asked, audio_seconds=30.0) == pytest.approx(3.0)
    assert cost.serving(price, **asked, images=2) == pytest.approx(2.0)
    assert cost.serving(price, **asked) == 0.0


@pytest.mark.parametrize(
    ("device", "price"),
    [
        ("cpu", CPU),
        ("NVIDIA H100 80GB HBM3", H100),
        ("cuda", None),
        ("api", None),
        ("NVIDIA H1000", None),
    ],
)
def test_a_price_is_found_by_the_device_name(device: str, price: Price | None) -> None:
    known = {p.name: p for p in (CPU, H100, ENDPOINT)}
    assert cost.price_of(device, known) == price


def test_the_longest_name_wins() -> None:
    known = {"h100": H100, "h100 80gb": Price("h100 80gb", 4.0)}
    assert cost.price_of("NVIDIA H100 80GB HBM3", known) == known["h100 80gb"]


def test_training_is_spread_over_the_volume() -> None:
    assert cost.amortized(5.0, 1_000_000) == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("a", "b", "requests"),
    [
        ((1.0, 10.0), (2.0, 0.0), 10_000),  # dearer to make, cheaper to serve
        ((2.0, 0.0), (1.0, 10.0), 10_000),
        ((1.0, 0.0), (2.0, 10.0), None),  # cheaper in both
        ((1.0, 5.0), (1.0, 0.0), None),  # never paid back
        ((1.0, 0.0), (1.0, 0.0), None),
    ],
)
def test_break_even(a: tuple[float, float], b: tuple[float, float], requests: int | None) -> None:
    assert cost.break_even(*a, *b) == requests


@given(*[st.floats(0.001, 100) for _ in range(4)])
def test_at_break_even_both_have_cost_the_same(
    serving_a: float, training_a: float, serving_b: float, training_b: float
) -> None:
    requests = cost.break_even(serving_a, training_a, serving_b, training_b)
    if requests is not None:
        spent_a = training_a + serving_a * requests / 1000
        spent_b = training_b + serving_b * requests / 1000
        one = abs(serving_a - serving_b) / 1000  # requests are whole
        assert spent_a == pytest.approx(spent_b, abs=one + 1e-9, rel=1e-9)
