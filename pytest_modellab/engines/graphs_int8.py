"""Graphs that are computed in 8 bits, by ONNX Runtime's own quantization."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.engines.packages import needed
from pytest_modellab.errors import ModelError

DYNAMIC: Mapping[str, Any] = MappingProxyType(
    {"version": 1, "scales": "dynamic", "weights": "uint8 per tensor", "activations": "uint8"}
)
"""What a fingerprint has of :func:`dynamic`.

Both factors of a product have no sign, so that no processor's sums overflow.
"""

STATIC: Mapping[str, Any] = MappingProxyType(
    {
        "version": 1,
        "scales": "static, moving average of the least and the largest values",
        "weights": "int8 per channel",
        "activations": "uint8",
    }
)
"""What a fingerprint has of :func:`static`.

Scales that are wide enough for all inputs give the usual ones too few steps: of PP-OCRv6's
recognition they lose three times as much as the moving average (docs/quantization.md).
"""

_QUANTIZED = ("Conv", "MatMul")

_OPSET = 17
"""The first since 13, which knows scales by channel, that ONNX Runtime has no notes about."""


def dynamic(source: Path, target: Path) -> None:
    """Write a graph that finds the scales of its activations while it runs, from the input alone.

    Args:
        source: the float32 graph.
        target: the file to write.

    Raises:
        ModelError: ONNX Runtime cannot quantize it.
        VariantLoadError: a library is missing.
    """
    with _prepared(source, target) as (_, quantization, prepared):
        quantization.quantize_dynamic(prepared, target, weight_type=quantization.QuantType.QUInt8)


def static(source: Path, target: Path, inputs: Sequence[Any], *, reduce_range: bool) -> None:
    """Write a graph whose activations have the scales that they need for some inputs.

    Args:
        source: the float32 graph.
        target: the file to write.
        inputs: what it is given, of its one input.
        reduce_range: 7 bits, for processors whose 8-bit sums overflow in 16 bits (x86 without
            VNNI).

    Raises:
        ModelError: ONNX Runtime cannot quantize it, or there is no input.
        VariantLoadError: a library is missing.
    """
    if not inputs:
        raise ModelError(f"{source}: nothing reaches it from the calibration's samples; add others")
    with _prepared(source, target, optimized=False) as (onnx, quantization, prepared):
        from onnx import version_converter

        graph = version_converter.convert_version(onnx.load(prepared), _OPSET)
        onnx.save(graph, prepared)
        (name,) = (value.name for value in graph.graph.input)
        quantization.quantize_static(
            prepared,
            target,
            _Given(name, inputs),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTIZED),
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={"CalibMovingAverage": True},
        )


class _Given:
    """Inputs as ONNX Runtime asks for them when it calibrates."""

    def __init__(self, name: str, inputs: Iterable[Any]) -> None:
        self._name, self._left = name, iter(inputs)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next input by its name, or None behind the last."""
        values = next(self._left, None)
        return None if values is None else {self._name: values}


@contextlib.contextmanager
def _prepared(
    source: Path, target: Path, *, optimized: bool = True
) -> Iterator[tuple[Any, Any, Path]]:
    """Give the libraries, and a copy of a graph with all shapes that can be known."""
    with needed("quantizing a graph", extra="onnx"):
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    prepared = target.with_name("prepared.onnx")
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)  # it asks for the preparation that has just been made
    try:
        quant_pre_process(
            source, prepared, skip_symbolic_shape=True, skip_optimization=not optimized
        )
        yield onnx, quantization, prepared
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise ModelError(f"{source}: ONNX Runtime cannot quantize it: {error}") from error
    finally:
        logger.setLevel(before)
        prepared.unlink(missing_ok=True)
