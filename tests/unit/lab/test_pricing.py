"""What a run took, in dollars at the prices that are declared now."""

from __future__ import annotations

import pytest

from pytest_modellab.lab import pricing
from pytest_modellab.records.declared import Price, VariantSpec

SPEC = VariantSpec("v", "transcriber", "speech")
PROBES = {
    "documents_per_second": 10.0,
    "real_time_factor": 0.1,
    "seconds_per_image": 0.5,
    "audio_seconds": 60.0,
}
CPU = {"cpu": Price("cpu", 3.6)}
API = {"api": Price("api", usd_per_minute_audio=0.006, usd_per_image=0.001)}


def test_a_device_is_paid_for_its_time() -> None:
    assert pricing.dollars(PROBES, SPEC, "cpu", CPU) == {
        "usd_per_million_documents": 100.0,
        "usd_per_minute_audio": pytest.approx(6 * 0.001),
        "usd_per_image": pytest.approx(0.5 * 0.001),
    }


def test_an_endpoint_is_paid_as_it_says() -> None:
    spec = VariantSpec("v", "transcriber", "speech", price="api")
    heard = {"real_time_factor": 0.1, "audio_seconds": 60.0}
    assert pricing.dollars(heard, spec, "cpu", API) == {"usd_per_minute_audio": 0.006}
    assert pricing.dollars({"seconds_per_image": 0.5}, spec, "cpu", API) == {"usd_per_image": 0.001}


def test_without_a_price_or_a_measurement_nothing_is_said() -> None:
    assert pricing.dollars(PROBES, SPEC, "cuda", CPU) == {}
    assert pricing.dollars({"tokens": 3.0}, SPEC, "cpu", CPU) == {}
