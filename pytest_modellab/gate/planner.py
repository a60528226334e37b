"""How small a drop a comparison can notice, and how many samples it takes.

Right-or-wrong scores without clusters are planned by enumeration over the
numbers of losses b and gains c, since the normal formula
``n = sd^2 (z_{1-a} + z_power)^2 / (delta - m)^2`` overstates the power of small
sets. Other scores and very large sets are left to the formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
from scipy.special import bdtr, bdtrc, gammaln, ndtr, ndtri

from pytest_modellab.gate._saddlepoint import Bools, Floats, Ints, tail
from pytest_modellab.gate.errors import SettingError
from pytest_modellab.gate.settings import check_level, check_margin, check_power
from pytest_modellab.gate.single import mid_p

POWER = 0.8


ENUMERATE_UP_TO = 1000
"""Samples up to which a comparison's figures are enumerated."""


PLAN_UP_TO = 10_000
"""Samples up to which plans are, which may take longer."""


ENUMERATE_BUCKETS = 64
"""Buckets up to which each of a family's is; beyond, the formula must do."""


_MOST = 10**9


def power(
    n: int,
    drop: float,
    *,
    churn: float,
    margin: float = 0.0,
    level: float = 0.05,
    in_family: bool = False,
) -> float:
    """Chance that a drop is blocked, for right-or-wrong scores.

    Exact up to `PLAN_UP_TO` samples, by summing the chance of every number of
    losses and gains that the gate blocks; beyond by the normal formula
    ``Phi((drop - m) sqrt(n) / sd - z_{1-level})``.

    Args:
        n: Samples, or clusters where the samples of a cluster go together (`effective_size`).
        drop: True drop of the mean score: samples lost beyond the churn, as a share of all.
        churn: Share of samples that flip though nothing has changed, half of
            them for the worse.
        margin: Drop allowed, in [0, 1).
        level: The comparison's share of alpha (share / K for one of K buckets).
        in_family: Whether the level holds exactly, as in a family at margin 0,
            rather than for the mid-p value.

    Raises:
        SettingError: A setting lies outside its range.
    """
    _check(drop, churn, margin, level)
    return _power(_whole(n), drop, churn, margin, level, in_family)


def samples_for(
    drop: float,
    *,
    churn: float,
    margin: float = 0.0,
    level: float = 0.05,
    power: float = POWER,
    in_family: bool = False,
) -> int | None:
    """Samples that it takes to block a drop with the given power, for right-or-wrong scores.

    The search starts at ``sd^2 (z_{1-level} + z_power)^2 / (drop - margin)^2``
    with ``sd^2 = churn + drop - drop^2`` and ends at a number n that has the
    power (that of `pytest_modellab.gate.power`) while n - 1 has not. At margin
    0 this is the least such number. With a margin the power of whole numbers of
    samples goes up in a sawtooth, so that n is one of several crossings.

    Args:
        drop: As in `power`.
        churn: As in `power`.
        margin: As in `power`.
        level: As in `power`.
        power: Chance of noticing the drop, in (0, 1).
        in_family: As in `power`.

    Returns:
        Their number, or None where no number does: the drop is allowed.

    Raises:
        SettingError: A setting lies outside its range.
    """
    _check(drop, churn, margin, level)
    asked = check_power(power)
    if drop <= margin:
        return None
    start = normal_size(churn + drop - drop**2, drop - margin, level, asked)
    return least_size(start, lambda n: _power(n, drop, churn, margin, level, in_family) >= asked)


