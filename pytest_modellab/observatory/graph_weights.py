"""The weights of an ONNX graph, unpacked, in the base's code: to be examined like any."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKED = ("_quantized", "_q")
"""What the names of packed tensors end with, beside those of their scales."""

ALIKE = 0.5
"""The cosine from which a tensor without a name is taken for a parameter of its shape."""


def read(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the tensors of a graph as float32; packed ones by their scales and zero points.

    Args:
        path: the ``.onnx`` file.

    Returns:
        Name → tensor; what is packed in another way is left out.
    """
    import numpy as np
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    found = {}
    for name, values in stored.items():
        if values.dtype in (np.float32, np.float16):
            found[name] = values.astype(np.float32)
            continue
        for end in PACKED:
            stem = name.removesuffix(end)
            scale = stored.get(f"{stem}_scale")
            if stem == name or scale is None:
                continue
            zero = stored.get(f"{stem}_zero_point", np.zeros((), values.dtype))
            found[stem] = _unpacked(values, scale, zero)
    return found


def _unpacked(values: Any, scale: Any, zero: Any) -> NDArray[np.float32]:
    import numpy as np

    def along(factors: Any) -> Any:
        if factors.ndim == 1 and values.ndim == 2 and len(factors) > 1:
            last = len(factors) == values.shape[1]
            return factors[None] if last else factors[:, None]
        return factors

    centred = values.astype(np.float32) - along(np.asarray(zero)).astype(np.float32)
    return np.asarray(centred * along(scale), np.float32)


def fill(model: Any, tensors: Mapping[str, NDArray[np.float32]]) -> tuple[str, ...]:
    """Put a graph's weights into a model, by name, or by shape and likeness.

    Args:
        model: the base's; changed in place.
        tensors: of :func:`read`.

    Returns:
        Names of the model's parameters that the graph does not hold, and that keep their values.
    """
    import torch

    left = {name: torch.from_numpy(values.copy()) for name, values in tensors.items()}
    missing = []
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            found = _named(name, parameter, left) or _alike(parameter, left)
            if found is None:
                missing.append(name)
                continue
            values = left[found]
            parameter.copy_(_turned(values, parameter))
            if not _ends(found, name):  # one without a name is used once
                del left[found]
    return tuple(missing)


def _turned(values: Any, parameter: Any) -> Any:
    """A tensor as a parameter has it: products of a graph may keep a matrix turned."""
    if values.dim() != 2 or values.shape != parameter.shape[::-1]:
        return values
    if values.shape != parameter.shape:
        return values.t()
    plain, turned = (float((one * parameter).sum()) for one in (values, values.t()))
    return values if plain >= turned else values.t()


def _ends(one: str, other: str) -> bool:
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _named(name: str, parameter: Any, left: Mapping[str, Any]) -> str | None:
    shapes = (parameter.shape, parameter.shape[::-1])
    return next((one for one in left if _ends(one, name) and left[one].shape in shapes), None)


def _alike(parameter: Any, left: Mapping[str, Any]) -> str | None:
    """The tensor of that shape, as it is or turned, that is most like a parameter."""
    best, chosen = ALIKE, None
    size = float(parameter.norm())
    for name, values in left.items():
        for turned in (values, values.t()) if values.dim() == 2 else (values,):
            if turned.shape != parameter.shape:
                continue
            norm = float(turned.norm())
            likeness = float((turned * parameter).sum()) / (size * norm) if size * norm else 0.0
            if math.isfinite(likeness) and likeness > best:
                best, chosen = likeness, name
    return chosen
