"""The worst-bucket floor: no bucket's mean score may lie below it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, bdtrc, betaincinv, ndtri

from pytest_modellab.gate import validate
from pytest_modellab.gate._rows import Rows, bucket_sums, collapse
from pytest_modellab.gate._saddlepoint import Bools, Floats, Ints
from pytest_modellab.gate.errors import EmptyError
from pytest_modellab.gate.family import holm
from pytest_modellab.gate.planner import ENUMERATE_UP_TO, POWER, confirm, normal_size
from pytest_modellab.gate.results import Figures, Verdict
from pytest_modellab.gate.settings import check_floor, check_levels, check_max_missing
from pytest_modellab.gate.single import block_p, drop_high, drop_low, pass_p
from pytest_modellab.gate.validate import UNIT, Scores


def floor_family(
    scores: Scores,
    buckets: Iterable[Hashable] | None,
    *,
    floor: float,
    clusters: Iterable[Hashable] | None = None,
    alpha: float = 0.05,
    pass_alpha: float | None = None,
    max_missing: float = 0.02,
) -> tuple[Figures, ...]:
    """Compare every bucket's mean score with a floor.

    BLOCK: ``P(Bin(n, f) <= x)`` for binary scores without clusters, otherwise
    the BLOCK side of `drop` on ``s - f``; Holm over the buckets. PASS:
    ``P(Bin(n, f) >= x)`` (Clopper & Pearson 1934), for graded scores the guarded
    bound whose worst value is a score of 0; uncorrected, as all must pass
    (Berger 1982).

    Args:
        scores: The candidate's scores in [0, 1]. A missing score (NaN) counts
            as 0 for PASS and as no evidence for BLOCK.
        buckets: One label a sample; None takes all samples as one bucket.
        floor: Least mean score, in [0, 1).
        clusters: One label a sample, or None.
        alpha: Risk of any false block, in (0, 1).
        pass_alpha: Risk of a false pass, in (0, 1); alpha unless given.
        max_missing: Share of all scores that may be missing.

    Returns:
        One entry a bucket, sorted by name.

    Raises:
        GateInputError: Scores, labels or settings cannot be used.
    """
    floor = check_floor(floor)
    alpha, pass_alpha = check_levels(alpha, pass_alpha)
    data = _prepare(scores, buckets, clusters, floor, max_missing)
    size = len(data.names)
    p, at, p_pass, worst = _tested(data, floor)
    binary, alone = data.binary, data.block.clusters < 2
    adjusted = holm(p)
    level = alpha * np.divide(p, adjusted, out=np.full(size, 1.0 / size), where=adjusted > 0.0)

    low = drop_low(data.block, at, level)
    low[binary] = floor - _upper(data.right, data.seen, level)[binary]
    high = drop_high(data.passing, np.full(size, pass_alpha), worst)
    passed = (p_pass <= pass_alpha) & ~alone
    blocked = (adjusted <= alpha) & ~alone
    loss_squares, gain_squares = data.block.mean_square()
    square = (loss_squares + gain_squares) / data.block.clusters
    figures = []
    for i, name in enumerate(data.names):
        verdict: Verdict = "block" if blocked[i] else "pass" if passed[i] else "inconclusive"
        mean = float(data.mean[i])
        score_high = float(np.clip(floor - low[i], 0.0, 1.0)) if not alone[i] else 1.0
        score_low = float(np.clip(floor - high[i], 0.0, 1.0)) if not alone[i] else 0.0
        figures.append(
            Figures(
                name=name,
                n=int(data.block.samples[i]),
                clusters=int(data.block.clusters[i]),
                baseline=None,
                candidate=mean,
                drop=floor - mean,
                drop_low=floor - score_high,
                drop_high=floor - score_low,
                losses=int(data.block.losses[i]),
                gains=int(data.block.gains[i]),
                margin=0.0,
                floor=floor,
                p_block=float(min(p[i], 1.0)),
                p_adjusted=float(min(adjusted[i], 1.0)),
                p_pass=float(p_pass[i]),
                alpha=alpha,
                level=float(level[i]),
                pass_alpha=pass_alpha,
                verdict=verdict,
                mde=_detectable(data, i, floor, alpha / size, float(square[i])),
                samples_needed=None
                if verdict != "inconclusive"
                else _needed(data, i, floor, alpha / size, pass_alpha, float(square[i])),
                dropped=(),
                missing=data.missing[i],
                score_low=score_low,
                score_high=score_high,
            )
        )
    return tuple(figures)


@dataclass(frozen=True, slots=True)
class _FloorData:
    names: tuple[str, ...]
    block: Rows
    passing: Rows
    binary: Bools
    right: Ints
    seen: Ints
    mean: Floats
    missing: tuple[tuple[int, ...], ...]


def above(
    scores: Scores,
    *,
    floor: float,
    clusters: Iterable[Hashable] | None = None,
    alpha: float = 0.05,
    pass_alpha: float,
) -> tuple[bool, int, float]:
    """Whether :func:`floor_family` would let all samples pass, without the figures around it.

    Args:
        scores: As there; any of them may be missing.
        floor: Least mean score, in [0, 1).
        clusters: One label a sample, or None.
        alpha: Risk of a false block, in (0, 1).
        pass_alpha: Risk of a false pass, in (0, 1).

    Returns:
        Whether they pass, their number and their mean.

    Raises:
        GateInputError: Scores, labels or settings cannot be used.
    """
    floor = check_floor(floor)
    alpha, pass_alpha = check_levels(alpha, pass_alpha)
    data = _prepare(scores, None, clusters, floor, max_missing=1.0)
    p, _, p_pass, _ = _tested(data, floor)
    passed = p[0] > alpha and p_pass[0] <= pass_alpha and data.block.clusters[0] > 1
    return bool(passed), int(data.block.samples[0]), float(data.mean[0])


def _tested(data: _FloorData, floor: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Of each bucket p of a block, the pseudo-sample's size, p of a pass, and the worst value."""
    size = len(data.names)
    plain = np.zeros(size)
    worst = np.full(size, -floor)
    p, at = block_p(data.block, plain)
    binary = data.binary
    p[binary] = _binary_block(data.right, data.seen, floor)[binary]
    p_pass = pass_p(data.passing, plain, worst)
    p[data.block.clusters < 2] = 1.0
    return p, at, p_pass, worst


