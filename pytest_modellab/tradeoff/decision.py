"""Which variant to ship in a scenario, and how sure that is.

Hard limits first, then a weighted sum of what a variant gains over the reference, in *steps*: one
step is ten points of success, ten points of risk, or a factor of two in cost, latency or memory. So
at equal weights ten points of success are worth twice the cost, whatever else is compared; the
scale does not change when a variant joins.

Every metric comes as draws, equal draws of all variants belonging together. The share of the draws
in which a variant is the best that meets the limits is how sure the recommendation is. The largest
of several noisy sums is too large, and the more so the less they truly differ; therefore the sums
are shrunk towards each other by how much they differ beyond their noise, in a normal hierarchical
model (Rubin 1981, "Estimation in Parallel Randomized Experiments"; Gelman et al., Bayesian Data
Analysis, section 5.4). Without that, nine in ten is right in five (`benchmarks/decision.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pytest_modellab.records.declared import METRICS, Scenario

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = NDArray[np.float64]

STEP = 0.10
"""Success or risk that is worth as much as a factor of two in cost, latency or memory."""


SURE = 0.80
"""A variant that beats another in fewer of the draws is said to be tied with it."""


AT_LEAST = frozenset({"quality", "worst_bucket"})
"""Limits from below."""


CONTENDS = 0.01
"""Variants that are the best in fewer of the unshrunk draws do not shrink the others."""


SPREAD = 0.5
"""Scale of the half-Cauchy prior on how many steps variants differ by (Gelman 2006)."""


_DIGITS = 9
"""Sums that differ in later digits are equal."""


NONE = ""
"""Stands for no variant among the shares: none met the limits."""


LEAST_RATIO = 1 / 1024
"""What costs nothing counts as this multiple of the reference."""


@dataclasses.dataclass(frozen=True)
class Metrics:
    """What is known of the variants that are decided between.

    Attributes:
        names: the variants, of length V.
        values: each of ``METRICS`` and ``LIMITS`` that was measured, of shape (V,).
        draws: the same in resamples, of shape (B, V).
        limited: values and draws of what a limit holds, where that is not the metric of its name:
            latency is weighed by its median and limited at its 95th percentile. NaN for a variant
            that was not measured, which is then out.
    """

    names: tuple[str, ...]
    values: Mapping[str, Draws]
    draws: Mapping[str, Draws]
    limited: Mapping[str, tuple[Draws, Draws]] = dataclasses.field(default_factory=dict)

    def held(self, limit: str) -> tuple[Draws, Draws]:
        """Values and draws that a limit applies to."""
        return self.limited.get(limit) or (self.values[limit], self.draws[limit])


@dataclasses.dataclass(frozen=True)
class Miss:
    """A limit that a variant does not meet.

    Attributes:
        limit: its name.
        value: the variant's; None where it was not measured.
        allowed: the limit.
        share: share of the draws in which it is not met.
    """

    limit: str
    value: float | None
    allowed: float
    share: float


@dataclasses.dataclass(frozen=True)
class Turn:
    """What would have to change for another choice.

    Attributes:
        what: ``weight`` or ``limit``.
        name: of the metric, or the limit.
        now: what it is.
        then: what it would have to be; the other weights keep their proportions.
        variant: who would be chosen.
    """

    what: Literal["weight", "limit"]
    name: str
    now: float
    then: float
    variant: str


@dataclasses.dataclass(frozen=True)
class Choice:
    """The recommendation for one scenario.

    Attributes:
        scenario: what was asked for.
        verdict: ``choose``, ``tie``, or ``none`` where nothing meets the limits.
        variants: who is recommended, the best first; with ``none`` the nearest miss.
        shares: how often each variant was the best that meets the limits, in [0, 1]; under
            :data:`NONE` how often none met them.
        steps: each variant's weighted sum, and each metric's part of it, in steps over the
            reference.
        misses: the limits that a variant does not meet; empty for one that does.
        unmeasured: weights and limits that could not be applied, since not every variant was
            measured.
        turns: what would change the choice, the smallest change first.
    """

    scenario: Scenario
    verdict: Literal["choose", "tie", "none"]
    variants: tuple[str, ...]
    shares: Mapping[str, float]
    steps: Mapping[str, Mapping[str, float]]
    misses: Mapping[str, tuple[Miss, ...]]
    unmeasured: tuple[str, ...]
    turns: tuple[Turn, ...]


def decide(metrics: Metrics, reference: str, scenario: Scenario) -> Choice:
    """Choose a variant for a scenario.

    Args:
        metrics: of all variants.
        reference: the variant that steps are counted from.
        scenario: weights and limits.

    Returns:
        The choice, with what it rests on.
    """
    import numpy as np

    names = metrics.names
    weighed = {k: w for k, w in scenario.weights.items() if w > 0 and k in metrics.values}
    total = sum(weighed.values())
    weights = {k: w / total for k, w in weighed.items()}
    known = {*metrics.values, *(k for k, (v, _) in metrics.limited.items() if np.isfinite(v).any())}
    limits = {k: v for k, v in scenario.limits.items() if k in known}
    asked = [k for k in scenario.weights if scenario.weights[k] > 0 and k not in metrics.values]
    lacking = [*asked, *(k for k in scenario.limits if k not in known)]
    at = names.index(reference)
    points = {k: steps(k, metrics.values[k][None, :], at)[0] for k in weights}
    spread = {k: steps(k, metrics.draws[k], at) for k in weights}
    zero = np.zeros(len(names))
    value = sum((w * points[k] for k, w in weights.items()), zero)
    size = max((len(drawn) for drawn in metrics.draws.values()), default=1)
    draws = sum((w * spread[k] for k, w in weights.items()), np.zeros((size, len(names))))
    held = {k: metrics.held(k) for k in limits}
    meets = {k: _meets(k, held[k][0], allowed) for k, allowed in limits.items()}
    drawn = {k: _meets(k, held[k][1], allowed) for k, allowed in limits.items()}
    feasible = np.logical_and.reduce([np.ones(len(names), bool), *meets.values()])
    in_draws = np.logical_and.reduce([np.ones(draws.shape, bool), *drawn.values()])
    misses = {
        name: tuple(
            Miss(k, _or_none(held[k][0][i]), allowed, float((~drawn[k][:, i]).mean()))
            for k, allowed in limits.items()
            if not meets[k][i]
        )
        for i, name in enumerate(names)
    }
    worlds = [
        (weight, np.where(in_draws, np.round(drawn_values, _DIGITS), -np.inf))
        for weight, drawn_values in _hierarchy(value, draws, in_draws)
    ]
    shares = sum((weight * _shares(best) for weight, best in worlds), zero)
    # products of matrices differ in their last bit by where the memory lies
    everyone = dict(zip(names, (round(float(s), _DIGITS) for s in shares), strict=True))
    rest = max(0.0, round(1.0 - sum(everyone.values()), _DIGITS))
    choice = Choice(
        scenario=scenario,
        verdict="none",
        variants=(),
        shares=MappingProxyType({**everyone, NONE: rest}),
        steps=MappingProxyType(
            {
                name: MappingProxyType(
                    {
                        "total": float(value[i]),
                        **{k: float(w * points[k][i]) for k, w in weights.items()},
                    }
                )
                for i, name in enumerate(names)
            }
        ),
        misses=MappingProxyType(misses),
        unmeasured=tuple(dict.fromkeys(lacking)),
        turns=(),
    )
    if not feasible.any():
        nearest = sorted(names, key=lambda n: (_distance(misses[n]), -everyone[n], n))
        return dataclasses.replace(choice, variants=(nearest[0],))
    able = [i for i in range(len(names)) if feasible[i]]
    top = max(able, key=lambda i: (shares[i], value[i], i == at, -i))

    def beats(i: int) -> float:
        return sum(weight * _beats(best[:, top], best[:, i]) for weight, best in worlds)

    tied = [i for i in able if i != top and beats(i) < SURE]
    if tied:
        # the reference first, since a change that gains nothing is not worth making
        order = sorted([top, *tied], key=lambda i: (i != at, -shares[i], -value[i], names[i]))
        return dataclasses.replace(choice, verdict="tie", variants=tuple(names[i] for i in order))
    turns = _turns(names, top, able, weights, points, value, misses)
    return dataclasses.replace(choice, verdict="choose", variants=(names[top],), turns=turns)


def steps(metric: str, values: Draws, reference: int) -> Draws:
    """Turn a metric into steps over the reference; more is better.

    Args:
        metric: one of ``METRICS``.
        values: of shape (B, V).
        reference: the reference's column.

    Returns:
        Of shape (B, V); 0 in the reference's column.
    """
    import numpy as np

    base = values[:, reference : reference + 1]
    if metric == "quality":
        return (values - base) / STEP
    if metric == "risk":
        return (base - values) / STEP
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(base > 0, values / base, np.where(values > 0, np.inf, 1.0))
    gained: Draws = -np.log2(np.clip(ratio, LEAST_RATIO, 1 / LEAST_RATIO))
    return gained


def pareto(values: Mapping[str, Draws]) -> NDArray[np.bool_]:
    """Mark the variants that no other is as good as in every metric and better in one.

    Args:
        values: each metric of ``METRICS`` that was measured, of shape (V,).

    Returns:
        True on the front, of shape (V,).
    """
    import numpy as np

    losses = np.stack([-v if k in AT_LEAST else v for k, v in values.items() if k in METRICS])
    no_worse = (losses[:, :, None] <= losses[:, None, :]).all(axis=0)
    better = (losses[:, :, None] < losses[:, None, :]).any(axis=0)
    return np.asarray(~(no_worse & better).any(axis=0))


def _hierarchy(value: Draws, draws: Draws, able: NDArray[np.bool_]) -> list[tuple[float, Draws]]:
    """Shrink the sums of those that could be the best towards each other.

    The contenders' sums are taken as draws from one normal distribution of unknown spread. In the
    eigenvectors of the draws' covariance a sum's deviation ``y`` with variance ``v`` becomes
    ``s y`` with variance ``s v``, where ``s = spread^2 / (spread^2 + v)``.

    Args:
        value: sums, of shape (V,).
        draws: the same in resamples, of shape (B, V).
        able: whether the limits are met, of shape (B, V).

    Returns:
        For each of several spreads its posterior weight and the draws with it.
    """
    import numpy as np
    from scipy.linalg import helmert

    first = _shares(np.where(able, np.round(draws, _DIGITS), -np.inf))
    rivals = np.flatnonzero(first >= CONTENDS)
    if rivals.size < 2:
        return [(1.0, draws)]
    seen = value[rivals]
    contrasts = helmert(rivals.size).T  # what their common level does says nothing of differences
    moved = (draws[:, rivals] - draws[:, rivals].mean(axis=0)) @ contrasts
    variances, axes = np.linalg.eigh(moved.T @ moved / len(moved))
    variances, axes = np.maximum(variances, 1e-12), contrasts @ axes
    y, moved = seen @ axes, (draws[:, rivals] - draws[:, rivals].mean(axis=0)) @ axes
    spreads = np.geomspace(0.01, 10.0, 25)
    scale = spreads[:, None] ** 2 + variances
    log = -0.5 * (np.log(scale) + y**2 / scale).sum(axis=1)
    log += np.log(spreads / (1.0 + (spreads / SPREAD) ** 2))  # the grid is even in log(spread)
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    found = []
    for spread, weight in zip(spreads, weights, strict=True):
        if weight < 1e-4:
            continue
        shrink = spread**2 / (spread**2 + variances)
        parts = shrink * y + np.sqrt(shrink) * moved
        shrunk = draws.copy()
        shrunk[:, rivals] = seen.mean() + parts @ axes.T
        found.append((float(weight), shrunk))
    total = sum(weight for weight, _ in found)
    return [(weight / total, shrunk) for weight, shrunk in found]


def _meets(limit: str, values: Draws, allowed: float) -> NDArray[np.bool_]:
    return values >= allowed if limit in AT_LEAST else values <= allowed


def _or_none(value: float) -> float | None:
    return float(value) if value == value else None  # NaN: not measured


def _shares(best: Draws) -> Draws:
    """How often each column is the largest of its row; equal ones share the row."""
    import numpy as np

    largest = best.max(axis=1, keepdims=True)
    won = (best == largest) & np.isfinite(largest)
    counts = np.maximum(won.sum(axis=1, keepdims=True), 1)
    return np.asarray((won / counts).mean(axis=0))


def _beats(a: Draws, b: Draws) -> float:
    return float(((a > b) + 0.5 * (a == b)).mean())


def _distance(misses: Sequence[Miss]) -> float:
    """How far a variant is from the limits: the sum of how much it misses each by, relatively."""
    return sum(
        1.0 if miss.value is None else abs(miss.value - miss.allowed) / max(abs(miss.allowed), STEP)
        for miss in misses
    )


def _turns(
    names: Sequence[str],
    top: int,
    able: Sequence[int],
    weights: Mapping[str, float],
    points: Mapping[str, Draws],
    value: Draws,
    misses: Mapping[str, Sequence[Miss]],
) -> tuple[Turn, ...]:
    """The nearest change of one weight, and each limit alone that keeps a better variant out."""
    found: list[tuple[float, Turn]] = []
    for metric, weight in weights.items():
        if weight >= 1.0:
            continue
        for i in able:
            if i == top:
                continue
            # weight w of the metric, the others in proportion: w * a + (1 - w) * b
            a = float(points[metric][top] - points[metric][i])
            b = float(value[top] - value[i] - weight * a) / (1.0 - weight)
            if a == b:
                continue
            then = b / (b - a)
            if 0.0 <= then <= 1.0:
                found.append((abs(then - weight), Turn("weight", metric, weight, then, names[i])))
    nearest = sorted(found, key=lambda pair: (pair[0], pair[1].name, pair[1].variant))[:1]
    turns = [turn for _, turn in nearest]
    for i, name in enumerate(names):
        kept_out = misses[name]
        if len(kept_out) == 1 and value[i] > value[top] and kept_out[0].value is not None:
            miss = kept_out[0]
            turns.append(Turn("limit", miss.limit, miss.allowed, kept_out[0].value, name))
    return tuple(turns)
