"""Which ways to compute have no fast kernel on this processor: said before a run, not after it."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Mapping, Set
from typing import Any

X86 = frozenset({"x86_64", "amd64"})
"""Machines that the figures were measured on; nothing is said of others."""


@dataclasses.dataclass(frozen=True)
class Slow:
    """A way to compute that is slow without what it needs.

    Attributes:
        setting: that asks for it, ``dtype`` or ``method``.
        value: the setting's.
        needs: features; any one will do.
        without: that which is missing, in words.
        factor: measured, in times of float32's products on the same processor.
        instead: what to declare in its place, as the end of a sentence.
    """

    setting: str
    value: str
    needs: Set[str]
    without: str
    factor: str
    instead: str


SLOW = (
    Slow(
        "method",
        "torchao-int8",
        {"avx512", "vnni", "avx_vnni"},
        "AVX-512 nor VNNI",
        "14",
        'method = "torchao-int8-weight-only" takes as long as float32',
    ),
    Slow(
        "dtype",
        "bfloat16",
        {"avx512_bf16", "amx"},
        "AVX-512 BF16 nor AMX",
        "2 to 4",
        'dtype = "float32" is faster here',
    ),
    Slow(
        "dtype",
        "float16",
        {"avx512_fp16", "amx_fp16"},
        "AVX-512 FP16 nor AMX FP16",
        "4",
        'dtype = "float32" is faster here',
    ),
)
"""One thread, 512 x 576 x 1,536; docs/quantization.md has the figures and what they rest on."""


def features() -> frozenset[str] | None:
    """Return what torch may use of this processor, or None where nothing was measured on its kind.

    ``ATEN_CPU_CAPABILITY=avx2`` takes away what such a processor would not have.
    """
    if platform.machine().lower() not in X86:
        return None
    import torch

    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    asked = {
        "avx512": "_is_avx512_supported",
        "vnni": "_is_vnni_supported",
        "avx512_bf16": "_is_avx512_bf16_supported",
        "amx": "_is_amx_tile_supported",
        "amx_fp16": "_is_amx_fp16_supported",
    }
    known = {name: getattr(torch.cpu, probe, bool) for name, probe in asked.items()}
    found = {name for name, probe in known.items() if wide and probe()}
    # newer releases of torch tell more
    told: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    more = ({"avx512_fp16"} if wide else set()) | {"avx_vnni"}
    return frozenset(found | {name for name in more if told.get(name)})


def slow(settings: Mapping[str, Any], probe: Callable[[], Set[str] | None] = features) -> list[str]:
    """Say what of a variant has no fast kernel.

    Args:
        settings: of its fingerprint.
        probe: as :func:`features`; asked where there is a doubt.

    Returns:
        A line for each such part.
    """
    if settings.get("device") != "cpu" or not str(settings.get("engine")).startswith(
        "transformers-"
    ):
        return []
    declared = {
        "dtype": settings.get("dtype"),
        "method": settings.get("quantization", {}).get("method"),
    }
    doubtful = [one for one in SLOW if declared[one.setting] == one.value]
    has = probe() if doubtful else None
    return [
        f"{one.value} has no fast kernel on this processor, which has neither {one.without}: its "
        f"products take {one.factor} times as long as float32's; {one.instead}"
        for one in doubtful
        if has is not None and not one.needs & has
    ]
