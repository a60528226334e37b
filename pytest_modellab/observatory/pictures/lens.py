"""Through the layers: where the prediction of the next token parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pytest_modellab.observatory.pictures import framing, streams
from pytest_modellab.observatory.pictures.numbers import finite, row, short
from pytest_modellab.observatory.pictures.view import LeftOut, View
from pytest_modellab.records.diagnosis import Heat, Picture

POSITIONS = 24
"""Positions that are looked at: the head is half of what this costs."""


_FLOOR = 1e-6
"""Nats; rounding of float32 is about as large."""


_LIT = 1e-4
"""Nats; below it a row is dark."""


_NOTHING = 1e-3
"""Nats; less in all rows is about what another precision costs."""


_STEP = 10
"""A row this many times larger than all before it is where the difference begins."""


def picture(view: View) -> Picture:
    """KL by layer and position, both models read with the base's last norm and head."""
    import torch

    where = view.layout
    if not where.norm or not where.head:
        raise LeftOut("the base's last norm or head was not found")
    norm, head = (view.base.get_submodule(path) for path in (where.norm, where.head))
    sample, start = worst(view.divergence)
    rows: list[Any] = []
    with torch.no_grad():
        for ours, theirs in zip(
            view.base_streams.states, view.candidate_streams.states, strict=True
        ):
            there = theirs[sample, start : start + POSITIONS].to(ours)
            here = ours[sample, start : start + POSITIONS]
            if torch.equal(here, there):
                rows.append(torch.zeros(len(here)))
            else:
                rows.append(streams.divergence(head(norm(here)), head(norm(there))).cpu())
    rows.append(view.divergence[sample, start : start + POSITIONS].cpu())
    names = (*streams.names(where), "output")
    guilty = {f"layer {number}" for number in framing.layers(view.culprit)}
    if view.culprit == "embedding":
        guilty = {"embedding"}
    tokens = view.short[sample][start : start + POSITIONS]
    return Picture(
        name="lens",
        title="Through the layers",
        sentence=sentence(names, [float(values.mean()) for values in rows]),
        panels=(
            Heat(
                rows=names,
                columns=tuple(view.token(token) for token in tokens),
                values=tuple(row(_decades(value) for value in values.tolist()) for values in rows),
                middle=None,
                unit=f"KL in nats, as a power of ten ({math.log10(_FLOOR):.0f}: equal)",
                framed=tuple(
                    (down, across)
                    for down, name in enumerate(names)
                    if name in guilty
                    for across in range(len(tokens))
                ),
            ),
        ),
    )


def worst(divergence: Any) -> tuple[int, int]:
    """The row of most damage, and where its worst stretch of :data:`POSITIONS` begins."""
    import torch

    known = torch.nan_to_num(divergence, nan=0.0, posinf=0.0, neginf=0.0)
    sample = int(known.sum(dim=-1).argmax())
    sums = known[sample].unfold(0, min(POSITIONS, known.shape[1]), 1).sum(dim=-1)
    return sample, int(sums.argmax())


def _decades(nats: float) -> float:
    return math.log10(max(nats, _FLOOR)) if math.isfinite(nats) else math.nan


def sentence(names: Sequence[str], means: Sequence[float]) -> str:
    """What is to be seen in the mean KL of each row."""
    broken = [name for name, mean in zip(names, means, strict=True) if not math.isfinite(mean)]
    if broken:
        return f"From {broken[0]} on the candidate's state is no number."
    if max(means) < _NOTHING:
        return f"No row lights up: KL is {short(max(means))} at most, which is called no damage."
    ends = f"{short(means[-1])} at the output"
    grown = [mean / max(*means[:at], _FLOOR) if at else 0.0 for at, mean in enumerate(means)]
    first = next((at for at, mean in enumerate(means) if mean >= _LIT), len(means))
    jumps = [at for at in range(1, len(means)) if grown[at] >= _STEP and means[at] >= _LIT]
    if means[0] >= max(means) / _STEP:
        return f"KL is {short(means[0])} at {names[0]}, the first row, already; {ends}."
    if first == 0 or not jumps:
        return (
            f"KL is {short(means[first])} at {names[first]} already and {ends}: "
            f"no row lights up by itself."
        )
    at = max(jumps, key=lambda one: (means[one] / max(*means[:one], _NOTHING), -one))
    before = max(finite(means[:at]))
    dark = f"below {short(_LIT)}" if before < _LIT else f"at most {short(before)}"
    if at == len(means) - 1:
        return f"KL is {dark} up to {names[at - 1]} and {ends}: it enters behind the layers."
    on = means[at:]
    rises = (
        f"{short(means[at])} from {names[at]} on"
        if max(on) <= 3 * means[at]
        else f"{short(means[at])} at {names[at]}, from where it grows"
    )
    return f"KL is {dark} up to {names[at - 1]} and {rises}; {ends}{_step(names, means, at)}."


def _step(names: Sequence[str], means: Sequence[float], lit: int) -> str:
    """The largest step, where the first rows differ already and may be a background."""
    at = max(range(1, len(means)), key=lambda one: means[one] - means[one - 1])
    height = means[at] - means[at - 1]
    if lit > 1 or at <= lit or height < 0.3 * max(means) or means[at] < 3 * means[at - 1]:
        return ""
    return (
        f"; the largest step, from {short(means[at - 1])} to {short(means[at])}, is at {names[at]}"
    )
