"""What went wrong in a training run, by its log alone."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Sequence

from pytest_modellab.observatory.curve import Row
from pytest_modellab.observatory.pictures.gradients import slope
from pytest_modellab.observatory.pictures.numbers import short

WIDTH = 50
"""Rows of a running median, and within which a spike is over or is none."""


_FEWEST = 10  # rows in front of a spike
_SIGMA = 1.4826  # of a bell curve, in median absolute deviations
_FAR = 6.0
_LEAST = 0.1  # nats
_BEFORE = 5  # rows in which a cause is looked for
_SAME_PLACE = 0.01  # of an epoch
_THEIL_SEN = 1000  # points, at most: it compares each with each
_RISES = 3  # evaluations


@dataclasses.dataclass(frozen=True)
class Event:
    """Something in a run.

    Attributes:
        kind: ``no number``, ``diverged``, ``spike``, ``overfit``, ``plateau``, ``vanishing`` or
            ``exploding``.
        step: at which it begins.
        detail: what was seen, in one sentence.
        likely: the likely cause, and what to do.
    """

    kind: str
    step: int
    detail: str
    likely: str


@dataclasses.dataclass(frozen=True)
class Training:
    """What is known of a run.

    Attributes:
        steps: the last one.
        first: median of the first losses.
        last: median of the last ones.
        events: the worst first, else by step.
    """

    steps: int
    first: float
    last: float
    events: tuple[Event, ...]


_ORDER = ("no number", "diverged", "exploding", "vanishing", "overfit", "spike", "plateau")


def examine(rows: Sequence[Row]) -> Training:
    """Say what went wrong.

    Args:
        rows: by step, some of them with a loss.
    """
    losses = [row for row in rows if row.loss is not None]
    finite = [row.loss for row in losses if row.loss is not None and math.isfinite(row.loss)]
    events = [
        *no_numbers(rows),
        *spikes(losses),
        *overfits(rows),
        *plateaus(losses),
        *depths(rows),
    ]
    part = max(1, min(WIDTH, len(finite) // 10))
    return Training(
        steps=rows[-1].step,
        first=statistics.median(finite[:part]) if finite else math.nan,
        last=statistics.median(finite[-part:]) if finite else math.nan,
        events=tuple(sorted(events, key=lambda one: (_ORDER.index(one.kind), one.step))),
    )


def no_numbers(rows: Sequence[Row]) -> list[Event]:
    """Find the first loss or gradient that is no number."""
    for row in rows:
        for name, value in (("loss", row.loss), ("norm of the gradient", row.grad_norm)):
            if value is not None and not math.isfinite(value):
                return [
                    Event(
                        "no number",
                        row.step,
                        f"the {name} is {value:g} at step {row.step}",
                        "a value left the number format, or a batch has no labels: train in "
                        "bfloat16, clip gradients, lower the learning rate, look at that batch",
                    )
                ]
    return []


def spikes(rows: Sequence[Row]) -> list[Event]:
    """Find losses far above the running median, and say whether the run came back.

    Args:
        rows: those with a loss.
    """
    known = [row for row in rows if row.loss is not None and math.isfinite(row.loss)]
    values = [float(row.loss or 0.0) for row in known]
    limits = [_limit(values[max(0, at - WIDTH) : at]) for at in range(len(values))]
    starts: list[int] = []
    at = 0
    while at < len(values):
        limit = limits[at]
        if limit is None or values[at] <= limit:
            at += 1
            continue
        starts.append(at)
        at += 1
        while at < len(values) and values[at] > limit:
            at += 1
    return [_spike(known, values, start, starts, limits[start] or 0.0) for start in starts]


def _limit(before: Sequence[float]) -> float | None:
    if len(before) < _FEWEST:
        return None
    middle = statistics.median(before)
    deviation = statistics.median(abs(value - middle) for value in before)
    return middle + max(_FAR * _SIGMA * deviation, _LEAST)


def _spike(
    rows: Sequence[Row], values: Sequence[float], start: int, starts: Sequence[int], limit: float
) -> Event:
    row = rows[start]
    behind = values[start + 1 : start + 1 + WIDTH]
    above = max(values[start : start + 1 + WIDTH])
    said = f"the loss jumps from below {short(limit)} to {short(above)} at step {row.step}"
    if len(behind) < _FEWEST:
        kind, said = "spike", f"{said}, and the log ends before it could come back"
    elif min(_medians(behind)) <= limit:
        kind, said = "spike", f"{said}, and comes back"
    else:
        kind = "diverged"
        said = f"{said}, and is not back within {len(behind)} rows"
    return Event(kind, row.step, said, _cause(rows, start, starts))


def _medians(values: Sequence[float]) -> list[float]:
    return [statistics.median(values[at : at + _FEWEST]) for at in range(len(values) - _FEWEST + 1)]


def _cause(rows: Sequence[Row], start: int, starts: Sequence[int]) -> str:
    """Look at what precedes a spike: its place in an epoch, the learning rate, the gradient."""
    near = range(max(0, start - _BEFORE), start + 1)
    epoch = rows[start].epoch
    again = [
        other
        for other in starts
        if other != start
        and epoch is not None
        and (theirs := rows[other].epoch) is not None
        and abs(theirs - epoch) >= 0.5
        and abs((theirs - epoch + 0.5) % 1 - 0.5) <= _SAME_PLACE
    ]
    if again:
        return (
            f"it comes again at the same place of another epoch (step {rows[again[0]].step}): "
            f"look at the samples there, and shuffle each epoch"
        )
    peak = _peak(rows)
    if peak is not None and peak in near:
        return "the learning rate is at its peak there: lower it, or warm it up for longer"
    norms = [
        float(row.grad_norm) if row.grad_norm is not None else math.nan
        for row in rows[max(0, start - WIDTH) : start + 1]
    ]
    if _jumps(norms):
        return (
            "the gradient jumps with it: a bad batch or too high a learning rate; look at the "
            "batch, clip gradients"
        )
    return (
        "neither the learning rate nor the gradient explains it: the optimizer's state is likely; "
        "lower beta2, or go on from a checkpoint before it with other batches"
    )


def _peak(rows: Sequence[Row]) -> int | None:
    """Return where the learning rate first is at its largest; None where it never rises to it."""
    rates = [row.rate for row in rows]
    known = [rate for rate in rates if rate is not None and math.isfinite(rate)]
    if not known or max(known) <= known[0]:
        return None
    return rates.index(max(known))


def _jumps(norms: Sequence[float]) -> bool:
    """Whether one of the last norms is far above those in front of it."""
    before = [norm for norm in norms[: -_BEFORE - 1] if math.isfinite(norm)]
    if len(before) < _FEWEST:
        return False
    middle = statistics.median(before)
    deviation = _SIGMA * statistics.median(abs(norm - middle) for norm in before)
    least = max(deviation, 1e-3 * abs(middle))
    return any(norm > middle + _FAR * least for norm in norms[-_BEFORE - 1 :])


def overfits(rows: Sequence[Row]) -> list[Event]:
    """Find evaluations that get worse, three in a row, while training gets better."""
    evaluated = [
        (row.step, row.evaluated)
        for row in rows
        if row.evaluated is not None and math.isfinite(row.evaluated)
    ]
    for at in range(len(evaluated) - _RISES):
        some = evaluated[at : at + _RISES + 1]
        if any(later[1] <= one[1] for one, later in itertools.pairwise(some)):
            continue
        trained = [
            row.loss
            for row in rows
            if row.loss is not None
            and math.isfinite(row.loss)
            and some[0][0] <= row.step <= some[-1][0]
        ]
        part = max(1, len(trained) // 4)
        if len(trained) < 2 or not (
            statistics.median(trained[-part:]) < statistics.median(trained[:part])
        ):
            continue
        best = min(evaluated, key=lambda one: (one[1], one[0]))
        return [
            Event(
                "overfit",
                some[0][0],
                f"the evaluation's loss rises {_RISES} times from step {some[0][0]} "
                f"({short(some[0][1])} to {short(some[-1][1])}) while the training's falls",
                f"take the checkpoint of step {best[0]} ({short(best[1])}); fewer epochs, more "
                f"data or a lower rank",
            )
        ]
    return []


def plateaus(rows: Sequence[Row]) -> list[Event]:
    """Find out whether the last third still falls: Theil and Sen's slope, 95 %."""
    import numpy as np
    from scipy.stats import theilslopes

    known = [row for row in rows if row.loss is not None and math.isfinite(row.loss)]
    last = known[-(len(known) // 3) :] if len(known) >= 3 * _FEWEST else []
    every = -(-len(last) // _THEIL_SEN) if last else 1
    last = last[::every]
    if len(last) < _FEWEST or last[0].step == last[-1].step:
        return []
    with np.errstate(all="ignore"):  # losses of any size
        found = theilslopes([row.loss for row in last], [row.step for row in last], alpha=0.95)
    if found.high_slope < 0:
        return []
    return [
        Event(
            "plateau",
            last[0].step,
            f"from step {last[0].step} on the loss does not fall: {short(1000 * found.slope)} in "
            f"1,000 steps, at most {short(-1000 * found.low_slope)} less",
            "more steps like these bring nothing: stop, lower the learning rate, or take more or "
            "other data",
        )
    ]


def depths(rows: Sequence[Row]) -> list[Event]:
    """Find gradients that vanish or explode over the layers, where their norms are logged."""
    logged = [row.layers for row in rows if len(row.layers) > 1]
    layers = sorted({layer for each in logged for layer in each})
    norms = [statistics.median(each[layer] for each in logged if layer in each) for layer in layers]
    trend = slope(norms)
    if not math.isfinite(trend) or abs(trend) <= math.log(10) / len(layers):
        return []
    kind = "vanishing" if trend > 0 else "exploding"
    return [
        Event(
            kind,
            next(row.step for row in rows if len(row.layers) > 1),
            f"gradients are {kind} towards the first layers: {short(norms[0])} in layer "
            f"{layers[0]}, {short(norms[-1])} in layer {layers[-1]}",
            "look at the initialization, at norms and residual connections, and at the scale of "
            "the loss",
        )
    ]
