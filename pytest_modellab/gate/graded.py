"""How many samples graded scores take: by the rule itself, on differences that were measured.

Right-or-wrong scores have one parameter, the share that flips, and are planned by enumeration
(`pytest_modellab.gate.planner`). How widely a graded score's differences scatter differs from
metric to metric, and is measured: on two runs of the same samples, of a variant and of what it
adapts. A drop is taken to move all of them alike and to leave their scatter as it was. Then a
comparison blocks where the mean drop seen is at least ``s``, the drop at which p_block of the
measured differences, moved there, equals the level; and as the mean drop seen scatters by
``sd / sqrt(n)`` about the true one,

``power = Phi((drop - s) sqrt(n) / sd)``.

Where n is large, ``s = m + z_{1-level} sd / sqrt(n)``, and this is the planner's
``n = sd^2 (z_{1-level} + z_power)^2 / (drop - m)^2``. Where n is small, s is larger: the
pseudo-sample has to be outweighed, and the scatter may be skewed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
from scipy.special import ndtr, ndtri

from pytest_modellab.gate._rows import Rows, collapse
from pytest_modellab.gate._saddlepoint import Bools, Floats
from pytest_modellab.gate.errors import EmptyError, ScoreError
from pytest_modellab.gate.planner import POWER, least_size, normal_size
from pytest_modellab.gate.settings import check_level, check_margin, check_power
from pytest_modellab.gate.single import invert, pseudo_size
from pytest_modellab.gate.validate import UNIT

_QUANTILES = 200
"""Values that stand for a normal scatter."""


_PASSES = 6
"""How often the pseudo-sample's size is brought up to a drop that exceeds it."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """How the differences between two runs scatter, of one metric.

    Attributes:
        n: samples that it was measured on; 0 where it is assumed.
        drop: mean drop between the two runs.
        sd: standard deviation of the differences.
        rows: the differences.
    """

    n: int
    drop: float
    sd: float
    rows: Rows = dataclasses.field(repr=False, compare=False)

    @property
    def binary(self) -> bool:
        """Whether all differences are -1, 0 or 1."""
        return bool(self.rows.binary[0])

    @property
    def churn(self) -> float:
        """Twice the smaller of the mean squares of losses and gains: what flips beside the drop."""
        losses, gains = self.rows.mean_square()
        return 2.0 * float(min(losses[0], gains[0])) / float(self.rows.clusters[0])

    @classmethod
    def of(cls, differences: Iterable[float]) -> Spread:
        """Measure the spread of paired differences, candidate minus baseline.

        Raises:
            EmptyError: There are fewer than two.
            ScoreError: One is no number in [-1, 1].
        """
        values = np.array(list(differences), dtype=np.float64)
        if values.size < 2:
            raise EmptyError(
                f"a spread is measured on at least 2 differences, and there are {values.size}"
            )
        if not (np.abs(values) <= 1.0).all():
            raise ScoreError(
                "differences holds a value that is no number in [-1, 1]: hand in candidate minus "
                "baseline of scores in [0, 1]"
            )
        units = np.rint(values * UNIT).astype(np.int64)
        return cls.of_rows(collapse(units, np.zeros(values.size, dtype=np.int64), None, 1))

    @classmethod
    def of_rows(cls, rows: Rows) -> Spread:
        """The spread of one row."""
        return cls(
            int(rows.clusters[0]), -float(rows.mean[0]) + 0.0, float(spread_of(rows)[0]), rows
        )

    @classmethod
    def normal(cls, sd: float) -> Spread:
        """Assume that differences scatter normally, within [-1, 1].

        Raises:
            ScoreError: The standard deviation is no number in [0, 0.5].
        """
        if not 0.0 <= sd <= 0.5:
            raise ScoreError(
                f"sd is {sd:g}, but must lie between 0 and 0.5: it is the standard deviation of "
                "the paired differences of scores in [0, 1]"
            )
        steps = ndtri((np.arange(_QUANTILES) + 0.5) / _QUANTILES)
        found = cls.of(np.clip(steps * (sd / float(steps.std())), -1.0, 1.0).tolist())
        return dataclasses.replace(found, n=0, drop=0.0, sd=sd)


def graded_power(
    n: float, drop: float, spread: Spread, *, margin: float = 0.0, level: float = 0.05
) -> float:
    """Chance that a drop is blocked, for graded scores.

    Args:
        n: Samples, or what clusters are worth (`effective_size`).
        drop: True drop of the mean.
        spread: How the differences scatter.
        margin: Drop allowed, in [0, 1).
        level: The comparison's share of alpha.

    Raises:
        SettingError: A setting lies outside its range.
    """
    check_margin("margin", margin)
    check_level("level", level)
    if n < 2.0:
        return 0.0
    return _above(drop - _shows(spread, n, margin, level), n, spread.sd)


def graded_pass_power(
    n: float, drop: float, spread: Spread, *, margin: float, level: float = 0.05
) -> float:
    """Chance that a drop passes, for graded scores.

    Args:
        n: As in `graded_power`.
        drop: True drop of the mean.
        spread: As in `graded_power`.
        margin: Drop allowed, in [0, 1).
        level: Risk of a false pass.

    Raises:
        SettingError: A setting lies outside its range.
    """
    check_margin("margin", margin)
    check_level("level", level)
    if n < 2.0 or margin == 0.0:
        return 0.0
    rows, target = _at(spread, n), np.array([level])

    def p_at(part: Rows, at: Floats, _: Bools) -> Floats:
        """PASS's p of the differences moved alike, guarded by the margin that is asked."""
        return np.asarray(part.tail(at, np.full(at.shape, margin - 1.0), sign=-1.0))

    most = spread.drop + margin - float(invert(rows, target, -1.0, p_at)[0])
    return _above(most - drop, n, spread.sd)


