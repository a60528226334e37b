"""How far a candidate may have moved from its base: divergence and agreement a token.

Both are means over tokens, so ratios of sums over samples or clusters, of what is at least 0: the
divergence of a token, and whether its first choice is another one. With ``y_i`` the mean of a
sample, ``u_i`` its tokens over the mean number and ``L`` the limit, the tail probability of the
Bayesian bootstrap `T` (see `_saddlepoint`) decides on ``x_i = u_i (y_i - L)``:

* BLOCK tests "the mean is at most L", guarded by one more sample at the least value there is, 0:
  ``p = T([-x, L])``.
* PASS tests "the mean is at least L", guarded by one more sample at the largest value. That is 1
  for the share of other first choices; a divergence has no largest, so that the guard is
  `BEYOND` times the largest seen, or the limit's: ``p = T([x, BEYOND max(L, max u y) - L])``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from pytest_modellab.gate import validate
from pytest_modellab.gate._saddlepoint import Floats, tail
from pytest_modellab.gate.errors import EmptyError, MeasurementError, SettingError
from pytest_modellab.gate.family import holm
from pytest_modellab.gate.planner import POWER, confirm, normal_size
from pytest_modellab.gate.results import UNBOUNDED, Figures, Verdict
from pytest_modellab.gate.settings import (
    check_agreement,
    check_kl,
    check_levels,
    check_max_missing,
)
from pytest_modellab.gate.validate import Scores

KL = "KL"
"""The name of the figures on divergence."""

AGREEMENT = "agreement"
"""The name of the figures on first choices."""

BEYOND = 2.5
"""Times the largest divergence of a sample, or the limit, that one more sample might have.

Chosen by measurement: with 2 too much passes at the limit of 30 strongly skewed samples, with 3 it
takes a quarter more samples to pass.
"""

_STEPS = 40  # of a bisection


def fidelity(
    nats: Scores,
    same: Scores,
    tokens: Scores,
    *,
    kl: float | None = None,
    agreement: float | None = None,
    clusters: Iterable[Hashable] | None = None,
    alpha: float = 0.05,
    pass_alpha: float | None = None,
    max_missing: float = 0.02,
) -> tuple[Figures, ...]:
    """Whether a candidate's distributions lie further from its base's than is allowed.

    Args:
        nats: Sum of KL(base||candidate) over the tokens of each sample; NaN where missing, which
            is no evidence for BLOCK and counts as the guard for PASS.
        same: Of how many of its tokens both would choose the same first.
        tokens: Tokens of each sample, at least 1.
        kl: The largest mean divergence allowed, in nats a token, above 0; None to leave it open.
        agreement: The least share of the same first choice allowed, in (0, 1); or None.
        clusters: One label a sample, or None for samples independent of each other.
        alpha: Risk of a false block, in (0, 1); shared by the two where both are judged (Holm).
        pass_alpha: Risk of a false pass, in (0, 1), of each; alpha unless given.
        max_missing: Share of samples that may be missing.

    Returns:
        One entry for each that is judged: KL, whose `drop` is the divergence and whose `margin` is
        its limit, and agreement, against its floor.

    Raises:
        GateInputError: Measurements, labels or settings cannot be used.
    """
    kl, agreement = check_limits(kl, agreement)
    alpha, pass_alpha = check_levels(alpha, pass_alpha)
    data = _prepare(nats, same, tokens, clusters, check_max_missing(max_missing))
    sides = []
    if kl is not None:
        sides.append(_Side(KL, data.nats, kl, None))
    if agreement is not None:
        sides.append(_Side(AGREEMENT, data.other, 1.0 - agreement, 1.0))
    p = np.array([_block_p(data, side, side.limit) for side in sides])
    adjusted = holm(p)
    levels = alpha * np.divide(p, adjusted, out=np.full(p.size, 1.0 / p.size), where=adjusted > 0.0)
    return tuple(
        _figures(data, side, float(p[i]), float(adjusted[i]), alpha, float(levels[i]), pass_alpha)
        for i, side in enumerate(sides)
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two questions: sums a cluster, the limit of their mean, the largest value."""

    name: str
    sums: Floats
    limit: float
    most: float | None


@dataclass(frozen=True, slots=True)
class _Data:
    """Sums a cluster; those of missing samples are not in them.

    Attributes:
        nats: Of divergences.
        other: Of other first choices.
        weights: Tokens over their mean.
        mean: Tokens a cluster.
        samples: All of them.
        missing: Indices of samples without figures.
    """

    nats: Floats
    other: Floats
    weights: Floats
    mean: float
    samples: int
    missing: tuple[int, ...]