def _prepare(
    values: Scores,
    buckets: Iterable[Hashable] | None,
    clusters: Iterable[Hashable] | None,
    floor: float,
    max_missing: float,
) -> _FloorData:
    validate.aligned(scores=values, buckets=buckets, clusters=clusters)
    array = validate.scores("scores", values)
    codes, names = validate.label_codes("buckets", buckets, array.size)
    groups = validate.cluster_codes(clusters, array.size)
    if array.size == 0:
        raise EmptyError("there are no samples to compare with a floor: scores is empty")
    validate.check_size(array.size)
    size = len(names)
    absent = np.isnan(array)
    limit = check_max_missing(max_missing)
    validate.check_missing(np.flatnonzero(absent), array.size, limit)
    units = np.rint(np.where(absent, 0.0, array) * UNIT).astype(np.int64)
    least = round(floor * UNIT)
    block = collapse(np.where(absent, 0, units - least), codes, groups, size)
    passing = collapse(units - least, codes, groups, size) if absent.any() else block
    graded = bucket_sums(((units != 0) & (units != UNIT)).astype(np.int64), codes, size)
    seen = bucket_sums((~absent).astype(np.int64), codes, size)
    total = bucket_sums(units, codes, size)
    lost: list[list[int]] = [[] for _ in names]
    for i in np.flatnonzero(absent).tolist():
        lost[codes[i]].append(i)
    return _FloorData(
        names=names,
        block=block,
        passing=passing,
        binary=(graded == 0) & (block.clusters == block.samples),
        right=total // UNIT,
        seen=seen,
        mean=total / np.maximum(seen, 1) / UNIT,
        missing=tuple(tuple(one) for one in lost),
    )


def _binary_block(right: Ints, seen: Ints, floor: float) -> Floats:
    return np.where(seen > 0, bdtr(right, np.maximum(seen, 1), floor), 1.0)


def _upper(right: Ints, seen: Ints, level: Floats) -> Floats:
    """Upper Clopper-Pearson bound on the mean of binary scores."""
    open_ = right < seen
    found = betaincinv(right + 1.0, np.where(open_, seen - right, 1), 1.0 - level)
    return np.where(open_, found, 1.0)


def _detectable(
    data: _FloorData, i: int, floor: float, level: float, square: float
) -> float | None:
    n = int(data.block.samples[i])
    if data.block.clusters[i] < 2:
        return None
    if not data.binary[i] or n > ENUMERATE_UP_TO:
        z = float(ndtri(1.0 - level) + ndtri(POWER))
        spread = square if not data.binary[i] else floor * (1.0 - floor)
        drop = z * math.sqrt(spread / float(data.block.clusters[i]))
        return round(drop, 4) if drop <= floor else None
    right = _most_blocking(n, floor, level)
    if right < 0:
        return None
    # the mean score at which that many or fewer right answers have probability 0.8
    mean = float(betaincinv(right + 1.0, n - right, 1.0 - POWER))
    return round(floor - mean, 4) if mean >= 0.0 else None


def _most_blocking(n: int, floor: float, level: float) -> int:
    """Most right answers of n that block, -1 where none does."""
    return int(np.searchsorted(bdtr(np.arange(n + 1), n, floor), level, side="right")) - 1


def _needed(
    data: _FloorData, i: int, floor: float, level: float, pass_level: float, square: float
) -> int | None:
    n, clusters, mean = int(data.block.samples[i]), int(data.block.clusters[i]), float(data.mean[i])
    below = mean < floor
    if not below:
        mean *= float(data.seen[i]) / n  # PASS counts a missing score as 0
    if data.seen[i] == 0 or mean == floor or below != (mean < floor):
        return None
    spread = floor * (1.0 - floor) if data.binary[i] else max(square - (mean - floor) ** 2, 0.0)
    needed = normal_size(spread, floor - mean, level if below else pass_level)

    def power(size: int) -> float:
        if below:
            most = _most_blocking(size, floor, level)
            return float(bdtr(most, size, mean)) if most >= 0 else 0.0
        chances = bdtrc(np.arange(-1, size), size, floor)
        least = int(np.argmax(chances <= pass_level)) if (chances <= pass_level).any() else -1
        return float(bdtrc(least - 1, size, mean)) if least >= 0 else 0.0

    return confirm(max(needed * n / clusters, n + 1.0), power if data.binary[i] else None)
