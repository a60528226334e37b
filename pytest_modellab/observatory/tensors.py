"""Tensors in what modules take and give, whatever they are wrapped in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def floats(value: Any) -> list[Any]:
    """All floating-point tensors in a value, in order."""
    return [one for one in _walk(value) if one.is_floating_point()]


def first(args: Any, kwargs: Mapping[str, Any]) -> Any:
    """The first tensor that a module is given."""
    return next(_walk((args, dict(kwargs))))


def first_of(*args: Any, **kwargs: Any) -> Any:
    """The first tensor of a call: a module that passes its input on."""
    return first(args, kwargs)


def put_first(args: Any, kwargs: Mapping[str, Any], tensor: Any) -> tuple[Any, Any]:
    """Arguments with another first tensor."""
    found = iter([tensor])
    args, kwargs = mapped((tuple(args), dict(kwargs)), lambda one: next(found, one))
    return args, kwargs


def put_floats(value: Any, others: Any) -> Any:
    """A value with other floating-point tensors, in its own structure."""
    found = iter(others)
    return mapped(value, lambda one: next(found, one) if one.is_floating_point() else one)


def like(tensor: Any, other: Any) -> Any:
    """A tensor in another's dtype, on its device."""
    return tensor.detach().to(device=other.device, dtype=other.dtype)


def size(calls: Mapping[str, Any]) -> int:
    """Bytes of all that calls hold, what several share counted once."""
    held = {
        one.untyped_storage().data_ptr(): one.untyped_storage().nbytes()
        for rows in calls.values()
        for call in rows
        for one in (call.input, *call.outputs)
    }
    return sum(held.values())


def _walk(value: Any) -> Iterator[Any]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _walk(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _walk(one)


def mapped(value: Any, change: Any) -> Any:
    """A value with every tensor changed, in its own structure."""
    import torch

    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        pairs = [(name, mapped(one, change)) for name, one in value.items()]
        try:
            return type(value)(pairs)
        except TypeError:
            return type(value)(**dict(pairs))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(one, change) for one in value))
    if isinstance(value, list | tuple):
        return type(value)(mapped(one, change) for one in value)
    return value