def _prepare(
    nats: Scores,
    same: Scores,
    tokens: Scores,
    clusters: Iterable[Hashable] | None,
    max_missing: float,
) -> _Data:
    validate.aligned(nats=nats, same=same, tokens=tokens, clusters=clusters)
    sums, equal, counts = (np.array(one, dtype=np.float64) for one in (nats, same, tokens))
    validate.same_shape("same", equal, "nats", sums)
    validate.same_shape("tokens", counts, "nats", sums)
    groups = validate.cluster_codes(clusters, sums.size)
    if sums.size == 0:
        raise EmptyError("there are no samples: nats is empty")
    absent = np.isnan(sums)
    validate.check_missing(np.flatnonzero(absent), sums.size, max_missing)
    found = ~absent
    values = validate.measurements("nats", sums[found], ("sample",))
    counts = validate.measurements("tokens", counts[found], ("sample",))
    equal = validate.measurements("same", equal[found], ("sample",))
    if (equal > counts).any():
        first = int(np.flatnonzero(equal > counts)[0])
        raise MeasurementError(
            f"same: sample {np.flatnonzero(found)[first]} has {equal[first]:g} of "
            f"{counts[first]:g} tokens, but no sample has more of the same first choice than tokens"
        )
    if not counts.any():
        raise MeasurementError("tokens are all 0: there is nothing to compare")
    codes = np.arange(values.size)
    if groups is not None:
        _, codes = np.unique(groups[found], return_inverse=True)
    size = np.bincount(codes, weights=counts)
    return _Data(
        nats=np.bincount(codes, weights=values) / size.mean(),
        other=np.bincount(codes, weights=counts - equal) / size.mean(),
        weights=size / size.mean(),
        mean=float(size.mean()),
        samples=int(sums.size),
        missing=tuple(np.flatnonzero(absent).tolist()),
    )


def _tail(x: Floats, extra: Floats) -> float:
    """T of values and several more of one size."""
    values = np.append(x, extra[1:])
    one = np.array([0], dtype=np.int64)
    return float(tail(values, np.ones(values.size), one, extra[:1])[0])


def _block_p(data: _Data, side: _Side, limit: float) -> float:
    if data.weights.size < 2:
        return 1.0
    x = side.sums - limit * data.weights
    return _tail(-x, np.array([limit]))


def _pass_p(data: _Data, side: _Side, limit: float) -> float:
    if data.weights.size < 2:
        return 1.0
    x = side.sums - limit * data.weights
    most = BEYOND * max(limit, float(side.sums.max())) if side.most is None else side.most
    return _tail(x, np.full(1 + len(data.missing), most - limit))


def _figures(
    data: _Data,
    side: _Side,
    p: float,
    adjusted: float,
    alpha: float,
    level: float,
    pass_alpha: float,
) -> Figures:
    alone = data.weights.size < 2
    p_pass = _pass_p(data, side, side.limit)
    verdict: Verdict = "inconclusive"
    if not alone and adjusted <= alpha:
        verdict = "block"
    elif not alone and p_pass <= pass_alpha:
        verdict = "pass"
    mean = float(side.sums.mean())
    top = UNBOUNDED if side.most is None else side.most
    low = 0.0 if alone else _root(lambda at: _block_p(data, side, at) > level, 0.0, mean, top)
    high = top if alone else _root(lambda at: _pass_p(data, side, at) <= pass_alpha, 0.0, mean, top)
    x = side.sums - side.limit * data.weights
    deviation = 0.0 if alone else float(x.std(ddof=1))
    z = float(ndtri(1.0 - level) + ndtri(POWER))
    more = None
    if verdict == "inconclusive" and not alone and mean != side.limit:
        needed = normal_size(deviation**2, mean - side.limit, level if mean > side.limit else alpha)
        samples = data.samples / data.weights.size
        more = confirm(max(needed * samples, data.samples + 1.0), None)
    floor = side.most is not None
    return Figures(
        name=side.name,
        n=data.samples,
        clusters=int(data.weights.size),
        baseline=None,
        candidate=1.0 - mean if floor else mean,
        drop=mean - side.limit if floor else mean,
        drop_low=low - side.limit if floor else low,
        drop_high=high - side.limit if floor else high,
        losses=int((x > 0.0).sum()),
        gains=int((x < 0.0).sum()),
        margin=0.0 if floor else side.limit,
        floor=1.0 - side.limit if floor else None,
        p_block=p,
        p_adjusted=min(adjusted, 1.0),
        p_pass=p_pass,
        alpha=alpha,
        level=level,
        pass_alpha=pass_alpha,
        verdict=verdict,
        mde=None if alone else float(f"{z * deviation / math.sqrt(data.weights.size):.4g}"),
        samples_needed=more,
        dropped=(),
        missing=data.missing,
        score_low=1.0 - high if floor else None,
        score_high=1.0 - low if floor else None,
    )


def _root(beyond: Callable[[float], bool], low: float, start: float, top: float) -> float:
    """The value from which on a condition holds; `top` where it never does."""
    high = max(start, 1e-9)
    while not beyond(min(high, top)):
        if high >= top or high > 1e6:
            return top
        low, high = high, 2.0 * high
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return high


def check_limits(kl: float | None, agreement: float | None) -> tuple[float | None, float | None]:
    """Return the limits of :func:`fidelity` as numbers, or raise; before anything is measured."""
    if kl is None and agreement is None:
        raise SettingError("nothing to judge by: set kl, agreement or both")
    return (
        None if kl is None else check_kl(kl),
        None if agreement is None else check_agreement(agreement),
    )
