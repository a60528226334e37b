"""What the modules of a torch model hold: how to tell that it changed, and how to let it go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any


def forget_tensors(modules: Iterable[Any]) -> None:
    """Have modules let go of their parameters and buffers, whoever else refers to the modules.

    Args:
        modules: each is asked for its own tensors, not for those of its parts.
    """
    for module in modules:
        for tensors in (module._parameters, module._buffers):
            tensors.update(dict.fromkeys(tensors))


@contextlib.contextmanager
def packed_as_they_are(model: Any) -> Iterator[None]:
    """Leave 4-bit weights of bitsandbytes as they are, though a ``state_dict`` is made of them.

    On processors with AVX-512 BF16 the first answer packs them anew, and a ``state_dict`` unpacks
    them, with scales that were rounded on the way: each later answer would be another model's.

    Args:
        model: of torch, of any weights.
    """
    held = [
        (tensor, tensor.data, tensor.quant_state, dict(vars(tensor.quant_state)))
        for tensor in model.parameters()
        if _is_packed(tensor)
    ]
    try:
        yield
    finally:
        for tensor, data, scales, values in held:
            tensor.data = data
            vars(scales).clear()
            vars(scales).update(values)
            tensor.quant_state = scales


def is_packed(tensors: Iterable[Any]) -> bool:
    """Whether tensors may lie otherwise once a model has answered, as bitsandbytes' 4-bit ones."""
    return any(map(_is_packed, tensors))


def _is_packed(tensor: Any) -> bool:
    return getattr(tensor, "quant_state", None) is not None


def parts(model: Any) -> Any:
    """Return what a torch model consists of, to be compared with what it consists of later.

    Args:
        model: the model.

    Returns:
        Every module, parameter and buffer by name, and the hooks of every module.
    """
    modules = [
        (name, id(module), [*module._forward_pre_hooks], [*module._forward_hooks])
        for name, module in model.named_modules()
    ]
    return modules, [(name, id(tensor)) for name, tensor in _named(model)]


def tensors(model: Any) -> list[Any]:
    """Return the parameters and buffers of a torch model."""
    return [tensor for _, tensor in _named(model)]


def writes(tensors: Iterable[Any]) -> list[tuple[int, int, int]]:
    """Return how often each of some tensors was written to, where it lies, and its sum.

    What lies elsewhere was given other data, and what has another sum was written to by way of its
    ``data``: torch counts neither.
    """
    return [(-1 if one.is_inference() else one._version, _place(one), _sum(one)) for one in tensors]


def _place(tensor: Any) -> int:
    try:
        return int(tensor.data_ptr())
    except RuntimeError:  # of one that is made of others
        return 0


def _sum(tensor: Any) -> int:
    """The sum of a tensor's bytes, eight of them as one number; as fast as memory is read."""
    import torch

    if hasattr(tensor, "__tensor_flatten__"):  # a quantized one of torchao or quanto
        return sum(_sum(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    if tensor.is_meta:
        return 0
    with torch.inference_mode():
        held = tensor.detach().reshape(-1).view(torch.uint8)
        if held.storage_offset() % 8:
            held = held.clone()
        whole = len(held) // 8 * 8
        return int(held[:whole].view(torch.int64).sum()) + int(held[whole:].sum())


def _named(model: Any) -> list[tuple[str, Any]]:
    return [*model.named_parameters(), *model.named_buffers()]