def pass_size(
    *, churn: float, margin: float, level: float = 0.05, power: float = POWER
) -> int | None:
    """Samples that it takes to pass with the given power when nothing has changed.

    ``log(level) / log(1 - margin)`` without churn: 149 for a margin of 0.02, 59
    for 0.05. Otherwise by the search of `samples_for`.

    Args:
        churn: As in `power`.
        margin: Drop allowed, in [0, 1).
        level: Risk of a false pass: alpha itself, which PASS does not share.
        power: Chance of passing, in (0, 1).

    Returns:
        Their number, or None at margin 0, where nothing passes.

    Raises:
        SettingError: A setting lies outside its range.
    """
    _check(0.0, churn, margin, level)
    asked = check_power(power)
    if margin == 0.0:
        return None
    start = max(math.log(level) / math.log1p(-margin), normal_size(churn, margin, level, asked))

    def passes(n: int) -> bool:
        if n > PLAN_UP_TO:
            return normal_power(n, churn, margin, level) >= asked
        return pass_power(n, 0.5 * churn, 0.5 * churn, margin, level) >= asked

    return least_size(start, passes)


def effective_size(sizes: Iterable[int]) -> float:
    """Independent samples that clusters are worth if each one's samples always go together.

    ``(sum n_g)^2 / sum n_g^2`` (Kish 1965, the design effect at an intraclass
    correlation of 1): the number of clusters where all have the same size.

    Args:
        sizes: Samples in each cluster, at least 1.

    Raises:
        SettingError: A cluster is empty.
    """
    known = list(sizes)
    if min(known, default=1) < 1:
        raise SettingError(f"sizes holds a cluster of {min(known)} samples: leave it out")
    return sum(known) ** 2 / sum(size**2 for size in known) if known else 0.0


def any_power(powers: Iterable[float]) -> float:
    """Chance that at least one of several independent comparisons blocks."""
    return 1.0 - math.prod(1.0 - one for one in powers)


def _check(drop: float, churn: float, margin: float, level: float) -> None:
    check_margin("margin", margin)
    check_level("level", level)
    if not 0.0 <= churn <= 1.0:
        raise SettingError(
            f"churn is {churn:g}, but must lie between 0 and 1: it is the share of samples "
            "that flip though nothing has changed; 0.02 to 0.10 is usual"
        )
    if not 0.0 <= drop <= 1.0 - churn:
        raise SettingError(
            f"drop is {drop:g}, but must lie between 0 and {1.0 - churn:g}: it is the share of "
            f"samples lost beside a churn of {churn:g}"
        )


def _whole(n: int) -> int:
    if n != int(n) or n < 1:
        raise SettingError(f"n is {n:g}, but must be a whole number of samples, at least 1")
    return int(n)


def _power(
    n: int, drop: float, churn: float, margin: float, level: float, in_family: bool
) -> float:
    if n > PLAN_UP_TO:
        return normal_power(n, churn + drop - drop**2, drop - margin, level)
    return block_power(n, 0.5 * churn + drop, 0.5 * churn, margin, level, in_family)


