"""One comparison: p-values for BLOCK and PASS, and bounds from inverting them.

All functions work on many rows (buckets) at once; `margin` and levels are one
number a row. With d the differences (candidate minus baseline), u the cluster
weights and m the margin:

* BLOCK tests "the mean drop is at most m" with one pseudo-sample of size M,
  ``p = 1/2 T([u(d+m), M+m]) + 1/2 T([u(d+m), m-M])``: for binary scores without
  clusters at m = 0 the mid-p McNemar test (Fagerland, Lydersen & Laake 2013).
* PASS tests "the mean drop is at least m" guarded by the worst value possible,
  ``p = 1 - T([u(d+m), m-1])`` (the bound of Gaffke, in the form of Clopper and
  Pearson 1934 for binary scores).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import bdtr, ndtri

from pytest_modellab.gate._rows import Rows
from pytest_modellab.gate._saddlepoint import Bools, Floats, Ints

LEAST_PSEUDO = 0.25
"""The pseudo-sample's least size."""


_GRID = np.linspace(0.0, 1.0, 7)


_GOLDEN = (3.0 - 5.0**0.5) / 2.0


_NEAR = 2e-6  # of the range: how close to its minimum the search for a pseudo-size comes


_CAUTION = 0.9  # more than two tail probabilities err, 3 % each


def mid_p(losses: Ints, gains: Ints) -> Floats:
    """Mid-p McNemar: the chance of at least as many losses, ties at half.

    ``P(Bin(b + c, 1/2) < c) + 1/2 P(Bin(b + c, 1/2) = c)`` for b losses and c
    gains; 0.5 without any. Fagerland, Lydersen & Laake (2013), BMC Medical
    Research Methodology 13:91.
    """
    total = losses + gains
    at_most = bdtr(gains, total, 0.5)
    below = np.where(gains > 0, bdtr(np.maximum(gains - 1, 0), total, 0.5), 0.0)
    return np.asarray(0.5 * (at_most + below))


def pseudo_size(rows: Rows) -> Floats:
    """``max(0.25, max|d|)`` of each row."""
    return np.maximum(LEAST_PSEUDO, np.maximum(-rows.low, rows.high))


def block_p(
    rows: Rows, margin: Floats, between: tuple[float, float] = (0.0, 1.0)
) -> tuple[Floats, Floats]:
    """p-values for "the mean drop is at most the margin".

    M as large as the largest difference makes one catastrophic sample raise p
    more than it lowers it, so that a worse candidate could look better. Hence
    losses are clipped at M, and p is the smallest over the M from
    ``max(0.25, largest gain)`` to ``max(0.25, largest |d|)``: every one of them
    falls as a score falls, and a falling score only adds to them. Binary rows
    have their minimum at M = 1, the formula without clipping; rows whose drop
    seen does not exceed the margin keep M = max(0.25, max|d|).

    Args:
        rows: The differences.
        margin: Allowed drop of each row.
        between: Where p-values must be exact. A caller that compares them with a
            level is content to know of the others on which side they lie, and
            most need no search for that: M = max(0.25, max|d|) gives an upper
            bound, unclipped losses with the least M up and the most M down a
            lower one, since T rises with each of its values.

    Returns:
        The p-values (1 for rows of one sample or cluster), and the M they were found at.
    """
    size = pseudo_size(rows)
    p = np.ones(rows.starts.size)
    known = rows.clusters > 1
    exact = known & rows.binary & (margin == 0.0)
    p[exact] = mid_p(rows.losses[exact], rows.gains[exact])
    rest = known & ~exact
    if rest.any():
        p[rest] = block_p_at(rows.take(rest), margin[rest], size[rest])
    least = np.maximum(LEAST_PSEUDO, rows.high)
    search = rest & ~rows.binary & (least < size) & (rows.mean + margin < 0.0)
    low, high = between
    search &= p > low
    if high < 1.0 and search.any():
        part, m = rows.take(search), margin[search]
        bound = 0.5 * part.tail(m, np.stack([m + least[search], m - size[search]])).sum(axis=0)
        search[search] = _CAUTION * bound <= high
    if search.any():
        p[search], size[search] = _least_p(
            rows.take(search), margin[search], least[search], size[search], p[search]
        )
    return p, size


def block_p_at(rows: Rows, margin: Floats, size: Floats) -> Floats:
    """p-values of the BLOCK side with losses clipped at a given pseudo-sample size."""
    upper, lower = rows.tail(margin, np.stack([margin + size, margin - size]), clip=size)
    return np.asarray(0.5 * (upper + lower))


def _least_p(
    rows: Rows, margin: Floats, least: Floats, most: Floats, p_most: Floats
) -> tuple[Floats, Floats]:
    """Minimise `block_p_at` over the size: a grid, then parabolas around its best point.

    A parabola's vertex that leaves the bracket, and every third step, give way to
    the golden section of its longer side (in the manner of Brent 1973, Algorithms
    for Minimization without Derivatives, chapter 5). Where the best point is an
    end, as it often is, one step beside it settles it.
    """
    sizes = least + _GRID[:, None] * (most - least)
    sizes[-1] = most
    p = np.stack([*(block_p_at(rows, margin, size) for size in sizes[:-1]), p_most])
    points, p = _around_least(sizes, p)
    near = _NEAR * (most - least)
    rest = np.ones(most.size, dtype=np.bool_)
    for step in range(60):
        fresh = _next_size(points[:, rest], p[:, rest], near[rest], step % 3 < 2)
        p_fresh = block_p_at(rows.take(rest), margin[rest], fresh)
        four, p_four = np.vstack([points[:, rest], fresh]), np.vstack([p[:, rest], p_fresh])
        order = four.argsort(axis=0, kind="stable")
        points[:, rest], p[:, rest] = _around_least(
            np.take_along_axis(four, order, axis=0), np.take_along_axis(p_four, order, axis=0)
        )
        rest = np.diff(points, axis=0).max(axis=0) > 1.01 * near
        if not rest.any():
            break
    return p[1], points[1]


