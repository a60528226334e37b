"""Files as CTranslate2 writes them, of a few numbers."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping

from pytest_modellab.models.ctranslate2 import SIZES

TENSORS: Mapping[str, tuple[tuple[int, ...], int]] = {
    "encoder/layer_norm/gamma": ((8,), 4),
    "encoder/layer_0/ffn/linear_0/weight": ((16, 8), 4),
    "encoder/conv1/weight": ((8, 80, 3), 4),
    "decoder/layer_norm/gamma": ((8,), 4),
    "decoder/embeddings/weight": ((32, 8), 4),
    "decoder/scale_embeddings": ((), 1),
}


def model_bin(
    tensors: Mapping[str, tuple[tuple[int, ...], int]] = TENSORS, *, spec: str = "WhisperSpec"
) -> bytes:
    """Return a file with these tensors: name → shape and type, all zeros."""
    parts = [struct.pack("<I", 6), _name(spec), struct.pack("<II", 3, len(tensors))]
    for name, (shape, kind) in tensors.items():
        size = math.prod(shape) * SIZES[kind]
        parts += [_name(name), struct.pack(f"<B{len(shape)}I", len(shape), *shape)]
        parts += [struct.pack("<BI", kind, size), bytes(size)]
    alias = next(iter(tensors), "")
    parts += [struct.pack("<I", 1), _name("decoder/projection/weight"), _name(alias)]
    return b"".join(parts)


def _name(name: str) -> bytes:
    return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"
