"""Arrays to a device and back, so that neither side waits for the other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_device(array: NDArray[Any], device: Any) -> Any:
    """Return an array as a tensor on a device of torch."""
    import torch

    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def to_host(tensor: Any) -> Callable[[], NDArray[Any]]:
    """Send a tensor back, and return what waits for it and gives it as an array."""
    import torch

    if tensor.device.type != "cuda":
        array: NDArray[Any] = tensor.cpu().numpy()
        return lambda: array
    here = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    here.copy_(tensor, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def wait() -> NDArray[Any]:
        arrived.synchronize()
        values: NDArray[Any] = here.numpy()
        return values

    return wait


def continued(cache: Any) -> Any:
    """Return a key-value cache that grows by itself, and shares what it holds with another.

    Layers of transformers' dynamic cache put new tensors in the place of theirs, and change none.
    """
    if cache is None:
        return None
    new = copy.copy(cache)
    new.layers = [copy.copy(layer) for layer in cache.layers]
    return new
