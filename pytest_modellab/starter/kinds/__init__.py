"""The kinds that a suite can be started with, one file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pytest_modellab.starter.kind import Kind
from pytest_modellab.starter.kinds import (
    aligned,
    distilled,
    embedding,
    endpoint,
    finetuned,
    lora,
    prompted,
    quantized,
)
from pytest_modellab.starter.model import Server

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
            endpoint.KIND,
        )
    }
)
"""By name; the first is what is written unless another is asked for."""


SERVED: Mapping[str, Callable[[Server], Kind]] = MappingProxyType(
    {"endpoint": endpoint.of, "embedding": embedding.of}
)
"""Kinds whose model may be behind a server: what makes of one a kind that is started with it."""


_MEDIA = "pictures, recordings or pages of yours, and a model that takes them", "docs/multimodal.md"


WITHOUT: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "rag": ("your documents, and questions that they answer", "docs/retrieval.md"),
        "lexical": (
            "a suite of --kind embedding, whose models it is the yardstick of",
            "docs/retrieval.md",
        ),
        "multimodal": _MEDIA,
        "transcriber": _MEDIA,
        "reader": _MEDIA,
        "qlora": ("a base in 4 bits beside the one of --kind lora", "docs/reference.md"),
    }
)
"""Kinds of variants that no suite is started with: what they need, and the page that shows it."""
