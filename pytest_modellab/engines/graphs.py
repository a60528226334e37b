"""What the engines that run ONNX graphs share: opening one, and its size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pytest_modellab.engines.memory import graph_running_out
from pytest_modellab.errors import ModelError, OutOfMemory


def open_graph(path: Path, *, threads: int, advice: str = "") -> Any:
    """Open a graph on the CPU.

    Args:
        path: the graph's file.
        threads: that compute.
        advice: ends the message where it cannot be opened.

    Returns:
        ONNX Runtime's session.

    Raises:
        ModelError: ONNX Runtime cannot load it.
        OutOfMemory: it does not fit.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    try:
        with graph_running_out():
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except OutOfMemory as error:
        raise OutOfMemory(f"{path}: does not fit into memory: {error}") from error
    except tuple(kinds) as error:
        raise ModelError(f"{path}: ONNX Runtime cannot load it: {error}{advice}") from error


def parameter_bytes(graph: Any) -> int:
    """Return the bytes of a graph's weights and scales.

    Args:
        graph: as the package onnx reads it, with or without external data.
    """
    from onnx.helper import tensor_dtype_to_np_dtype

    return sum(
        math.prod(tensor.dims) * tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for tensor in graph.initializer
    )


def constant_bytes(graph: Any) -> int:
    """Return the bytes of a graph's constants, where some exporters put all weights.

    Args:
        graph: as of :func:`parameter_bytes`.
    """
    from onnx.helper import tensor_dtype_to_np_dtype

    return sum(
        math.prod(attribute.t.dims) * tensor_dtype_to_np_dtype(attribute.t.data_type).itemsize
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    )
