"""The shape of what each leaf gives: in the base, in the candidate, and there on right inputs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from pytest_modellab.observatory import sites
from pytest_modellab.observatory.pictures import streams
from pytest_modellab.observatory.pictures.view import LeftOut, View
from pytest_modellab.observatory.sites import Leaf

_DEAD = 1e-4
"""A channel is dead if it never is larger than this share of the leaf's root mean square."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """A leaf's output.

    Attributes:
        error: mean over positions of its distance from the base's, relative.
        rms: root mean square.
        largest: of its absolute values.
        kurtosis: fourth moment over the squared second; 3 for a bell curve.
        dead: channels that are always zero.
    """

    error: float
    rms: float
    largest: float
    kurtosis: float
    dead: int


@dataclasses.dataclass(frozen=True)
class Shapes:
    """The leaves that give one tensor in both models.

    Attributes:
        leaves: in order.
        base: of each of them, in the base.
        free: in the candidate, run freely.
        forced: in the candidate, given the base's inputs.
    """

    leaves: tuple[Leaf, ...]
    base: tuple[Shape, ...]
    free: tuple[Shape, ...]
    forced: tuple[Shape, ...]


def shapes(view: View) -> Shapes:
    """Run the base once and the candidate twice."""
    import torch

    paths = [
        leaf.path
        for leaf in view.leaves
        if leaf.kind != "rope" and sites.module(view.candidate, leaf.path) is not None
    ]
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}

    def keep(path: str) -> Callable[..., None]:
        def hook(module: Any, args: tuple[Any, ...], output: Any) -> None:
            if path not in outputs and args and isinstance(output, torch.Tensor):
                inputs[path], outputs[path] = args[0], output

        return hook

    with torch.no_grad():
        ids = streams.tensor(view.base, view.short)
        with streams.watched(view.base, behind={path: keep(path) for path in paths}):
            streams.logits(view.base, ids)
        free = run(view.candidate, view.short, outputs)
        forced = run(view.candidate, view.short, outputs, inputs)
    known = tuple(leaf for leaf in view.leaves if leaf.path in free and leaf.path in forced)
    if not known:
        raise LeftOut("no leaf gives one tensor in both models")
    return Shapes(
        known,
        *(
            tuple(side[leaf.path] for leaf in known)
            for side in (
                {path: shape(output, output) for path, output in outputs.items()},
                free,
                forced,
            )
        ),
    )


def run(
    model: Any,
    rows: tuple[tuple[int, ...], ...],
    outputs: dict[str, Any],
    inputs: dict[str, Any] | None = None,
) -> dict[str, Shape]:
    """The shape of each leaf's output.

    Args:
        model: the candidate.
        rows: of token ids.
        outputs: the base's, by path.
        inputs: the base's, which are put in place of what arrives; None to run freely.
    """
    import torch

    found: dict[str, Shape] = {}

    def force(path: str) -> Callable[..., Any]:
        def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            given = (inputs or {})[path]
            if args and isinstance(args[0], torch.Tensor) and args[0].shape == given.shape:
                return (given.to(args[0]), *args[1:]), kwargs
            return None

        return hook

    def look(path: str) -> Callable[..., None]:
        def hook(module: Any, args: tuple[Any, ...], output: Any) -> None:
            if (
                path not in found
                and isinstance(output, torch.Tensor)
                and output.shape == outputs[path].shape
            ):
                found[path] = shape(output, outputs[path])

        return hook

    with streams.watched(
        model,
        before={path: force(path) for path in inputs or {}},
        behind={path: look(path) for path in outputs},
    ):
        streams.logits(model, streams.tensor(model, rows))
    return found


def shape(output: Any, base: Any) -> Shape:
    """The figures of a leaf's output."""
    import torch

    values, reference = output.float(), base.to(output.device).float()
    distance = (values - reference).norm(dim=-1) / reference.norm(dim=-1).clamp_min(1e-12)
    squares = values.square()
    power = squares.mean()
    largest = values.abs().flatten(0, -2).amax(0)
    return Shape(
        error=float(distance.mean()),
        rms=float(power.sqrt()),
        largest=float(largest.max()),
        kurtosis=float(squares.square().mean() / power.square()) if power > 0 else math.nan,
        dead=int((largest <= _DEAD * torch.sqrt(power)).sum()),
    )
