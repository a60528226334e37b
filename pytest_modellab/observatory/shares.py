"""Who pays: what an error at each place costs, by one backward pass through the base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_modellab.observatory.run import Trace


def gradients(
    trace: Trace, base: Any, candidate: Any, tokens: int
) -> Mapping[tuple[str, str, int], tuple[Any, ...]]:
    """Differentiate ``mean (q - p) · logits`` of the base, with the difference held fixed.

    An error ``e`` at a node then costs ``e · gradient / 2`` nats a token to first order, and all
    of them add up to half of ``KL(p||q) + KL(q||p)``. It is attribution patching (Nanda 2023) with
    the difference of the outputs as the metric: the KL's own gradient is zero at the base.

    Args:
        trace: the base's; its graph is used up.
        base: log-probabilities.
        candidate: log-probabilities.
        tokens: positions in all parts.

    Returns:
        (``leaf`` or ``glue``, path, number of the call) → a gradient a tensor, or None.
    """
    import torch

    keys: list[tuple[str, str, int]] = []
    nodes: list[Any] = []
    sizes: list[int] = []
    for path, calls in trace.calls.items():
        for number, call in enumerate(calls):
            if path in trace.glue:
                keys.append(("glue", path, number))
                nodes.append(call.input)
                sizes.append(1)
            keys.append(("leaf", path, number))
            nodes.extend(call.outputs)
            sizes.append(len(call.outputs))
    if trace.logits_glue:
        keys.append(("glue", "logits", 0))
        nodes.append(trace.logits)
        sizes.append(1)
    weights = (candidate.exp() - base.exp()) / tokens
    asked = [i for i, node in enumerate(nodes) if node.requires_grad]
    metric = (weights.detach() * trace.logits).sum()
    found: list[Any] = [None] * len(nodes)
    answers = torch.autograd.grad(metric, [nodes[i] for i in asked], allow_unused=True)
    for i, gradient in zip(asked, answers, strict=True):
        found[i] = None if gradient is None else gradient.float()
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return {
        key: tuple(found[start : start + size])
        for key, start, size in zip(keys, starts, sizes, strict=True)
    }
