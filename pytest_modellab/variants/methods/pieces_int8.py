"""Method ``onnxruntime-int8`` of the kind ``quantized`` for a base that is made of graphs."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.engines import graphs_int8
from pytest_modellab.errors import ConfigError, ModelError, near_misses, store_errors_as
from pytest_modellab.models.files import named
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.setting import Setting, resolve
from pytest_modellab.store import folders
from pytest_modellab.variants.plan import Plan

METHOD = "onnxruntime-int8"

PACKAGES = ("onnx", "onnxruntime")

GRAPH = "model.onnx"


def plan(base: Plan, options: Mapping[str, Any]) -> Plan:
    """Plan a variant some of whose graphs have weights of 8 bits.

    Args:
        base: the plan of the variant that is quantized.
        options: ``method`` and ``parts``, all that are graphs unless given.

    Returns:
        The base's plan with those graphs quantized.

    Raises:
        ConfigError: a wrong option; the message begins with its name.
    """
    known = {"method": Setting(str, choices=(METHOD,)), "parts": Setting(list, list(base.pieces))}
    found = resolve(known, options)
    parts = found["parts"]
    for part in parts:
        if part not in base.pieces:
            raise ConfigError(f"parts: unknown {part!r}; {near_misses(part, base.pieces)}")
    if not parts:
        raise ConfigError("parts: empty; name what is quantized, or leave it out for all")
    return dataclasses.replace(
        base,
        quantization={
            "method": METHOD,
            "parts": [part for part in base.pieces if part in parts],
            **graphs_int8.SETTINGS,
        },
        packages=tuple(dict.fromkeys((*base.packages, *PACKAGES))),
    )


def graph(plan: Plan, part: str, cache: Path) -> Path:
    """Return the file of a part, quantizing it once where the plan says so.

    Args:
        plan: of a variant that is made of graphs.
        part: one of its pieces.
        cache: the store's root.

    Raises:
        ModelError: there is no space, or the file cannot be read.
    """
    files = plan.pieces[part].files
    if part not in plan.quantization.get("parts", ()):
        return files.path
    made_by = {name: importlib.metadata.version(name) for name in PACKAGES}
    key = digest([files.weights, dict(graphs_int8.SETTINGS), made_by])[:16]
    with store_errors_as(ModelError):
        kept = folders.folder(
            cache / "models" / f"{key}-int8",
            lambda target: graphs_int8.quantize(files.path, target / GRAPH),
            what=named(files.source),
        )
    return kept / GRAPH
