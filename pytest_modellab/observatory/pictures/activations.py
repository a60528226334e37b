"""Activations: size and shape of what each leaf gives, run freely and with the base's inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pytest_modellab.observatory.pictures import framing, streams
from pytest_modellab.observatory.pictures.numbers import row, short
from pytest_modellab.observatory.pictures.shapes import Shape, Shapes, shapes
from pytest_modellab.observatory.pictures.view import View
from pytest_modellab.records.diagnosis import Lines, Picture, Series

_MOVED = 0.01
"""Relative error of a leaf given right inputs, from which on it is spoken of."""


_FREE, _FORCED = "run freely", "given the base's inputs"


def picture(view: View) -> Picture:
    """Error and size by leaf; largest value, kurtosis and dead channels by layer."""
    seen = shapes(view)

    def by_leaf(title: str, unit: str, value: Callable[[Shape, Shape], float]) -> Lines:
        return _by_leaf(view, seen, title, unit, value)

    def by_layer(title: str, unit: str, value: Callable[[Shape], float], *, log: bool) -> Lines:
        return _by_layer(view, seen, title, unit, value, log=log)

    return Picture(
        name="activations",
        title="Activations",
        sentence=sentence([leaf.site for leaf in seen.leaves], seen.free, seen.forced, seen.base),
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


def _by_leaf(
    view: View, seen: Shapes, title: str, unit: str, value: Callable[[Shape, Shape], float]
) -> Lines:
    sites = tuple(leaf.site for leaf in seen.leaves)
    return Lines(
        x=sites,
        series=tuple(
            Series(name, row(value(one, of) for one, of in zip(side, seen.base, strict=True)))
            for name, side in ((_FREE, seen.free), (_FORCED, seen.forced))
        ),
        x_name="leaf",
        unit=unit,
        title=title,
        log=True,
        framed=tuple(at for at, site in enumerate(sites) if framing.within(site, view.culprit)),
    )


def _by_layer(
    view: View,
    seen: Shapes,
    title: str,
    unit: str,
    value: Callable[[Shape], float],
    *,
    log: bool,
) -> Lines:
    """The largest of a layer's leaves."""
    names = streams.names(view.layout)[1:]
    return Lines(
        x=names,
        series=tuple(
            Series(
                name,
                row(
                    max(
                        (
                            value(one)
                            for leaf, one in zip(seen.leaves, side, strict=True)
                            if leaf.layer == number
                        ),
                        default=math.nan,
                    )
                    for number in range(len(names))
                ),
            )
            for name, side in (("base", seen.base), (_FREE, seen.free), (_FORCED, seen.forced))
        ),
        x_name="layer",
        unit=unit,
        title=title,
        log=log,
        framed=framing.layers(view.culprit),
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
