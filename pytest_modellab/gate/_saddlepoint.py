"""The Bayesian bootstrap's tail probability, without resampling.

Everything here is about ``T(x) = P(sum_i G_i x_i >= 0)`` with independent
``G_i ~ Exponential(1)`` (Rubin 1981, The Bayesian bootstrap). Equal values are
collapsed to one value with a count, and many rows are solved at once: a row is
a stretch of the flat arrays, found through `starts`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, ndtr

Floats = npt.NDArray[np.float64]


Ints = npt.NDArray[np.int64]


Bools = npt.NDArray[np.bool_]


INVERT_UP_TO = 64
"""Rows with at most this many distinct values are inverted exactly."""


_CHUNK = 1 << 15  # values solved together; a few such arrays fit a core's cache


_CLOSE = 1e-7  # a Newton decrement l becomes less than (l / (1 - l))^2, as K is self-concordant


_STEP = 0.15  # of the trapezoidal rule; its error is about exp(-2 pi 0.5 / _STEP)


_NODES = np.sinh(_STEP * np.arange(48))


_JACOBIAN = np.cosh(_STEP * np.arange(48)) * np.where(np.arange(48) == 0, 0.5, 1.0) * _STEP / np.pi


def tail(x: Floats, counts: Floats, starts: Ints, extra: Floats) -> Floats:
    """T(x) for every row, each with one extra value of count one.

    Closed forms are used where there are any (one positive or one negative
    term: a product; one distinct value on each side: the incomplete beta
    function). Otherwise the saddlepoint is found by safeguarded Newton; rows of
    few distinct values are then inverted exactly along the line through it, and
    long rows use the formula of Lugannani and Rice (1980).

    Args:
        x: The rows' values, one row after the other.
        counts: How often each value occurs, same shape, at least 1.
        starts: Where each row starts in `x`; rows are not empty.
        extra: One more value for each row (the pseudo-sample), or several such
            sets in two dimensions, each solved by itself.

    Returns:
        One probability for each row, in the shape of `extra`.
    """
    rows = starts.size
    out = np.empty(extra.shape)
    stops = np.append(starts[1:], x.size)
    first = 0
    while first < rows:
        last = int(np.searchsorted(stops, starts[first] + _CHUNK, side="right"))
        last = max(last, first + 1)
        begin, end = int(starts[first]), int(stops[last - 1])
        out[..., first:last] = _tail_chunk(
            x[begin:end], counts[begin:end], starts[first:last] - begin, extra[..., first:last]
        )
        first = last
    return out


def _tail_chunk(x: Floats, counts: Floats, starts: Ints, extra: Floats) -> Floats:
    up, down = x > 0.0, x < 0.0
    sides = _Sides(
        largest=np.maximum.reduceat(x, starts),
        smallest=np.minimum.reduceat(x, starts),
        least_above=np.minimum.reduceat(np.where(up, x, np.inf), starts),
        least_below=np.maximum.reduceat(np.where(down, x, -np.inf), starts),
        above=np.add.reduceat(np.where(up, counts, 0.0), starts),
        below=np.add.reduceat(np.where(down, counts, 0.0), starts),
    )
    if extra.ndim == 1:
        return _tail_with(x, counts, starts, sides, extra)
    return np.stack([_tail_with(x, counts, starts, sides, one) for one in extra])


class _Sides(NamedTuple):
    """What lies above and below zero in each row."""

    largest: Floats
    smallest: Floats
    least_above: Floats
    least_below: Floats
    above: Floats
    below: Floats


def _tail_with(x: Floats, counts: Floats, starts: Ints, sides: _Sides, extra: Floats) -> Floats:
    largest = np.maximum(sides.largest, extra)
    smallest = np.minimum(sides.smallest, extra)
    out = np.where(smallest >= 0.0, 1.0, 0.0)
    mixed = (smallest < 0.0) & (largest > 0.0)
    if not mixed.any():
        return out

    above = sides.above + (extra > 0.0)
    below = sides.below + (extra < 0.0)
    least_above = np.minimum(sides.least_above, np.where(extra > 0.0, extra, np.inf))
    least_below = np.maximum(sides.least_below, np.where(extra < 0.0, extra, -np.inf))
    two = mixed & (least_above == largest) & (least_below == smallest)
    if two.any():
        out[two] = betainc(below[two], above[two], largest[two] / (largest[two] - smallest[two]))
    lengths = np.diff(np.append(starts, x.size))
    for side, single, peak in (
        (1.0, mixed & ~two & (above == 1.0), largest),
        (-1.0, mixed & ~two & (above != 1.0) & (below == 1.0), smallest),
    ):
        if single.any():
            index = np.repeat(np.arange(starts.size), lengths)
            scale = np.where(single, -peak, 1.0)
            ratio = np.where(single[index] & (x * side < 0.0), x / scale[index], 0.0)
            logs = np.add.reduceat(counts * np.log1p(ratio), starts)
            logs = logs + np.log1p(np.where(single & (extra * side < 0.0), extra / scale, 0.0))
            product = np.exp(-logs[single])
            out[single] = product if side > 0.0 else 1.0 - product

    rest = mixed & ~two & (above != 1.0) & (below != 1.0)
    if rest.all():
        out = _solve(x, counts, starts, extra, smallest, largest)
    elif rest.any():
        keep = np.repeat(rest, lengths)
        kept = lengths[rest]
        out[rest] = _solve(
            x[keep],
            counts[keep],
            np.cumsum(kept) - kept,
            extra[rest],
            smallest[rest],
            largest[rest],
        )
    return out


def _solve(
    x: Floats, counts: Floats, starts: Ints, extra: Floats, smallest: Floats, largest: Floats
) -> Floats:
    """T(x) where at least two terms lie on each side of zero."""
    rows = starts.size
    lengths = np.diff(np.append(starts, x.size))
    index = np.repeat(np.arange(rows), lengths)
    y, squares = np.empty_like(x), np.empty_like(x)  # reused: fresh memory costs more than sums

    def derivatives(at: Floats) -> tuple[Floats, Floats, Floats]:
        """K' and K'', with x / (1 - s x) and its weighted squares left in `y` and `squares`."""
        np.take(at, index, out=y, mode="clip")
        np.multiply(y, x, out=y)
        np.subtract(1.0, y, out=y)
        np.divide(x, y, out=y)
        y0 = extra / (1.0 - at * extra)
        np.multiply(counts, y, out=squares)
        slope = np.add.reduceat(squares, starts) + y0
        np.multiply(squares, y, out=squares)
        return slope, np.add.reduceat(squares, starts) + y0 * y0, y0

    low, high = 1.0 / smallest, 1.0 / largest
    saddle = np.zeros(rows)
    open_ = np.ones(rows, dtype=np.bool_)  # a row must not feel which others it is solved with
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(100):
            slope, second, _ = derivatives(saddle)
            close = np.abs(slope) <= _CLOSE * np.sqrt(second)
            high = np.where(slope > 0.0, saddle, high)
            low = np.where(slope <= 0.0, saddle, low)
            moved = saddle - slope / second
            inside = close | ((moved > low) & (moved < high))
            moved = np.where(inside, moved, 0.5 * (low + high))
            saddle = np.where(open_, moved, saddle)
            open_ &= ~close
            if not open_.any():
                break

    out = np.empty(rows)
    exact = lengths <= INVERT_UP_TO
    if exact.any():
        keep = np.repeat(exact, lengths)
        kept = lengths[exact]
        out[exact] = _invert(
            x[keep], counts[keep], np.cumsum(kept) - kept, extra[exact], saddle[exact]
        )
    if not exact.all():
        _, second, y0 = derivatives(saddle)
        np.multiply(squares, y, out=y)
        third = 2.0 * (np.add.reduceat(y, starts) + y0 * y0 * y0)
        logs = np.take(-saddle, index, out=y, mode="clip")
        np.log1p(np.multiply(logs, x, out=logs), out=logs)
        np.multiply(logs, counts, out=logs)
        cumulant = -np.add.reduceat(logs, starts) - np.log1p(-saddle * extra)
        out[~exact] = _lugannani_rice(saddle, cumulant, second, third)[~exact]
    return out