def graded_drop(
    n: float, spread: Spread, *, margin: float = 0.0, level: float = 0.05, power: float = POWER
) -> float | None:
    """Smallest drop that is blocked with the given power, for graded scores.

    Args:
        n: As in `graded_power`.
        spread: As in `graded_power`.
        margin: As in `graded_power`.
        level: As in `graded_power`.
        power: Chance of noticing the drop, in (0, 1).

    Returns:
        The drop, or None where even the loss of everything is noticed less often.

    Raises:
        SettingError: A setting lies outside its range.
    """
    check_margin("margin", margin)
    check_level("level", level)
    check_power(power)
    if n < 2.0:
        return None
    drop = _shows(spread, n, margin, level) + float(ndtri(power)) * spread.sd / math.sqrt(n)
    return round(drop, 4) if drop <= 1.0 else None


def graded_size(
    drop: float,
    spread: Spread,
    *,
    margin: float = 0.0,
    level: float = 0.05,
    power: float = POWER,
) -> int | None:
    """Samples that it takes to block a drop with the given power, for graded scores.

    Args:
        drop: As in `graded_power`.
        spread: As in `graded_power`.
        margin: As in `graded_power`.
        level: As in `graded_power`.
        power: Chance of noticing the drop, in (0, 1).

    Returns:
        Their number, or None where no number does: the drop is allowed.

    Raises:
        SettingError: A setting lies outside its range.
    """
    check_power(power)
    check_margin("margin", margin)
    if drop <= margin:
        return None
    start = normal_size(spread.sd**2, drop - margin, level, power)
    return least_size(
        max(start, 2.0),
        lambda n: graded_power(n, drop, spread, margin=margin, level=level) >= power,
    )


def graded_pass_size(
    spread: Spread,
    *,
    drop: float = 0.0,
    margin: float,
    level: float = 0.05,
    power: float = POWER,
) -> int | None:
    """Samples that it takes to pass with the given power, for graded scores.

    At least ``log(level) / log(1 - margin)``, as of any score: PASS is guarded by the worst value
    that a sample not yet seen could have.

    Args:
        spread: As in `graded_power`.
        drop: True drop of the mean.
        margin: Drop allowed, in [0, 1).
        level: Risk of a false pass: alpha itself, which PASS does not share.
        power: Chance of passing, in (0, 1).

    Returns:
        Their number, or None where no number does: the margin is 0, or the drop at least as large.

    Raises:
        SettingError: A setting lies outside its range.
    """
    check_margin("margin", margin)
    check_level("level", level)
    check_power(power)
    if margin == 0.0 or drop >= margin:
        return None

    start = max(
        math.log(level) / math.log1p(-margin),
        normal_size(spread.sd**2, margin - drop, level, power),
    )
    return least_size(
        max(start, 2.0),
        lambda n: graded_pass_power(n, drop, spread, margin=margin, level=level) >= power,
    )


def spread_of(rows: Rows) -> Floats:
    """Standard deviation of a cluster's weighted difference, in each row."""
    losses, gains = rows.mean_square()
    return np.sqrt(np.maximum((losses + gains) / rows.clusters - rows.mean**2, 0.0))


def typical_move(rows: Rows, otherwise: Floats) -> Floats:
    """``E d^2 / E |d|`` of each row: the size of a difference, the larger ones counting more.

    Args:
        rows: the differences.
        otherwise: what stands where none differs.
    """
    losses, gains = rows.mean_square()
    moved = np.add.reduceat(rows.counts * np.abs(rows.weights * rows.values), rows.starts)
    return np.divide(losses + gains, moved, out=otherwise.copy(), where=moved > 0.0)


def shows(rows: Rows, margin: Floats, size: Floats, level: Floats) -> Floats:
    """Least mean drop seen that blocks, were all differences of a row moved alike.

    Args:
        rows: the differences.
        margin: allowed drop of each row.
        size: the pseudo-sample's.
        level: of each row.
    """
    for _ in range(_PASSES):

        def p_at(part: Rows, at: Floats, keep: Bools, size: Floats = size) -> Floats:
            ends = np.stack([margin[keep] + size[keep], margin[keep] - size[keep]])
            return np.asarray(0.5 * part.tail(at, ends).sum(axis=0))

        found = margin - rows.mean - invert(rows, level, 1.0, p_at)
        largest = np.minimum(found + rows.mean - rows.low, 1.0)  # loss, once moved
        if (largest <= size + 1e-6).all():
            break
        size = np.maximum(size, largest)
    return found


def _shows(spread: Spread, n: float, margin: float, level: float) -> float:
    rows = _at(spread, n)
    return float(shows(rows, np.array([margin]), pseudo_size(rows), np.array([level]))[0])


def _at(spread: Spread, n: float) -> Rows:
    """The differences as n samples would have them: each as often, in proportion."""
    rows = spread.rows
    return dataclasses.replace(
        rows,
        counts=rows.counts * (n / float(rows.clusters[0])),
        clusters=np.array([max(round(n), 2)], dtype=np.int64),
    )


def _above(distance: float, n: float, sd: float) -> float:
    """Chance that a mean that scatters by sd / sqrt(n) is not below one that far beneath it."""
    if sd == 0.0:
        return float(distance >= 0.0)
    return float(ndtr(distance * math.sqrt(n) / sd))
