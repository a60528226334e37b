"""Activations: size and shape of what each leaf gives, run freely and with the base's inputs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from pytest_modellab.observatory.pictures import framing, streams
from pytest_modellab.observatory.pictures.numbers import row, short
from pytest_modellab.observatory.pictures.view import LeftOut, View
from pytest_modellab.records.diagnosis import Lines, Picture, Series

_MOVED = 0.01
"""Relative error of a leaf given right inputs, from which on it is spoken of."""


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


def picture(view: View) -> Picture:
    """Error and size by leaf; largest value, kurtosis and dead channels by layer."""
    import torch

    where = view.layout
    leaves = [leaf for leaf in view.leaves if leaf.kind != "rope"]
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}

    def keep(path: str) -> Callable[..., None]:
        def hook(module: Any, args: tuple[Any, ...], output: Any) -> None:
            if path not in outputs and args and isinstance(output, torch.Tensor):
                inputs[path], outputs[path] = args[0], output

        return hook

    paths = [leaf.path for leaf in leaves]
    with torch.no_grad():
        ids = streams.tensor(view.base, view.short)
        with streams.watched(view.base, behind={path: keep(path) for path in paths}):
            streams.logits(view.base, ids)
        base = {path: shape(output, output) for path, output in outputs.items()}
        free = run(view.candidate, view.short, outputs)
        forced = run(view.candidate, view.short, outputs, inputs)
    known = [leaf for leaf in leaves if leaf.path in base and leaf.path in free]
    if not known:
        raise LeftOut("no leaf gives one tensor in both models")
    sites = tuple(leaf.site for leaf in known)
    framed = tuple(at for at, site in enumerate(sites) if framing.within(site, view.culprit))

    def by_leaf(title: str, unit: str, value: Callable[[Shape, Shape], float]) -> Lines:
        return Lines(
            x=sites,
            series=tuple(
                Series(name, row(value(side[leaf.path], base[leaf.path]) for leaf in known))
                for name, side in (("run freely", free), ("given the base's inputs", forced))
            ),
            x_name="leaf",
            unit=unit,
            title=title,
            log=True,
            framed=framed,
        )

    def by_layer(title: str, unit: str, value: Callable[[Shape], float], *, log: bool) -> Lines:
        layers = [
            [leaf.path for leaf in known if leaf.layer == number]
            for number in range(len(where.layers))
        ]
        return Lines(
            x=streams.names(where)[1:],
            series=tuple(
                Series(
                    name,
                    row(
                        max((value(side[path]) for path in paths), default=math.nan)
                        for paths in layers
                    ),
                )
                for name, side in (
                    ("base", base),
                    ("run freely", free),
                    ("given the base's inputs", forced),
                )
            ),
            x_name="layer",
            unit=unit,
            title=title,
            log=log,
            framed=framing.layers(view.culprit),
        )

    return Picture(
        name="activations",
        title="Activations",
        sentence=sentence(
            sites,
            [free[leaf.path] for leaf in known],
            [forced[leaf.path] for leaf in known],
            [base[leaf.path] for leaf in known],
        ),
        panels=(
            by_leaf("Distance from the base's", "relative error", lambda one, _: one.error),
            by_leaf(
                "Size",
                "root mean square, candidate / base",
                lambda one, of: quotient(one.rms, of.rms),
            ),
            by_layer("Largest value", "absolute value", lambda one: one.largest, log=True),
            by_layer("Kurtosis", "3 is a bell curve", lambda one: one.kurtosis, log=True),
            by_layer("Dead channels", "channels", lambda one: one.dead, log=False),
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


def quotient(one: float, other: float) -> float:
    """One over the other; nan over nothing."""
    return one / other if other else math.nan


def sentence(
    sites: Sequence[str], free: Sequence[Shape], forced: Sequence[Shape], base: Sequence[Shape]
) -> str:
    """What is to be seen in the leaves' outputs, all in one order."""
    broken = [site for site, one in zip(sites, forced, strict=True) if not math.isfinite(one.error)]
    if broken:
        return f"Given the base's inputs, {broken[0]} gives values that are no numbers."
    order = sorted(range(len(sites)), key=lambda at: (-forced[at].error, at))
    top = order[0]
    moved = [at for at in order if forced[at].error >= _MOVED]
    apart = [at for at in range(len(sites)) if not free[at].error < _MOVED]
    if not moved:
        return (
            f"Given the base's inputs, every leaf gives what the base's gives: the largest error "
            f"is {short(forced[top].error)}, of {sites[top]}"
            + (
                f"; run freely, {len(apart)} of {len(sites)} differ, so what differs lies "
                f"between them."
                if apart
                else "."
            )
        )
    size = quotient(forced[top].rms, base[top].rms)
    said = f"{sites[top]} is off by {short(forced[top].error)} (size × {short(size)})"
    dead = forced[top].dead - base[top].dead
    if dead:
        said += f", {abs(dead)} channels {'more' if dead > 0 else 'fewer'} are dead"
    peak = quotient(forced[top].largest, base[top].largest)
    if peak > 3:
        said += f", its largest value is {short(peak)} times the base's"
    if len(moved) == 1:
        return (
            f"Run freely, {len(apart)} of {len(sites)} leaves differ; given the base's inputs "
            f"only {said}."
        )
    return (
        f"Given the base's inputs, {len(moved)} of {len(sites)} leaves differ; most of all {said}."
    )
