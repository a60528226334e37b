"""The kinds that a suite can be started with, one file each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pytest_modellab.starter.kind import Kind
from pytest_modellab.starter.kinds import (
    aligned,
    distilled,
    embedding,
    finetuned,
    lora,
    prompted,
    quantized,
)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            prompted.KIND,
            quantized.KIND,
            lora.KIND,
            finetuned.KIND,
            aligned.KIND,
            distilled.KIND,
            embedding.KIND,
        )
    }
)
"""By name; the first is what is written unless another is asked for."""
