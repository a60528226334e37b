"""A graph's weights are found again, packed or turned, by name or by likeness."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.observatory import graph_weights

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")


def _model() -> Any:
    draw = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Embedding(12, 6), torch.nn.Linear(6, 6), torch.nn.Linear(6, 4)
    )
    for one in model.parameters():
        one.data = torch.randn(one.shape, generator=draw)
    return model


def _write(path: Path, tensors: dict[str, Any]) -> Path:
    initializers = [onnx.numpy_helper.from_array(v, name) for name, v in tensors.items()]
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([node], "g", [value], [out], initializers)
    onnx.save(onnx.helper.make_model(graph), path)
    return path


def _packed(values: Any, axis: int) -> tuple[Any, Any]:
    scale = np.abs(values).max(axis=axis, keepdims=True) / 127
    return np.round(values / scale).astype(np.int8), scale.astype(np.float32)


def test_weights_are_unpacked_and_turned_back(tmp_path: Path) -> None:
    """Rows with a scale each, columns with a scale each, a product's matrix without a name."""
    model = _model()
    state = {name: one.detach().numpy() for name, one in model.named_parameters()}
    rows, by_row = _packed(state["0.weight"], 1)
    columns, by_column = _packed(state["2.weight"].T, 0)
    file = _write(
        tmp_path / "model.onnx",
        {
            "inner.0.weight_q": rows,
            "inner.0.weight_scale": by_row,
            "val_49": np.ascontiguousarray(state["1.weight"].T),
            "1.bias": state["1.bias"],
            "onnx::MatMul_7_quantized": columns,
            "onnx::MatMul_7_scale": by_column[0],
            "onnx::MatMul_7_zero_point": np.zeros(4, np.int8),
            "2.bias": state["2.bias"],
            "shape": np.array([1, 2]),
        },
    )
    tensors = graph_weights.read(file)
    assert "shape" not in tensors
    filled = copy.deepcopy(model)
    for one in filled.parameters():
        one.data += 0.1
    assert graph_weights.fill(filled, tensors) == ()
    for name, one in filled.named_parameters():
        assert torch.allclose(one, model.get_parameter(name), atol=0.02), name


def test_what_a_graph_does_not_hold_is_told(tmp_path: Path) -> None:
    """Those parameters keep their values."""
    model = _model()
    file = _write(tmp_path / "model.onnx", {"0.weight": model[0].weight.detach().numpy()})
    filled = copy.deepcopy(model)
    missing = graph_weights.fill(filled, graph_weights.read(file))
    assert missing == ("1.weight", "1.bias", "2.weight", "2.bias")
    assert torch.equal(filled[1].weight, model[1].weight)
