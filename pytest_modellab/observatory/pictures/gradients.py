"""Gradients: how strongly each layer is felt by the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pytest_modellab.observatory.pictures import framing, streams
from pytest_modellab.observatory.pictures.numbers import row, short
from pytest_modellab.observatory.pictures.unpacked import unpacked
from pytest_modellab.observatory.pictures.view import View
from pytest_modellab.records.diagnosis import Lines, Picture, Series


def picture(view: View) -> Picture:
    """Norm of the loss's gradient behind each layer, of both models."""
    where = view.layout
    base = norms(view.base, where, view.short)
    with unpacked(view.candidate, view.base, view.leaves):
        candidate = norms(view.candidate, where, view.short)
    return Picture(
        name="gradients",
        title="Gradients",
        sentence=sentence(base, candidate),
        panels=(
            Lines(
                x=streams.names(where)[1:],
                series=(Series("base", row(base)), Series("candidate", row(candidate))),
                x_name="behind",
                unit="norm of the gradient of the mean loss",
                log=True,
                framed=framing.layers(view.culprit),
            ),
        ),
    )


def norms(model: Any, where: streams.Layout, rows: tuple[tuple[int, ...], ...]) -> list[float]:
    """‖∂ loss / ∂ output‖ of each layer; nothing in the model is changed.

    Args:
        model: any; its parameters need no gradients.
        where: its layers are.
        rows: of token ids, of one length.
    """
    import torch

    outputs: list[Any] = []

    def first(
        module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        started = streams.arriving(args, kwargs).detach().requires_grad_()
        return (
            ((started, *args[1:]), kwargs) if args else ((), {**kwargs, "hidden_states": started})
        )

    def each(module: Any, args: tuple[Any, ...], output: Any) -> None:
        outputs.append(streams.carried(output))

    ids = streams.tensor(model, rows)
    with (
        torch.enable_grad(),
        streams.watched(
            model, before={where.layers[0]: first}, behind=dict.fromkeys(where.layers, each)
        ),
    ):
        given = streams.logits(model, ids)
        loss = torch.nn.functional.cross_entropy(given[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        found = torch.autograd.grad(loss, outputs)
    return [float(one.float().norm()) for one in found]


def slope(values: Sequence[float]) -> float:
    """Slope of the logarithm over the layers, by least squares; nan where one has none."""
    if len(values) < 2 or not all(math.isfinite(value) and value > 0 for value in values):
        return math.nan
    middle = (len(values) - 1) / 2
    logs = [math.log(value) for value in values]
    mean = sum(logs) / len(logs)
    spread = sum((at - middle) ** 2 for at in range(len(values)))
    return sum((at - middle) * (log - mean) for at, log in enumerate(logs)) / spread


def sentence(base: Sequence[float], candidate: Sequence[float]) -> str:
    """What is to be seen in the norms of both."""
    slopes = slope(base), slope(candidate)
    if not math.isfinite(slopes[1]):
        gone = (
            next((at for at in reversed(range(len(candidate))) if not candidate[at] > 0), None)
            if all(math.isfinite(value) for value in candidate)
            else None
        )
        if gone is not None:
            return f"The candidate's gradient is zero behind layer {gone}: nothing is felt there."
        return "The candidate's gradients are no numbers."
    ratios = [
        one / other if other > 0 else math.inf for one, other in zip(candidate, base, strict=True)
    ]
    far = max(range(len(ratios)), key=lambda at: (abs(math.log(ratios[at])), -at))
    trend = f"the slope of its logarithm is {short(slopes[1])} a layer (base {short(slopes[0])})"
    limit = math.log(10) / len(base)
    if abs(slopes[1]) > limit and not abs(slopes[0]) > limit:
        trend += ", it vanishes" if slopes[1] > 0 else ", it explodes"
        trend += " towards the first layers"
    if max(ratios[far], 1 / ratios[far]) < 1.1:
        return f"The loss feels every layer as in the base, within 10 %; {trend}."
    return (
        f"The gradient differs most behind layer {far}, where it is {short(ratios[far])} times "
        f"the base's; {trend}."
    )
