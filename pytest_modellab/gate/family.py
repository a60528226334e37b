"""Several comparisons at once: adjusted p-values that keep the chance of any false block."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from pytest_modellab.gate import validate
from pytest_modellab.gate._saddlepoint import Bools, Floats, Ints
from pytest_modellab.gate.errors import EmptyError, SettingError
from pytest_modellab.gate.settings import check_level

_SLACK = 1.0 + 1e-9  # a p-value is never above itself, whatever the last bits say


def holm(p: Floats) -> Floats:
    """Step-down Bonferroni (Holm 1979), not capped at 1.

    Args:
        p: One p-value a comparison, in [0, 1].

    Returns:
        Adjusted p-values in the order given. They may exceed 1, so that
        p / adjusted is always the share of the level that a comparison gets.
    """
    return _step_down(p, np.ones_like(p))


def weighted_holm(p: npt.ArrayLike, weights: npt.ArrayLike) -> list[float]:
    """Step-down weighted Bonferroni (Holm 1979, Scandinavian Journal of Statistics 6:65).

    Args:
        p: One p-value an assertion, in [0, 1].
        weights: How much of the risk each gets, above 0; only their ratios count.

    Returns:
        Adjusted p-values in the order given, at most 1: an assertion blocks
        where its own is at most alpha.

    Raises:
        GateInputError: A p-value or weight lies outside its range.
    """
    values, shares = np.asarray(p, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    validate.same_shape("weights", shares, "p", values)
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise SettingError(f"p is {values.tolist()}, but must lie between 0 and 1")
    for weight in shares.tolist():
        _check_weight("an assertion", weight)
    return [min(float(one), 1.0) for one in _step_down(values, shares)]


def _step_down(p: Floats, weights: Floats) -> Floats:
    order = np.argsort(p / weights, kind="stable")
    left = np.cumsum(weights[order][::-1])[::-1]  # of this and all later ones
    out = np.empty(p.size)
    out[order] = np.maximum.accumulate(p[order] * (left / weights[order]))
    return out


def split_alpha(alpha: float, weights: Mapping[str, float]) -> dict[str, float]:
    """Divide a run's risk of a false block among its assertions, by weight.

    Judging each at its own share keeps the risk of any false block at alpha
    (Bonferroni) and needs no other assertion's p-value; `weighted_holm`, which
    does, blocks a run in exactly the same cases.

    Args:
        alpha: The risk of the run, in (0, 1).
        weights: How much of it each assertion gets, above 0; only their ratios count.

    Returns:
        The shares under the names given; their sum is alpha, up to rounding.

    Raises:
        GateInputError: Alpha or a weight lies outside its range, or there are none.
    """
    alpha = check_level("alpha", alpha)
    if not weights:
        raise EmptyError("there are no assertions to divide alpha among")
    total = math.fsum(_check_weight(repr(name), weight) for name, weight in weights.items())
    return {name: alpha * weight / total for name, weight in weights.items()}


def _check_weight(name: str, weight: float) -> float:
    if not 0.0 < weight < math.inf:
        raise SettingError(f"the weight of {name} is {weight:g}, but must lie above 0")
    return weight


def discrete_minp(p: Floats, discordant: Ints, binary: Bools, least: Floats) -> Floats:
    """Step-down discrete minP (Tarone 1990; Westfall & Wolfinger 1997), not capped at 1.

    The adjusted value of the smallest p-value t is ``sum_j F_j(t)`` over the
    buckets, F_j(t) being the largest attainable ``P(p_j <= t)`` given that
    bucket's number of discordant samples. Buckets too small to reject cost
    nothing; the sum is valid under any dependence between buckets.

    Args:
        p: Mid-p values (binary) or p_block (other buckets), at margin 0.
        discordant: Samples that got better or worse, of each bucket.
        binary: Which buckets have binary scores without clusters.
        least: The smallest p-value that the bucket could have reached; read
            where not binary.

    Returns:
        Adjusted p-values in the order given; they may exceed 1.
    """
    order = np.argsort(p, kind="stable")
    t = p[order]
    kinds = np.unique(discordant[binary])
    rank = np.arange(p.size)
    sums = np.zeros(p.size)
    sorted_binary, sorted_discordant = binary[order], discordant[order]
    for kind in kinds.tolist():
        member = sorted_binary & (sorted_discordant == kind)
        left = np.cumsum(member[::-1])[::-1]  # of this kind, not yet stepped over
        reached = left > 0
        sums[reached] += left[reached] * attainable(int(kind), t[reached])
    others = ~sorted_binary
    if others.any():
        can = least[order][others]
        position = rank[others]
        for i in rank.tolist():
            able = np.count_nonzero((position >= i) & (can <= t[i] * _SLACK))
            sums[i] += able * t[i]
    out = np.empty(p.size)
    out[order] = np.maximum.accumulate(sums)
    return out


def attainable(discordant: int, t: Floats) -> Floats:
    """The largest attainable ``P(mid-p <= t)`` given the number of discordant samples.

    With ``cdf_k = P(Bin(T, 1/2) <= k)`` and ``mid_k = cdf_k - pmf_k / 2``: the
    cdf_k at the largest k with mid_k <= t, 0 where there is none.
    """
    k = np.arange(discordant + 1)
    logs = gammaln(discordant + 1.0) - gammaln(k + 1.0) - gammaln(discordant - k + 1.0)
    pmf = np.exp(logs - discordant * np.log(2.0))
    cdf = np.minimum(np.cumsum(pmf), 1.0)
    found = np.searchsorted(cdf - 0.5 * pmf, t * _SLACK, side="right")
    return np.append(0.0, cdf)[found]