def _lugannani_rice(saddle: Floats, cumulant: Floats, second: Floats, third: Floats) -> Floats:
    """1 - Phi(r) + phi(r) (1/v - 1/r), and its limit where r is near 0."""
    r = np.sign(saddle) * np.sqrt(np.maximum(-2.0 * cumulant, 0.0))
    v = saddle * np.sqrt(second)
    flat = np.abs(r) < 1e-3
    safe_r, safe_v = np.where(flat, 1.0, r), np.where(flat, 1.0, v)
    density = np.exp(-0.5 * r * r) / np.sqrt(2.0 * np.pi)
    correction = np.where(flat, -third / (6.0 * second**1.5), 1.0 / safe_v - 1.0 / safe_r)
    return np.asarray(np.clip(ndtr(-r) + density * correction, 0.0, 1.0))


def _invert(x: Floats, counts: Floats, starts: Ints, extra: Floats, saddle: Floats) -> Floats:
    """T(x) as the contour integral of exp(K(z)) / z through the saddlepoint.

    The trapezoidal rule in ``z = s + i t``, ``t = sinh(u) / sqrt(K''(s))``
    converges geometrically: the branch points lie a quarter turn away in `u`,
    and the line is kept half a standard deviation away from the pole at 0.
    """
    lengths = np.diff(np.append(starts, x.size))
    index = np.repeat(np.arange(starts.size), lengths)
    flip = np.where(saddle < 0.0, -1.0, 1.0)
    x, extra, s = x * flip[index], extra * flip, np.abs(saddle)

    def spread(at: Floats) -> Floats:
        y = x / (1.0 - at[index] * x)
        y0 = extra / (1.0 - at * extra)
        return np.asarray(np.sqrt(np.add.reduceat(counts * y * y, starts) + y0 * y0))

    deviation = spread(s)
    near = s * deviation < 0.5
    if near.any():
        s = np.where(near, 0.5 / deviation, s)
        pole = 1.0 / np.maximum(np.maximum.reduceat(x, starts), extra)
        s = np.where(near, np.minimum(s, 0.5 * (np.abs(saddle) + pole)), s)
        deviation = spread(s)
    z = s[:, None] + 1j * _NODES / deviation[:, None]
    logs = np.add.reduceat(counts[:, None] * np.log(1.0 - z[index] * x[:, None]), starts, axis=0)
    logs += np.log(1.0 - z * extra[:, None])
    # a sum, not a product of matrices: that would round a row by its neighbours
    upper = ((np.exp(-logs) / z).real * _JACOBIAN).sum(axis=1) / deviation
    return np.asarray(np.clip(np.where(flip > 0.0, upper, 1.0 - upper), 0.0, 1.0))
