"""Packed weights as plain ones for a while: kernels of quantized weights have no gradient."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pytest_modellab.observatory import sites
from pytest_modellab.observatory.effective import effective
from pytest_modellab.observatory.pictures.view import LeftOut
from pytest_modellab.observatory.sites import Leaf

LARGEST = 1 << 29
"""Elements of unpacked weights, all together: 2 GB in float32."""


@contextlib.contextmanager
def unpacked(model: Any, base: Any, leaves: Sequence[Leaf]) -> Iterator[None]:
    """Let packed linear maps be computed by their effective weights, which have a gradient.

    Some kernels of packed weights let a backward pass through, and give zeros.

    Args:
        model: the candidate's.
        base: the base's, whose modules say what each is.
        leaves: of the base.

    Raises:
        LeftOut: the weights are too large, or some cannot be read.
    """
    import torch

    with contextlib.ExitStack() as stack:
        elements = 0
        for leaf in leaves:
            module = sites.module(model, leaf.path)
            if module is None:  # of a layer that was left out
                continue
            known = base.get_submodule(leaf.path)
            if not is_packed(module) or not hasattr(known, "in_features"):
                continue
            elements += known.in_features * known.out_features
            if elements > LARGEST:
                raise LeftOut("the candidate's packed weights are too large to be unpacked")
            held = effective(module, like=known)
            if held is None:
                raise LeftOut(f"the candidate's weights in {leaf.site} cannot be read")

            def forward(given: Any, held: Any = held) -> Any:
                return torch.nn.functional.linear(given.float(), held.weight, held.bias).to(given)

            stack.enter_context(_computing(module, forward))
        yield


def is_packed(module: Any) -> bool:
    """Whether a module holds weights that are no plain floating-point tensors."""
    import torch

    return any(
        not value.is_floating_point() or type(value.data) is not torch.Tensor
        for value in module.parameters()
    )


@contextlib.contextmanager
def _computing(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    missing = object()
    before = vars(module).get("forward", missing)
    module.forward = forward
    try:
        yield
    finally:
        if before is missing:
            del module.forward
        else:
            module.forward = before
