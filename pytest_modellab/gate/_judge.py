"""One family of comparisons: p-values of all rows at once, then the figures that people read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from pytest_modellab.gate._rows import Rows, bucket_sums, collapse
from pytest_modellab.gate._saddlepoint import Bools, Floats, Ints
from pytest_modellab.gate.family import discrete_minp, holm
from pytest_modellab.gate.graded import (
    Spread,
    graded_pass_power,
    graded_power,
    shows,
    typical_move,
)
from pytest_modellab.gate.planner import (
    ENUMERATE_BUCKETS,
    ENUMERATE_UP_TO,
    PLAN_UP_TO,
    POWER,
    confirm,
    detectable_drop,
    normal_drop,
    samples_needed,
)
from pytest_modellab.gate.results import Figures, Verdict
from pytest_modellab.gate.single import block_p, drop_high, drop_low, least_block_p, pass_p
from pytest_modellab.gate.validate import UNIT, Paired

_LEAST_RISK = 1e-300


@dataclass(frozen=True, slots=True)
class Judged:
    """p-values of the rows of one family, and what they were computed from."""

    by_bucket: bool
    names: tuple[str, ...]
    codes: Ints
    rows: Rows
    passing: Rows
    margin: float
    alpha: float
    pass_alpha: float
    p: Floats
    size: Floats
    adjusted: Floats
    p_pass: Floats

    @property
    def blocked(self) -> Bools:
        return np.asarray((self.adjusted <= self.alpha) & (self.rows.clusters > 1))

    @property
    def passed(self) -> Bools:
        enough = (self.p_pass <= self.pass_alpha) & (self.rows.clusters > 1)
        return np.asarray(enough & (self.margin > 0.0) & ~self.blocked)

    def verdicts(self) -> list[Verdict]:
        """One verdict a row."""
        return [
            "block" if blocked else "pass" if passed else "inconclusive"
            for blocked, passed in zip(self.blocked.tolist(), self.passed.tolist(), strict=True)
        ]


def judge(
    data: Paired,
    by_bucket: bool,
    margin: float,
    alpha: float,
    pass_alpha: float,
    *,
    verdicts_only: bool = False,
) -> Judged:
    """Judge the pooled drop, or that of every bucket as a family.

    With `verdicts_only`, p-values that cannot change a verdict are left inexact.
    A row whose p exceeds alpha never blocks, and stands behind all that do. A
    row whose p is at most half of an equal share of alpha blocks, and before all
    others, since an adjusted p adds at most F_j(t) <= 2 t for each row. So which
    value such a row has does not move another's adjusted p across alpha. (A
    third instead of half leaves room for rounding.)
    """
    names = data.names if by_bucket else ("all",)
    codes = data.buckets if by_bucket else np.zeros_like(data.buckets)
    difference = data.candidate - data.baseline
    rows = collapse(difference, codes, data.clusters, len(names))
    passing = rows
    if data.missing.any():
        worst = np.where(data.missing, -data.baseline, difference)
        passing = collapse(worst, codes, data.clusters, len(names))
    margins = np.full(len(names), margin)
    between = (0.0, 1.0)
    if verdicts_only:
        between = (alpha / (3 * len(names)) if by_bucket else alpha, alpha)
    p, size = block_p(rows, margins, between)
    if not by_bucket:
        adjusted = p
    elif margin > 0.0:
        adjusted = holm(p)
    else:
        least = np.ones(len(names))
        graded = ~rows.binary
        if graded.any():
            least[graded] = least_block_p(rows.take(graded), between)
        alone = rows.clusters < 2
        adjusted = discrete_minp(
            p, np.where(alone, 0, rows.losses + rows.gains), rows.binary, least
        )
    return Judged(
        by_bucket=by_bucket,
        names=names,
        codes=codes,
        rows=rows,
        passing=passing,
        margin=margin,
        alpha=alpha,
        pass_alpha=pass_alpha,
        p=p,
        size=size,
        adjusted=adjusted,
        p_pass=np.ones(len(names)) if verdicts_only and not margin else pass_p(passing, margins),
    )


def figures_of(data: Paired, judged: Judged) -> tuple[Figures, ...]:
    """What the user reads: one record a row, with bounds and what would settle it."""
    rows, names, size = judged.rows, judged.names, len(judged.names)
    adjusted = judged.adjusted
    share = np.divide(judged.p, adjusted, out=np.full(size, 1.0 / size), where=adjusted > 0.0)
    level = judged.alpha * share
    low = drop_low(rows, judged.size, level)
    high = drop_high(judged.passing, np.full(size, judged.pass_alpha))
    baseline = bucket_sums(data.baseline, judged.codes, size) / rows.samples / UNIT
    loss_squares, gain_squares = rows.mean_square()
    clusters = rows.clusters.astype(np.float64)
    churn = 2.0 * np.minimum(loss_squares, gain_squares) / clusters
    variance = _variance(rows)
    passing_variance = variance if judged.passing is rows else _variance(judged.passing)
    dropped, missing = _listed(data, judged)
    verdicts = judged.verdicts()
    planned = judged.alpha / size
    exact = judged.by_bucket and judged.margin == 0.0
    few = size <= ENUMERATE_BUCKETS
    margins = np.full(size, judged.margin)
    move = typical_move(rows, judged.size)
    risk = min(max(planned, _LEAST_RISK), 0.5)  # 1 - planned may be no other number than 1
    scatter = -float(ndtri(risk)) * np.sqrt(variance / clusters)
    alike = (judged.size + margins) * np.expm1(math.log(0.5 / risk) / clusters)
    least = margins + np.hypot(scatter, alike)  # near to what shows() finds
    graded = ~rows.binary & (rows.clusters > 1) & (rows.clusters <= PLAN_UP_TO)
    if few and graded.any():  # else the formula must do
        part = rows.take(graded)
        levels = np.full(part.starts.size, planned)
        least[graded] = shows(part, margins[graded], judged.size[graded], levels)
    unlucky = float(ndtri(POWER))
    figures = []
    for i, name in enumerate(names):
        n, binary, mean_drop = int(rows.samples[i]), bool(rows.binary[i]), -float(rows.mean[i])
        if rows.clusters[i] < 2:
            mde = None
        elif binary:
            mde = detectable_drop(
                n,
                churn=float(churn[i]),
                margin=judged.margin,
                level=planned,
                in_family=exact,
                enumerate_up_to=ENUMERATE_UP_TO if few else 0,
            )
        else:
            mde = normal_drop(
                float(clusters[i]), float(churn[i]), float(move[i]), judged.margin, planned
            )
            if mde is not None:  # of the two ways to fall the one that is harder to see
                alike = float(least[i]) + unlucky * math.sqrt(
                    float(variance[i]) / float(clusters[i])
                )
                mde = max(mde, round(alike, 4)) if alike <= 1.0 else None
        needed = None
        if verdicts[i] == "inconclusive":
            to_block = mean_drop > judged.margin
            seen, spread = (rows, variance) if to_block else (judged.passing, passing_variance)
            needed = samples_needed(
                n=n,
                clusters=int(rows.clusters[i]),
                binary=bool(seen.binary[i]) and few,
                losses=int(seen.losses[i]),
                gains=int(seen.gains[i]),
                drop=-float(seen.mean[i]),
                variance=float(spread[i]),
                pseudo=float(judged.size[i]),
                margin=judged.margin,
                level=planned,
                pass_level=judged.pass_alpha,
                in_family=exact,
                to_block=to_block,
            )
            if needed is not None and few and not seen.binary[i]:
                one = seen.take(np.arange(size) == i)
                needed = _confirmed(needed, one, judged, planned, to_block=to_block)
        before = float(baseline[i])
        figures.append(
            Figures(
                name=name,
                n=n,
                clusters=int(rows.clusters[i]),
                baseline=before,
                candidate=before - mean_drop,
                drop=mean_drop + 0.0,
                drop_low=float(low[i]),
                drop_high=float(high[i]),
                losses=int(rows.losses[i]),
                gains=int(rows.gains[i]),
                margin=judged.margin,
                floor=None,
                p_block=float(min(judged.p[i], 1.0)),
                p_adjusted=float(min(adjusted[i], 1.0)),
                p_pass=float(judged.p_pass[i]),
                alpha=judged.alpha,
                level=float(level[i]),
                pass_alpha=judged.pass_alpha,
                verdict=verdicts[i],
                mde=mde,
                samples_needed=needed,
                dropped=dropped[i],
                missing=missing[i],
            )
        )
    return tuple(figures)


def _confirmed(needed: int, row: Rows, judged: Judged, level: float, *, to_block: bool) -> int:
    """Raise a number of samples until graded scores, scattering as they did, have the power."""
    spread, margin = Spread.of_rows(row), judged.margin

    def power(samples: int) -> float:
        n = samples * spread.n / float(row.samples[0])
        if to_block:
            return graded_power(n, spread.drop, spread, margin=margin, level=level)
        return graded_pass_power(n, spread.drop, spread, margin=margin, level=judged.pass_alpha)

    return confirm(needed, power, growth=1.1) or needed


def _variance(rows: Rows) -> Floats:
    """Of a cluster's weighted difference, in each row."""
    losses, gains = rows.mean_square()
    return np.maximum((losses + gains) / rows.clusters - rows.mean**2, 0.0)


def _listed(data: Paired, judged: Judged) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Indices of dropped and of missing samples in each row."""
    dropped: list[list[int]] = [[] for _ in judged.names]
    for index, code in zip(data.dropped, data.dropped_buckets, strict=True):
        dropped[code if judged.by_bucket else 0].append(index)
    missing: list[list[int]] = [[] for _ in judged.names]
    for i in np.flatnonzero(data.missing).tolist():
        missing[judged.codes[i]].append(int(data.index[i]))
    return [tuple(one) for one in dropped], [tuple(one) for one in missing]
