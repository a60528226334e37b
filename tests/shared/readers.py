"""Two graphs that find dark bars on a page and read a letter a bar, made in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHARACTERS = ("a", "b")
"""A column of the recogniser's output is blank, ``a``, ``b`` or a space."""


def detection(path: Path) -> Path:
    """Write a graph that takes for text what is dark; its weights are 4 numbers."""
    return _write(
        path,
        [
            ("ReduceMean", ["x"], ["grey"], {"axes": [1], "keepdims": 1}),
            ("Mul", ["grey", "scale"], ["dark"], {}),
            ("Sigmoid", ["dark"], ["y"], {}),
        ],
        {"scale": [-8.0]},
        ["n", 3, "h", "w"],
        ["n", 1, "h", "w"],
    )


def recognition(path: Path, *, letter: int = 1, characters: Sequence[str] = CHARACTERS) -> Path:
    """Write a graph that reads a letter where columns are dark, and nothing elsewhere."""
    weights = [0.0] * 4
    weights[letter] = 9.0
    return _write(
        path,
        [
            ("ReduceMean", ["x"], ["grey"], {"axes": [1], "keepdims": 0}),
            ("ReduceMin", ["grey"], ["columns"], {"axes": [1], "keepdims": 0}),
            ("Neg", ["columns"], ["dark"], {}),
            ("Unsqueeze", ["dark"], ["rows"], {"axes": [2]}),
            ("MatMul", ["rows", "weights"], ["logits"], {}),
            ("Softmax", ["logits"], ["y"], {"axis": 2}),
        ],
        {"weights": [weights]},
        ["n", 3, 48, "w"],
        ["n", "w", 4],
        {"character": "\n".join(characters)} if characters else {},
    )


def orientation(path: Path) -> Path:
    """Write a graph that says of every line that it is upside down."""
    return _write(
        path,
        [
            ("ReduceMean", ["x"], ["grey"], {"axes": [1, 2, 3], "keepdims": 0}),
            ("Unsqueeze", ["grey"], ["row"], {"axes": [1]}),
            ("MatMul", ["row", "none"], ["zero"], {}),
            ("Add", ["zero", "upside"], ["y"], {}),
        ],
        {"none": [[0.0, 0.0]], "upside": [0.0, 1.0]},
        ["n", 3, "h", "w"],
        ["n", 2],
    )


def page(path: Path, bars: Sequence[tuple[int, int, int, int]], size: tuple[int, int]) -> Path:
    """Draw black bars on white: left, top, right, bottom."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for bar in bars:
        draw.rectangle(bar, fill="black")
    image.save(path)
    return path


def _write(
    path: Path,
    nodes: Sequence[tuple[str, list[str], list[str], dict[str, Any]]],
    weights: dict[str, Any],
    taken: list[int | str],
    given: list[int | str],
    metadata: dict[str, str] | None = None,
) -> Path:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node(op, inputs, outputs, **said) for op, inputs, outputs, said in nodes],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, given)],
        [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in weights.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    model.ir_version = 8
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path
