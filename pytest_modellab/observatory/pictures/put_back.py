"""Put back: what the base's parts restore inside the candidate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from pytest_modellab.observatory.pictures import framing, streams
from pytest_modellab.observatory.pictures.numbers import percent, plain, short
from pytest_modellab.observatory.pictures.view import LeftOut, View
from pytest_modellab.records.diagnosis import Lines, Picture, Series

SMALL = 1e-3
"""Nats a token; less damage than that cannot be restored measurably."""


_HALF, _ALL = 0.5, 0.9


def picture(view: View) -> Picture:
    """Restored by group, and by the base's residual stream behind a layer, where measured."""
    groups = tuple((one.site, one.restored) for one in view.findings if one.restored is not None)
    damage = float(view.divergence.mean())
    if not math.isfinite(damage):
        raise LeftOut("the candidate's logits are no numbers, so nothing can be restored")
    if damage < SMALL:
        raise LeftOut(
            f"the damage on these tokens, {short(damage)} nats, is below {short(SMALL)}: "
            f"there is nothing to restore"
        )
    guilty = framing.layers(view.culprit)
    measured = bisected(
        len(view.layout.layers),
        guilty[-1] if guilty else None,
        lambda at: _restored(view, at),
        also=(guilty[0] - 1,) if len(guilty) > 1 else (),
    )
    names = streams.names(view.layout)
    panels = [
        Lines(
            x=tuple(names[at + 1] for at in measured),
            series=(Series("restored", tuple(plain(value) for value in measured.values())),),
            x_name="the base's residual stream behind",
            unit="share of the damage",
            title="Behind a layer",
            bars=True,
            framed=tuple(place for place, at in enumerate(measured) if at in guilty),
        )
    ]
    if groups:
        panels.insert(
            0,
            Lines(
                x=tuple(site for site, _ in groups),
                series=(Series("restored", tuple(plain(value) for _, value in groups)),),
                x_name="the base's part",
                unit="share of the damage",
                title="By part",
                bars=True,
                framed=tuple(
                    place for place, (site, _) in enumerate(groups) if site == view.culprit
                ),
            ),
        )
    return Picture(
        name="put_back",
        title="Put back",
        sentence=sentence(names, measured, guilty),
        panels=tuple(panels),
    )


def _restored(view: View, behind: int) -> float:
    import torch

    state = view.base_streams.states[behind + 1]
    ids = streams.tensor(view.candidate, view.short)
    with torch.no_grad(), streams.patched(view.candidate, view.layout, behind, state):
        given = streams.logits(view.candidate, ids)
    base = view.base_streams.logits
    left = float(streams.divergence(base, given.to(base)).mean())
    return 1 - left / float(view.divergence.mean())


def bisected(
    count: int,
    guess: int | None,
    measure: Callable[[int], float],
    also: tuple[int, ...] = (),
) -> dict[int, float]:
    """Measure where a curve crosses a half, at as few places as possible.

    Args:
        count: places: -1, in front of all of them, to ``count - 1``.
        guess: where the step is expected, or None.
        measure: the curve; assumed to rise.
        also: places that are measured in any case.

    Returns:
        Place → value, in order.
    """
    measured = {at: measure(at) for at in sorted({-1, count - 1, *also})}
    low, high = -1, count - 1
    if measured[low] >= _HALF or not measured[high] >= _HALF:
        return measured
    tries = [] if guess is None else [guess, guess - 1]
    while high - low > 1:
        middle = tries.pop(0) if tries else (low + high) // 2
        if not low < middle < high:
            continue
        measured[middle] = measure(middle)
        if measured[middle] >= _HALF:
            high = middle
        else:
            low = middle
    return dict(sorted(measured.items()))


def sentence(
    names: tuple[str, ...], measured: Mapping[int, float], guilty: tuple[int, ...] = ()
) -> str:
    """What is to be seen in what the base's residual stream restores.

    Args:
        names: of the places, the embedding first.
        measured: as :func:`bisected` gives it.
        guilty: layers that are named together.
    """
    places = list(measured)
    first, last = places[0], places[-1]
    if measured[first] >= _HALF:
        said = f"With the base's {names[0]} {percent(measured[first])} is restored: "
        if measured[first] >= _ALL:
            return f"{said}the damage enters there."
        return f"{said}so much enters there, the rest behind it."
    if not measured[last] >= _HALF:
        much = "most of the" if measured[last] > 1 - _ALL else "the"
        return (
            f"Even the base's stream behind {names[last + 1]} restores only "
            f"{percent(measured[last])}: {much} damage enters behind the layers."
        )
    if len(guilty) > 1 and {guilty[0] - 1, guilty[-1]} <= set(places):
        before, behind = measured[guilty[0] - 1], measured[guilty[-1]]
        return (
            f"The base's stream in front of {names[guilty[0] + 1]} restores {percent(before)} and "
            f"behind {names[guilty[-1] + 1]} {percent(behind)}: "
            f"{'the' if behind - before >= _ALL else 'part of the'} damage enters in these "
            f"{len(guilty)} layers together."
        )
    high = next(at for at in places if measured[at] >= _HALF)
    low = places[places.index(high) - 1]
    step = measured[high] - measured[low]
    said = (
        f"The base's stream behind {names[low + 1]} restores {percent(measured[low])} and behind "
        f"{names[high + 1]} {percent(measured[high])}"
    )
    if step >= _HALF:
        much = "the" if step >= _ALL else "most of the"
        return f"{said}: {much} damage enters in {names[high + 1]}."
    return f"{said}: it comes back bit by bit, no single layer holds it."
