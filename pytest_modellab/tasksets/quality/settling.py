"""Which metric settles a change with the fewest samples; pure functions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

from pytest_modellab import gate
from pytest_modellab.records.graded import GRADED

SCORE = "score"
"""The metric that all others are measured by."""


LEAST_Z = 2.0
"""From which on a drop is more than chance."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What one metric shows of a change.

    Attributes:
        metric: ``score``, ``probability`` …
        n: samples that it was measured on.
        drop: mean drop.
        sd: standard deviation of the paired differences.
        margin: drop of its mean that is allowed.
        verdict: what settles it: ``block`` where the drop exceeds the margin, ``pass`` where it is
            less, None where no number of samples does.
        needed: samples that settle it with the power asked for, or None.
        certainty: share of the samples that gives the metric the score's z: ``(z_score / z)²``, or
            None where one of them shows nothing, or they point apart. No margin is in it.
        ratio: ``needed`` as a share of what the score needs, or None where either has none or they
            are settled by different verdicts.
    """

    metric: str
    n: int
    drop: float
    sd: float
    margin: float
    verdict: Literal["block", "pass"] | None
    needed: int | None
    certainty: float | None = None
    ratio: float | None = None

    @property
    def z(self) -> float:
        """The drop in its standard errors."""
        if self.sd == 0.0:
            return 0.0 if self.drop == 0.0 else math.copysign(math.inf, self.drop)
        return self.drop * math.sqrt(self.n) / self.sd


def settle(
    differences: Mapping[str, Mapping[str, float]],
    margins: Mapping[str, float],
    *,
    level: float,
    alpha: float,
    power: float,
) -> tuple[Evidence, ...]:
    """Say of each metric how many samples settle a change that has been measured.

    All are judged on the samples that every one of them tells of, so that they have the same
    change before them. What one metric's drop is in another's is not asked: each has its own.

    Args:
        differences: candidate less base, metric → sample id → difference; the score's among them.
        margins: the drop of the mean that is allowed, metric → drop.
        level: the comparison's share of alpha.
        alpha: the risk of a false pass.
        power: chance of settling it.

    Returns:
        One entry a metric, the score first; nothing where fewer than two samples are shared.

    Raises:
        gate.GateInputError: a setting lies outside its range.
    """
    shared = set.intersection(*(set(values) for values in differences.values()))
    if len(shared) < 2:
        return ()
    found = [
        _evidence(metric, [values[id_] for id_ in values if id_ in shared], margins[metric])
        for metric, values in sorted(differences.items(), key=_place)
    ]
    known = [_with_needed(one, spread, level, alpha, power) for one, spread in found]
    return tuple(
        dataclasses.replace(one, certainty=_certainty(one, known[0]), ratio=_ratio(one, known[0]))
        for one in known
    )


def _place(item: tuple[str, object]) -> tuple[int, str]:
    """The score first, then those that are usual, then others by name."""
    usual = (SCORE, *GRADED)
    return usual.index(item[0]) if item[0] in usual else len(usual), item[0]


def _evidence(metric: str, values: list[float], margin: float) -> tuple[Evidence, gate.Spread]:
    spread = gate.Spread.of(values)
    return Evidence(metric, len(values), spread.drop, spread.sd, margin, None, None), spread


def _with_needed(
    one: Evidence, spread: gate.Spread, level: float, alpha: float, power: float
) -> Evidence:
    margin, drop = one.margin, one.drop
    if drop > margin:
        if spread.binary:
            needed = gate.samples_for(
                drop, churn=spread.churn, margin=margin, level=level, power=power
            )
        else:
            needed = gate.graded_size(drop, spread, margin=margin, level=level, power=power)
        return dataclasses.replace(one, verdict="block" if needed else None, needed=needed)
    needed = gate.graded_pass_size(spread, drop=drop, margin=margin, level=alpha, power=power)
    return dataclasses.replace(one, verdict="pass" if needed else None, needed=needed)


def _certainty(one: Evidence, score: Evidence) -> float | None:
    if min(abs(one.z), abs(score.z)) < LEAST_Z or one.z * score.z < 0 or math.isinf(one.z):
        return None
    return (score.z / one.z) ** 2


def _ratio(one: Evidence, score: Evidence) -> float | None:
    if one.needed is None or score.needed is None or one.verdict != score.verdict:
        return None
    return one.needed / score.needed