def _around_least(sizes: Floats, p: Floats) -> tuple[Floats, Floats]:
    """Before, at and after the least p of each column: sizes and p; an end comes twice."""
    best = p.argmin(axis=0)
    around = np.clip(best + np.array([[-1], [0], [1]]), 0, len(sizes) - 1)
    return np.take_along_axis(sizes, around, axis=0), np.take_along_axis(p, around, axis=0)


def _next_size(points: Floats, p: Floats, near: Floats, parabolic: bool) -> Floats:
    """Where to look next between three sizes of which the middle one is best so far."""
    (low, at, high), (p_low, p_at, p_high) = points, p
    longer = np.where(high - at > at - low, high, low) - at
    size = at + _GOLDEN * longer
    if parabolic:
        rise, fall = (at - low) * (p_at - p_high), (at - high) * (p_at - p_low)
        with np.errstate(divide="ignore", invalid="ignore"):
            vertex = at - 0.5 * ((at - low) * rise - (at - high) * fall) / (rise - fall)
        size = np.where((vertex > low) & (vertex < high), vertex, size)
    beside = (np.abs(size - at) < near) | (low == at) | (at == high)
    return np.asarray(np.where(beside, at + np.copysign(near, longer), size))


def least_block_p(rows: Rows, between: tuple[float, float] = (0.0, 1.0)) -> Floats:
    """The smallest p-value at margin 0 had every difference been a loss; `between` as above."""
    losses = Rows(
        values=-np.abs(rows.values),
        weights=rows.weights,
        counts=rows.counts,
        starts=rows.starts,
        samples=rows.samples,
        clusters=rows.clusters,
        mean=rows.mean,
        losses=rows.losses + rows.gains,
        gains=np.zeros_like(rows.gains),
        binary=rows.binary,
        low=np.minimum(rows.low, -rows.high),
        high=np.zeros_like(rows.high),
    )
    return block_p(losses, np.zeros(rows.starts.size), between)[0]


def pass_p(rows: Rows, margin: Floats, worst: Floats | None = None) -> Floats:
    """p-values for "the mean drop is at least the margin".

    Args:
        rows: The differences.
        margin: Allowed drop of each row.
        worst: The least value that a difference can take, -1 unless given.

    Returns:
        ``P(sum < 0)`` for each row, 1 for rows of one sample or cluster.
    """
    lowest = np.full(margin.shape, -1.0) if worst is None else worst
    p = rows.tail(margin, margin + lowest, sign=-1.0)
    return np.where(rows.clusters > 1, p, 1.0)


def drop_low(rows: Rows, size: Floats, level: Floats) -> Floats:
    """Lower bounds on the drop: the margin at which p_block equals the level."""
    return invert(rows, level, 1.0, lambda part, m, keep: block_p_at(part, m, size[keep]))


def drop_high(rows: Rows, level: Floats, worst: Floats | None = None) -> Floats:
    """Upper bounds on the drop: the margin at which p_pass equals the level."""
    lowest = np.full(level.shape, -1.0) if worst is None else worst
    return invert(rows, level, -1.0, lambda part, m, keep: pass_p(part, m, lowest[keep]))


def invert(
    rows: Rows,
    level: Floats,
    direction: float,
    p_at: Callable[[Rows, Floats, Bools], Floats],
) -> Floats:
    """The m in [-1, 1] where p(m) = level: secant steps on the normal scale, bracketed.

    Secants creep where p jumps to 0 or 1: past the tenth step, every third one
    halves the bracket.
    Rows of one cluster get the end of the range that says nothing.
    """
    number = rows.starts.size
    out = np.full(number, -direction)
    todo = rows.clusters > 1
    target = ndtri(level)
    low, high = np.full(number, -1.0), np.full(number, 1.0)
    loss_squares, gain_squares = rows.mean_square()
    spread = np.sqrt((loss_squares + gain_squares) / rows.clusters**2)
    at = np.clip(-rows.mean + direction * target * np.maximum(spread, 0.01), -0.99, 0.99)
    before, error_before = at.copy(), np.full(number, np.nan)
    for steps in range(120):
        if not todo.any():
            break
        part = rows.take(todo)
        p = p_at(part, at[todo], todo)
        error = np.clip(direction * (ndtri(p) - target[todo]), -40.0, 40.0)
        here = at[todo]
        low[todo] = np.where(error < 0.0, here, low[todo])
        high[todo] = np.where(error >= 0.0, here, high[todo])
        out[todo] = here
        last, last_error = before[todo], error_before[todo]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = here - error * (here - last) / (error - last_error)
            first = here - direction * error * np.maximum(spread[todo], 0.01) * direction
        step = np.where(np.isnan(last_error), first, step)
        inside = (step > low[todo]) & (step < high[todo]) & (steps < 10 or steps % 3 > 0)
        step = np.where(inside, step, 0.5 * (low[todo] + high[todo]))
        before[todo], error_before[todo] = here, error
        at[todo] = step
        done = (np.abs(error) < 1e-8) | (high[todo] - low[todo] < 1e-10)
        todo[np.flatnonzero(todo)[done]] = False
    return out
