"""Sequential mode: no sample is asked for once the verdict is certain; the error rates stay.

The samples are dealt into stages once (`cut_stages`). After each stage there is a look: the
p-values of the fixed-size rules, on the samples answered so far, against nominal levels that spend
the risk as the samples come in. A comparison stops where it crosses its boundary for BLOCK or for
PASS, or where no answer to the samples left could change what becomes of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_modellab.gate import validate
from pytest_modellab.gate._looks import TINY, Answers, Design, Walk
from pytest_modellab.gate._stages import LOOKS
from pytest_modellab.gate.compare import drop
from pytest_modellab.gate.errors import EmptyError, LabelError
from pytest_modellab.gate.floor import floor_family
from pytest_modellab.gate.results import Figures, Verdict
from pytest_modellab.gate.settings import check_floor, check_levels, check_margin


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialResult:
    """A comparison that stopped when its verdict was certain.

    Attributes:
        verdict: "block", "pass" or "inconclusive".
        figures: One entry a bucket, at the look that settled it, sorted by name; buckets of
            which no sample had been answered are left out. `level` is the nominal level of that
            look, and `drop_low` a bound that holds at all looks together (Jennison & Turnbull
            1989). So is `drop_high`; `p_adjusted` and `p_pass` are scaled to be compared with
            `alpha` and `pass_alpha`.
        look: The look at which it stopped, from 1.
        looks: How many there would have been.
        used: Samples asked for up to there.
        total: Samples in all.
        certain: True where it stopped because no answer to the samples left could have changed
            the verdict, rather than at a boundary.
    """

    verdict: Verdict
    figures: tuple[Figures, ...]
    look: int
    looks: int
    used: int
    total: int
    certain: bool

    @property
    def saved(self) -> int:
        """Samples that need not be asked."""
        return self.total - self.used

    def explain(self) -> str:
        """What was asked and what was saved, in one sentence."""
        if not self.saved:
            return f"all {self.total} samples were needed"
        text = (
            f"stopped at look {self.look} of {self.looks}, after {self.used} of {self.total} "
            f"samples ({self.saved} saved, {self.saved / self.total:.0%})"
        )
        return f"{text}: the others could not change the verdict" if self.certain else text


def sequential_drop(
    baseline_scores: npt.ArrayLike,
    candidate_scores: Answers,
    *,
    clusters: Iterable[Hashable] | None = None,
    margin: float = 0.0,
    alpha: float = 0.05,
    pass_alpha: float | None = None,
    max_missing: float = 0.02,
    looks: int = LOOKS,
    stages: npt.ArrayLike | None = None,
) -> SequentialResult:
    """`drop`, one look after another.

    At margin 0 nothing can pass, so an unchanged candidate saves next to nothing.

    Args:
        baseline_scores: One score in [0, 1] a sample; samples of NaN are left out and listed.
        candidate_scores: The same samples in the same order, NaN where missing; or a function
            that is given k and returns such scores, of which only those of the first k stages
            are read.
        clusters: One label a sample, or None. A cluster must lie within one stage.
        margin: Mean drop allowed, in [0, 1).
        alpha: Risk of a false block over all looks, in (0, 1).
        pass_alpha: Risk of a false pass over all looks; alpha unless given.
        max_missing: Share of all candidate scores that may be missing.
        looks: Stages to deal the samples into where none are given.
        stages: The stage of each sample, from 0, as `cut_stages` deals them.

    Returns:
        The verdict, the figures behind it, and what was saved.

    Raises:
        GateInputError: Scores, labels or settings cannot be used.
    """
    return sequential_family(
        baseline_scores,
        candidate_scores,
        None,
        clusters=clusters,
        margin=margin,
        alpha=alpha,
        pass_alpha=pass_alpha,
        max_missing=max_missing,
        looks=looks,
        stages=stages,
    )


def sequential_family(
    baseline_scores: npt.ArrayLike,
    candidate_scores: Answers,
    buckets: Iterable[Hashable] | None,
    *,
    only: str | None = None,
    clusters: Iterable[Hashable] | None = None,
    margin: float = 0.0,
    alpha: float = 0.05,
    pass_alpha: float | None = None,
    max_missing: float = 0.02,
    looks: int = LOOKS,
    stages: npt.ArrayLike | None = None,
) -> SequentialResult:
    """`drop_family`, one look after another.

    BLOCK is corrected by the group sequential Holm procedure (Ye, Li, Liu & Yao 2013; Maurer &
    Bretz 2013): each bucket has boundaries of its own, for its own share of alpha and its own
    numbers of samples; the share of a blocked bucket goes to the others from that look on. The
    family stops at the first block. PASS is not corrected, as every bucket must pass. At margin 0
    this is Holm too, not the discrete minP of the fixed size: the numbers of changed samples that
    minP would condition on are not known before the last look.

    Args:
        baseline_scores: As in `sequential_drop`.
        candidate_scores: As in `sequential_drop`.
        buckets: One label a sample, or None for one bucket called "all".
        only: Stop when this bucket is settled, and report it alone; the others count for the
            correction.
        clusters: As in `sequential_drop`.
        margin: Mean drop allowed in a bucket, in [0, 1).
        alpha: The family's risk of any false block over all looks, in (0, 1).
        pass_alpha: As in `sequential_drop`.
        max_missing: As in `sequential_drop`.
        looks: As in `sequential_drop`.
        stages: As in `sequential_drop`.

    Raises:
        GateInputError: Scores, labels or settings cannot be used.
    """
    margin = check_margin("margin", margin)
    validate.aligned(
        baseline_scores=baseline_scores,
        candidate_scores=candidate_scores,
        buckets=buckets,
        clusters=clusters,
        stages=stages,
    )
    baseline = validate.scores("baseline_scores", baseline_scores)
    if baseline.size and np.isnan(baseline).all():
        raise EmptyError(
            f"there are no samples to compare: all {baseline.size} baseline scores are missing; "
            "record the baseline again"
        )
    design = Design.make(baseline, buckets, clusters, stages, looks, margin=margin)
    return _conclude(design, candidate_scores, alpha, pass_alpha, max_missing, only)


def sequential_floor(
    scores: Answers,
    buckets: Iterable[Hashable],
    *,
    floor: float,
    clusters: Iterable[Hashable] | None = None,
    alpha: float = 0.05,
    pass_alpha: float | None = None,
    max_missing: float = 0.02,
    looks: int = LOOKS,
    stages: npt.ArrayLike | None = None,
) -> SequentialResult:
    """`floor_family`, one look after another; corrected as in `sequential_family`.

    Args:
        scores: The candidate's scores, or a function of the number of stages answered.
        buckets: One label a sample.
        floor: Least mean score of a bucket, in [0, 1).
        clusters: As in `sequential_drop`.
        alpha: Risk of any false block over all looks, in (0, 1).
        pass_alpha: As in `sequential_drop`.
        max_missing: As in `sequential_drop`.
        looks: As in `sequential_drop`.
        stages: As in `sequential_drop`.

    Raises:
        GateInputError: Scores, labels or settings cannot be used.
    """
    floor = check_floor(floor)
    validate.aligned(scores=scores, buckets=buckets, clusters=clusters, stages=stages)
    labels = list(buckets)
    level = np.full(len(labels), floor)
    design = Design.make(level, labels, clusters, stages, looks, floor=floor)
    return _conclude(design, scores, alpha, pass_alpha, max_missing, None)


def _conclude(
    design: Design,
    answers: Answers,
    alpha: float,
    pass_alpha: float | None,
    max_missing: float,
    only: str | None,
) -> SequentialResult:
    alpha, pass_alpha = check_levels(alpha, pass_alpha)
    if only is not None and only not in design.names:
        raise LabelError(
            f"only is {only!r}, which no sample is labelled with: the buckets are "
            f"{', '.join(design.names)}"
        )
    walk = Walk(design, alpha, pass_alpha)
    wanted = None if only is None else design.names.index(only)
    verdict = walk.run(answers, max_missing, wanted)
    rows = range(len(design.names)) if wanted is None else [wanted]
    settled = [walk.settled[row] for row in rows if row in walk.settled]
    return SequentialResult(
        verdict=verdict,
        figures=tuple(
            found for row in rows if (found := _figures(walk, row, pass_alpha)) is not None
        ),
        look=walk.at,
        looks=design.looks,
        used=int(np.count_nonzero(design.stages < walk.at)),
        total=design.reference.size,
        certain=all(one.certain for one in settled if one.verdict == verdict),
    )


def _figures(walk: Walk, row: int, pass_alpha: float) -> Figures | None:
    """A row's figures at the look that settled it, at the last one taken where it is open."""
    design = walk.design
    end = walk.settled.get(row)
    at = walk.at if end is None else end.look
    level = max(walk.level(row, at) if end is None else end.level, TINY)
    pass_level = max(walk.pass_level(row, at), TINY)
    index = np.flatnonzero((design.stages < at) & (design.buckets == row))
    if np.isnan(design.reference[index]).all():
        return None

    def judge(level: float, pass_level: float) -> Figures:
        clusters = None if design.labels is None else design.labels[index].tolist()
        if design.floor is not None:
            return floor_family(
                walk.scores[index],
                None,
                floor=design.floor,
                clusters=clusters,
                alpha=level,
                pass_alpha=pass_level,
                max_missing=1.0,
            )[0]
        return drop(
            design.reference[index],
            walk.scores[index],
            clusters=clusters,
            margin=design.margin,
            alpha=level,
            pass_alpha=pass_level,
            max_missing=1.0,
        )

    found = judge(level, pass_level)
    verdict: Verdict = "inconclusive" if end is None else end.verdict
    planned = found
    if verdict == "inconclusive" and at < design.looks:
        planned = judge(walk.level(row, design.looks), walk.pass_level(row, design.looks))
    return dataclasses.replace(
        found,
        name=design.names[row],
        verdict=verdict,
        alpha=walk.alpha,
        pass_alpha=pass_alpha,
        p_adjusted=min(1.0, found.p_block * walk.alpha / level),
        p_pass=min(1.0, found.p_pass * pass_alpha / pass_level),
        mde=planned.mde,
        samples_needed=planned.samples_needed if verdict == "inconclusive" else None,
        dropped=tuple(int(index[i]) for i in found.dropped),
        missing=tuple(int(index[i]) for i in found.missing),
    )
