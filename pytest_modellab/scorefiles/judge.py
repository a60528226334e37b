"""The verdict on two files' samples."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_modellab import gate
from pytest_modellab.errors import ScoreFileError
from pytest_modellab.gate.settings import check_max_missing
from pytest_modellab.scorefiles.matching import Matched


@dataclass(frozen=True)
class Rules:
    """What is allowed.

    Attributes:
        margin: drop of the mean score, in [0, 1).
        bucket_margin: drop of a bucket's mean; the margin where None.
        floor: least mean score of any bucket, or None for no floor.
        alpha: risk of any false block, and of a false pass, in (0, 1).
        max_missing: share of samples that may not match, in [0, 1].
    """

    margin: float = 0.02
    bucket_margin: float | None = None
    floor: float | None = None
    alpha: float = 0.05
    max_missing: float = 0.02


@dataclass(frozen=True)
class FileVerdicts:
    """The verdict with all that led to it.

    Attributes:
        matched: the samples side by side.
        rules: what was allowed.
        drop: the verdict on the drop.
        floor: one comparison a bucket with the floor; empty without one.
    """

    matched: Matched
    rules: Rules
    drop: gate.GateResult
    floor: tuple[gate.Figures, ...]

    @property
    def figures(self) -> tuple[gate.Figures, ...]:
        """Every comparison: pooled, by bucket, with the floor."""
        return (self.drop.pooled, *self.drop.buckets, *self.floor)

    @property
    def verdict(self) -> gate.Verdict:
        """On drop and floor together."""
        return gate.combine(self.figures)


def judge(matched: Matched, rules: Rules) -> FileVerdicts:
    """Judge the drop, as :func:`pytest_modellab.gate.compare` does, and the floor where one is set.

    With a floor each of the two gets half of alpha; a pass needs both, each at the full alpha.

    Args:
        matched: the samples side by side.
        rules: what is allowed.

    Raises:
        ScoreFileError: too many samples do not match, or a rule is out of range.
    """
    try:
        matched.check(check_max_missing(rules.max_missing))
        return _judge(matched, rules)
    except gate.GateInputError as error:
        raise ScoreFileError(str(error)) from error


def _judge(matched: Matched, rules: Rules) -> FileVerdicts:
    share = rules.alpha if rules.floor is None else rules.alpha / 2
    drop = gate.compare(
        matched.baseline,
        matched.candidate,
        matched.buckets,
        matched.clusters,
        rules.margin,
        share,
        bucket_margin=rules.bucket_margin,
        pass_alpha=rules.alpha,
        max_missing=rules.max_missing,
    )
    floor: tuple[gate.Figures, ...] = ()
    if rules.floor is not None:
        floor = gate.floor_family(
            matched.candidate,
            matched.buckets,
            floor=rules.floor,
            clusters=matched.clusters,
            alpha=share,
            pass_alpha=rules.alpha,
            max_missing=1.0,  # checked, over the samples that have a baseline score
        )
    return FileVerdicts(matched, rules, drop, floor)
