"""Where it enters: nats that each node adds by itself."""

from __future__ import annotations

import math

from pytest_modellab.observatory.pictures.numbers import percent, short
from pytest_modellab.observatory.pictures.table import place, table
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
        raise LeftOut("no node's share is known")
    return Picture(
        name="where_it_enters",
        title="Where it enters",
        sentence=sentence(nats),
        panels=(table(nats, middle=0.0, unit="nats a token", culprit=view.culprit),),
    )


def sentence(nats: dict[str, float]) -> str:
    """What is to be seen in the nats of the nodes, by site."""
    total = sum(abs(value) for value in nats.values())
    if total < _NOTHING:
        return f"Nothing enters anywhere: all nodes together add less than {short(_NOTHING)} nats."
    ranked = sorted(nats, key=lambda site: (-abs(nats[site]), site))
    first = ranked[0]
    share = abs(nats[first]) / total
    if share < _MUCH:
        columns: dict[str, float] = {}
        for site, value in nats.items():
            column = place(site)[1]
            columns[column] = columns.get(column, 0.0) + abs(value)
        column = max(columns, key=lambda one: columns[one])
        if columns[column] >= _ONE_PLACE * total and column in first:
            return (
                f"It enters in many layers, at the same place: {column} holds "
                f"{percent(columns[column] / total)} of what enters, the largest is {first} with "
                f"{percent(share)} ({short(nats[first])} nats)."
            )
        held, count = 0.0, 0
        while held < total / 2:
            held += abs(nats[ranked[count]])
            count += 1
        return (
            f"It enters all over: {count} of {len(nats)} places hold half of what enters, and the "
            f"largest, {first}, {percent(share)} ({short(nats[first])} nats)."
        )
    second = (
        f"; next is {ranked[1]} with {percent(abs(nats[ranked[1]]) / total)}"
        if len(ranked) > 1 and abs(nats[ranked[1]]) / total >= 0.005
        else "; nowhere else does more than half a per cent"
    )
    return (
        f"{percent(share)} of what enters comes in at {first} ({short(nats[first])} nats){second}."
    )