def least_size(start: float, reached: Callable[[int], bool]) -> int | None:
    """Find n with reached(n) and not reached(n - 1), walking from `start` in growing steps."""
    if not start < _MOST:
        return None
    high = max(math.ceil(start - 1e-9), 1)
    step = max(high // 50, 1)
    while not reached(high):
        high, step = high + step, 2 * step
    low = max(high - step, 0)
    while low > 0 and reached(low):
        low, high, step = max(low - step, 0), low, 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def detectable_drop(
    n: int,
    *,
    churn: float,
    margin: float = 0.0,
    level: float = 0.05,
    in_family: bool = False,
    power: float = POWER,
    enumerate_up_to: int = ENUMERATE_UP_TO,
) -> float | None:
    """Smallest drop that is blocked with the given power, for binary scores.

    Args:
        n: As in `power`.
        churn: As in `power`.
        margin: As in `power`.
        level: As in `power`.
        in_family: As in `power`.
        power: Chance of noticing the drop, in (0, 1).
        enumerate_up_to: Largest n for which the power is enumerated.

    Returns:
        The drop, or None where even the loss of every sample is noticed less often.

    Raises:
        SettingError: A setting lies outside its range.
    """
    n, power = _whole(n), check_power(power)
    _check(0.0, churn, margin, level)
    if n > enumerate_up_to:
        return normal_drop(n, churn, 1.0, margin, level, power)
    largest = 1.0 - churn

    def noticed(drop: float) -> bool:
        found = block_power(n, 0.5 * churn + drop, 0.5 * churn, margin, level, in_family)
        return found >= power

    low, high = margin, largest
    if high <= low or not noticed(high):
        return None
    while high - low > 5e-5:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if noticed(middle) else (middle, high)
    return round(high, 4)


def normal_drop(
    n: float, churn: float, size: float, margin: float, level: float, power: float = POWER
) -> float | None:
    """Smallest drop noticed by the normal formula, a lost sample losing `size`.

    The variance at a drop delta is ``churn + delta size - delta^2``; solving
    the planner's formula for delta leaves a quadratic equation.
    """
    if 0.5 ** (n + 1.0) > level:
        return None
    square = float(ndtri(1.0 - level) + ndtri(power)) ** 2
    a, b, c = n + square, 2.0 * margin * n + size * square, margin**2 * n - churn * square
    drop = (b + math.sqrt(max(b * b - 4.0 * a * c, 0.0))) / (2.0 * a)
    return round(drop, 4) if drop <= 1.0 else None


def normal_size(variance: float, distance: float, level: float, power: float = POWER) -> float:
    """``sd^2 (z_{1-a} + z_power)^2 / distance^2``, infinite at distance 0 or next to it."""
    if distance**2 == 0.0:
        return math.inf
    return variance * float(ndtri(1.0 - level) + ndtri(power)) ** 2 / distance**2


def normal_power(n: float, variance: float, distance: float, level: float) -> float:
    """``Phi(distance sqrt(n) / sd - z_{1-a})``, the inverse of `normal_size`."""
    if variance == 0.0:
        return float(distance > 0.0)
    return float(ndtr(distance * math.sqrt(n / variance) - ndtri(1.0 - level)))


def block_power(
    n: int, loss: float, gain: float, margin: float, level: float, in_family: bool = False
) -> float:
    """Chance that binary scores are blocked: exact, over all numbers of losses and gains."""
    c, weight = _gains(n, gain)
    least = np.array(_critical_losses(n, margin, level, in_family, int(c[-1])))
    conditional = min(loss / max(1.0 - gain, 1e-12), 1.0)
    reached = np.where(least > n - c, 0.0, bdtrc(np.maximum(least - 1, 0), n - c, conditional))
    reached = np.where(least == 0, 1.0, reached)
    return float(np.sum(weight * reached))


def pass_power(n: int, loss: float, gain: float, margin: float, level: float) -> float:
    """Chance that binary scores pass: exact, over all numbers of losses and gains."""
    c, weight = _gains(n, gain)
    most = np.array(_allowed_losses(n, margin, level, int(c[-1])))
    conditional = min(loss / max(1.0 - gain, 1e-12), 1.0)
    reached = np.where(most < 0, 0.0, bdtr(np.clip(most, 0, n - c), n - c, conditional))
    return float(np.sum(weight * reached))


def _gains(n: int, gain: float) -> tuple[Ints, Floats]:
    """Numbers of gains worth counting, and their probabilities."""
    top = min(n, math.ceil(n * gain + 8.0 * math.sqrt(n * gain * (1.0 - gain)) + 8.0))
    c = np.arange(top + 1)
    logs = gammaln(n + 1.0) - gammaln(c + 1.0) - gammaln(n - c + 1.0)
    if gain <= 0.0:
        return c, np.where(c == 0, 1.0, 0.0)
    logs = logs + c * math.log(gain) + (n - c) * math.log1p(-min(gain, 1.0 - 1e-12))
    return c, np.exp(logs)


@lru_cache(maxsize=512)
def _critical_losses(
    n: int, margin: float, level: float, in_family: bool, most: int
) -> tuple[int, ...]:
    """Least losses that block at each number of gains; more than possible if none does."""
    c = np.arange(most + 1)

    def blocks(b: Ints) -> Bools:
        if margin > 0.0:
            upper = _binary_tail(n, b, c, margin, margin + 1.0, 1.0)
            lower = _binary_tail(n, b, c, margin, margin - 1.0, 1.0)
            return np.asarray(0.5 * (upper + lower) <= level)
        p = bdtr(c, b + c, 0.5) if in_family else mid_p(b, c)
        return np.asarray(p <= level)

    return _first(blocks, n - c)


@lru_cache(maxsize=512)
def _allowed_losses(n: int, margin: float, level: float, most: int) -> tuple[int, ...]:
    """Most losses that pass at each number of gains, -1 where none does."""
    c = np.arange(most + 1)

    def fails(b: Ints) -> Bools:
        return np.asarray(_binary_tail(n, b, c, margin, margin - 1.0, -1.0) > level)

    return tuple(b - 1 for b in _first(fails, n - c))


def _first(holds: Callable[[Ints], Bools], most: Ints) -> tuple[int, ...]:
    """Smallest b in 0..most where a monotone condition holds, most + 1 where it never does."""
    low, high = np.zeros_like(most), most + 1
    while np.any(low < high):
        middle = (low + high) // 2
        held = holds(np.minimum(middle, most)) & (middle <= most)
        open_ = low < high
        high = np.where(open_ & held, middle, high)
        low = np.where(open_ & ~held, middle + 1, low)
    return tuple(low.tolist())


def _binary_tail(n: int, b: Ints, c: Ints, margin: float, extra: float, sign: float) -> Floats:
    """T of n binary differences of which b are losses and c gains."""
    counts = np.stack([n - b - c, b, c], axis=1).astype(np.float64)
    x = np.broadcast_to(sign * np.array([margin, margin - 1.0, margin + 1.0]), counts.shape)
    present = counts > 0.0
    lengths = present.sum(axis=1)
    starts = (np.cumsum(lengths) - lengths).astype(np.int64)
    return tail(x[present], counts[present], starts, np.full(b.size, sign * extra))


def samples_needed(
    *,
    n: int,
    clusters: int,
    binary: bool,
    losses: int,
    gains: int,
    drop: float,
    variance: float,
    pseudo: float,
    margin: float,
    level: float,
    pass_level: float,
    in_family: bool,
    to_block: bool,
) -> int | None:
    """Samples that settle a comparison with power 0.8 if what was seen is the truth.

    Args:
        n: Samples seen.
        clusters: Clusters seen; samples needed grow in clusters of the same size.
        binary: Whether to confirm by enumeration.
        losses: Samples that got worse.
        gains: Samples that got better.
        drop: Mean drop seen; for PASS with missing scores counted as 0, as in the three before.
        variance: Of one cluster's weighted difference.
        pseudo: Size of the pseudo-sample of BLOCK.
        margin: Drop allowed.
        level: Level of BLOCK.
        pass_level: Level of PASS.
        in_family: As in `detectable_drop`.
        to_block: Whether BLOCK is to settle it rather than PASS.

    Returns:
        Their number, or None where the drop seen lies on the margin, or the
        margin is 0 and the candidate looks no worse: then nothing settles it.
    """
    if to_block:
        needed = normal_size(variance, drop - margin, level)
        if not binary:  # p = (1 + (drop - m) / (M + m))^-n / 2 where nothing scatters
            alike = math.log(0.5 / level) / math.log1p((drop - margin) / (pseudo + margin))
            needed = max(needed, alike)
    elif margin > 0.0 and drop < margin:
        needed = normal_size(variance, margin - drop, pass_level)
        needed = max(needed, math.log(pass_level) / math.log1p(-margin))
    else:
        return None
    needed = max(needed * n / clusters, n + 1.0)

    def power(size: int) -> float:
        if to_block:
            return block_power(size, losses / n, gains / n, margin, level, in_family)
        return pass_power(size, losses / n, gains / n, margin, pass_level)

    return confirm(needed, power if binary else None)


def confirm(
    needed: float, power: Callable[[int], float] | None, growth: float = 1.04
) -> int | None:
    """Raise a number of samples until its exact power is 0.8, while that is cheap."""
    if not needed < _MOST:
        return None
    size = math.ceil(needed - 1e-9)
    while power is not None and size <= ENUMERATE_UP_TO and power(size) < POWER:
        size = max(size + 1, math.ceil(growth * size))
    return size
