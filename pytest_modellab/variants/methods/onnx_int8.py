"""Method ``onnxruntime-int8`` of the kind ``quantized``: the base as a graph, in ONNX Runtime."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.engines.interface import Engine
from pytest_modellab.engines.language import onnx_export, onnx_graph
from pytest_modellab.errors import ModelError, store_errors_as
from pytest_modellab.models import locate
from pytest_modellab.models.files import named
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.setting import check_options
from pytest_modellab.store import folders
from pytest_modellab.variants.plan import Plan

PACKAGES = ("onnx", "onnxruntime", "onnxscript")


GRAPH = "model.onnx"


def plan(base: Plan, options: Mapping[str, Any]) -> Plan:
    """Plan a variant that ONNX Runtime computes in int8, on the CPU.

    Args:
        base: the plan of the variant that is quantized; its adapters are merged first.
        options: none but ``method``.

    Returns:
        The base's plan in the other engine.

    Raises:
        ConfigError: a wrong option; the message begins with its name.
    """
    check_options(options, {"method": str})
    reduce_range = overflows()
    return dataclasses.replace(
        base.merged(),
        dtype="float32",  # of what is not quantized
        device="cpu",
        kernels="",
        attention="",
        quantization={"method": "onnxruntime-int8", "reduce_range": reduce_range},
        packages=(*base.packages, *PACKAGES),
        engine=f"onnxruntime-{onnx_graph.VERSION}",
        open=functools.partial(_open, reduce_range),
    )


def overflows(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether products of 8 bits may overflow: on x86 without VNNI, or where nothing says so."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        return "vnni" not in cpuinfo.read_text(encoding="utf-8")
    except OSError:
        return True


def _open(reduce_range: bool, plan: Plan, folder: Path, cache: Path) -> Engine:
    """Export and quantize once, and keep the graph."""
    weights = locate.made(plan.model, folder).weights
    made_by = [importlib.metadata.version(name) for name in (*PACKAGES, "torch", "transformers")]
    key = digest([weights, onnx_graph.VERSION, reduce_range, made_by])[:16]
    trust = plan.model.trust_remote_code

    def write(target: Path) -> None:
        plain = target / "float32.onnx"
        onnx_export.export(
            folder, plain, trust_remote_code=trust, allow_pickle=plan.model.allow_pickle
        )
        onnx_export.quantize(plain, target / GRAPH, reduce_range=reduce_range)
        for file in target.glob(f"{plain.name}*"):
            file.unlink()

    with store_errors_as(ModelError):
        kept = folders.folder(cache / "models" / f"{key}-onnx", write, what=named(plan.model))
    return onnx_graph.load(kept / GRAPH, folder, trust_remote_code=trust)
