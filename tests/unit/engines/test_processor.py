"""What a processor has no fast kernel for, said by what it has."""

from __future__ import annotations

import platform
from typing import Any

import pytest

from pytest_modellab.engines import processor

HASWELL = frozenset[str]()
SKYLAKE = frozenset({"avx512"})
SAPPHIRE_RAPIDS = frozenset({"avx512", "vnni", "avx512_bf16", "avx512_fp16", "amx"})


def settings(dtype: str = "float32", method: str = "", **other: str) -> dict[str, Any]:
    quantization = {"quantization": {"method": method}} if method else {"quantization": {}}
    return {"device": "cpu", "engine": "transformers-1", "dtype": dtype, **quantization, **other}


def test_int8_with_activations_names_the_faster_method() -> None:
    assert processor.slow(settings(method="torchao-int8"), lambda: HASWELL) == [
        "torchao-int8 has no fast kernel on this processor, which has neither AVX-512 nor VNNI: "
        "its products take 14 times as long as float32's; "
        'method = "torchao-int8-weight-only" takes as long as float32'
    ]


def test_half_precision_needs_more_than_wide_registers() -> None:
    assert processor.slow(settings("bfloat16"), lambda: SKYLAKE) == [
        "bfloat16 has no fast kernel on this processor, which has neither AVX-512 BF16 nor AMX: "
        "its products take 2 to 4 times as long as float32's; "
        'dtype = "float32" is faster here'
    ]
    (line,) = processor.slow(settings("float16"), lambda: SKYLAKE)
    assert line.startswith("float16 has no fast kernel")
    assert len(processor.slow(settings("bfloat16", "torchao-int8"), lambda: HASWELL)) == 2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_nothing_is_said_where_there_is_a_kernel(dtype: str) -> None:
    assert processor.slow(settings(dtype, "torchao-int8"), lambda: SAPPHIRE_RAPIDS) == []


@pytest.mark.parametrize(
    "one",
    [
        settings(),
        settings(method="torchao-int8-weight-only"),
        settings("bfloat16", device="cuda"),
        settings("bfloat16", engine="llamacpp-1"),
    ],
)
def test_a_processor_is_not_asked_without_need(one: dict[str, Any]) -> None:
    def probe() -> frozenset[str]:
        raise AssertionError("asked")

    assert processor.slow(one, probe) == []


def test_other_kinds_of_processors_were_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert processor.features() is None
    assert processor.slow(settings(method="torchao-int8")) == []


def test_what_torch_may_not_use_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not (processor.features() or frozenset()) & {"avx512", "vnni", "avx512_bf16"}
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert "vnni" in (processor.features() or ())
