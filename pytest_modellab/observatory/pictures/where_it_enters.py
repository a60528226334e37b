"""Where it enters: nats that each node adds by itself."""

from __future__ import annotations

import math

from pytest_modellab.observatory.pictures.numbers import percent, short
from pytest_modellab.observatory.pictures.table import ITSELF, place, table
from pytest_modellab.observatory.pictures.view import LeftOut, View
from pytest_modellab.records.diagnosis import Picture

_NOTHING = 1e-4
"""Nats a token; what all nodes add together is called nothing below it."""


_MUCH = 0.25
"""The share from which on one node is spoken of."""


_ONE_PLACE = 0.8
"""The share from which on one kind of place is spoken of."""


def picture(view: View) -> Picture:
    """Layers × nodes, nats that enter at each to first order."""
    nats: dict[str, float] = {}
    for node in view.nodes:
        if math.isfinite(node.nats):
            nats[node.site] = nats.get(node.site, 0.0) + node.nats
    if not nats:
        raise LeftOut("what enters was not shared out")
    words = view.measure == "nats"
    unit = "nats a token" if words else "cosine distance"
    return Picture(
        name="where_it_enters",
        title="Where it enters",
        sentence=sentence(nats, "nats" if words else "of cosine distance"),
        panels=(table(nats, middle=0.0, unit=unit, culprit=view.culprit),),
    )


def sentence(nats: dict[str, float], unit: str = "nats") -> str:
    """What is to be seen in the nats of the nodes, by site."""
    total = sum(abs(value) for value in nats.values())
    if total < _NOTHING:
        return (
            f"Nothing enters anywhere: all nodes together add less than {short(_NOTHING)} {unit}."
        )
    ranked = sorted(nats, key=lambda site: (-abs(nats[site]), site))
    first = ranked[0]
    share = abs(nats[first]) / total
    if share < _ONE_PLACE:
        for kind, said in (
            (0, "{} of what enters comes in at {} places of {}"),
            (1, "{} of what enters comes in at {} places of one kind, {}"),
        ):
            name, held, count = _largest(nats, kind)
            if held >= _ONE_PLACE * total and count > 1 and name != ITSELF:
                return (
                    f"{said.format(percent(held / total), count, name)}; the largest is {first} "
                    f"with {percent(share)} ({short(nats[first])} {unit})."
                )
    if share < _MUCH:
        held, count = 0.0, 0
        while held < total / 2:
            held += abs(nats[ranked[count]])
            count += 1
        return (
            f"It enters all over: {count} of {len(nats)} places hold half of what enters, and the "
            f"largest, {first}, {percent(share)} ({short(nats[first])} {unit})."
        )
    second = (
        f"; next is {ranked[1]} with {percent(abs(nats[ranked[1]]) / total)}"
        if len(ranked) > 1 and abs(nats[ranked[1]]) / total >= 0.005
        else "; nowhere else does more than half a per cent"
    )
    held_here = f"{short(nats[first])} {unit}"
    return f"{percent(share)} of what enters comes in at {first} ({held_here}){second}."


def _largest(nats: dict[str, float], kind: int) -> tuple[str, float, int]:
    """The row, or the column, of the table that holds most: its name, nats and places."""
    held: dict[str, float] = {}
    count: dict[str, int] = {}
    for site, value in nats.items():
        name = place(site)[kind]
        held[name] = held.get(name, 0.0) + abs(value)
        count[name] = count.get(name, 0) + bool(value)
    name = max(held, key=lambda one: held[one])
    return name, held[name], count[name]
