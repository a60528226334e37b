"""What a loaded model is: a hash of each of its tensors, to tell whether two loads are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pytest_modellab.engines.modules import packed_as_they_are

State = Mapping[str, str]
"""Name of a tensor → the hash of its numbers."""


def of(engine: object) -> State:
    """Return an engine's state; empty for one without a method ``state``.

    Engines of a file that is hashed as a whole have none, and other people's need none.
    """
    told: State = getattr(engine, "state", dict)()
    return told


def hashes(model: Any) -> State:
    """Hash a torch model's tensors one by one, so that no copy of the model is made."""
    with packed_as_they_are(model):
        state = model.state_dict().items()
        tensors = {name: value for name, value in state if hasattr(value, "element_size")}
        return {name: _hash(_before(name, value)) for name, value in tensors.items()}


def _before(name: str, value: Any) -> Any:
    """A scale of bitsandbytes' 4-bit weights as its own packing makes it, done already or not."""
    if not name.endswith(".weight.absmax") or not value.is_floating_point():
        return value
    return (value.T.reshape(-1) if value.dim() > 1 else value).bfloat16()


def _hash(tensor: Any) -> str:
    """Hash a tensor's bytes; a quantized one of torchao or quanto is that of its parts."""
    import torch

    if hasattr(tensor, "__tensor_flatten__"):
        parts = [_hash(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0]]
        return hashlib.sha256("".join(parts).encode()).hexdigest()
    with torch.inference_mode():  # of a tensor that was written to in it, no view is given outside
        plain = tensor.detach().clone().reshape(-1).view(torch.uint8).cpu()
    return hashlib.sha256(plain.numpy()).hexdigest()
