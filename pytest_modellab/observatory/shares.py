"""Who pays: what an error at each place costs, by one backward pass through the base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_modellab.observatory.outcome import Outcome
    from pytest_modellab.observatory.run import Trace


def gradients(
    trace: Trace, base: Any, candidate: Any, tokens: int, compared: Outcome
) -> Mapping[int, Any]:
    """Differentiate ``mean (q - p) · logits`` of the base, with the difference held fixed.

    An error ``e`` at a node then costs ``e · gradient / 2`` nats a token to first order, and all
    of them add up to half of ``KL(p||q) + KL(q||p)``. It is attribution patching (Nanda 2023) with
    the difference of the outputs as the metric: the KL's own gradient is zero at the base.

    Args:
        trace: the base's; its graph is used up.
        base: log-probabilities.
        candidate: log-probabilities.
        tokens: positions in all parts.
        compared: how; of vectors, the difference of the vectors is the metric.

    Returns:
        ``id`` of a tensor of the trace → its gradient, where there is one.
    """
    import torch

    nodes = {id(one): one for one in trace.tensors() if one.requires_grad}
    metric = compared.towards(base, candidate, trace.logits).sum() / tokens
    found = torch.autograd.grad(metric, list(nodes.values()), allow_unused=True)
    return {
        name: gradient.float()
        for name, gradient in zip(nodes, found, strict=True)
        if gradient is not None
    }
