"""Graphs with weights of 8 bits, by ONNX Runtime's own quantization."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.engines.packages import needed
from pytest_modellab.errors import ModelError

SETTINGS: Mapping[str, Any] = MappingProxyType(
    {"version": 1, "quantized": "dynamic", "operators": "all", "weights": "uint8", "per": "tensor"}
)
"""What a fingerprint has of it.

Both factors of a product have no sign, so that no processor's sums overflow (with signed weights,
those without VNNI need one bit less).
"""


def quantize(source: Path, target: Path) -> None:
    """Write a graph whose products and convolutions are computed in 8 bits.

    Each tensor of weights has one scale; that of what they are multiplied with is found while the
    graph runs, from the input alone.

    Args:
        source: the float32 graph.
        target: the file to write.

    Raises:
        ModelError: ONNX Runtime cannot quantize it.
        VariantLoadError: a library is missing.
    """
    with needed("quantizing a graph", extra="onnx"):
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process
    prepared = target.with_name("prepared.onnx")
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)  # it asks for the preparation that has just been made
    try:
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_dynamic(prepared, target, weight_type=QuantType.QUInt8)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise ModelError(f"{source}: ONNX Runtime cannot quantize it: {error}") from error
    finally:
        logger.setLevel(before)
        prepared.unlink(missing_ok=True)
