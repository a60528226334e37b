"""A candidate against its baseline: the functions that users call."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from pytest_modellab.gate import validate
from pytest_modellab.gate._judge import figures_of, judge
from pytest_modellab.gate.results import Figures, GateResult, Verdict, combine, combine_verdicts
from pytest_modellab.gate.settings import check_level, check_levels, check_margin
from pytest_modellab.gate.validate import Scores


def decide(
    baseline_scores: Scores,
    candidate_scores: Scores,
    buckets: Iterable[Hashable] | None = None,
    clusters: Iterable[Hashable] | None = None,
    margin: float = 0.0,
    alpha: float = 0.05,
) -> Verdict:
    """The verdict of `compare` alone, several times faster.

    Args:
        baseline_scores: One score in [0, 1] a sample; samples of NaN are left out.
        candidate_scores: The same samples in the same order; NaN where missing.
        buckets: One label a sample, or None.
        clusters: One label a sample, or None for samples independent of each other.
        margin: Mean drop allowed, in [0, 1). With 0 nothing can pass.
        alpha: Risk of a false block, and of a false pass, in (0, 1).

    Returns:
        "block", "pass" or "inconclusive".

    Raises:
        GateInputError: Scores, labels or settings cannot be used.
    """
    margin = check_margin("margin", margin)
    alpha = check_level("alpha", alpha)
    data = validate.paired(baseline_scores, candidate_scores, buckets, clusters, 0.02)
    share = alpha if buckets is None else 0.5 * alpha
    verdicts = judge(data, False, margin, share, alpha, verdicts_only=True).verdicts()
    if buckets is not None and verdicts != ["block"]:
        verdicts += judge(data, True, margin, share, alpha, verdicts_only=True).verdicts()
    return combine_verdicts(verdicts)


def compare(
    baseline_scores: Scores,
    candidate_scores: Scores,
    buckets: Iterable[Hashable] | None = None,
    clusters: Iterable[Hashable] | None = None,
    margin: float = 0.0,
    alpha: float = 0.05,
    *,
    bucket_margin: float | None = None,
    pass_alpha: float | None = None,
    max_missing: float = 0.02,
) -> GateResult:
    """Compare a candidate with its baseline, overall and in every bucket.

    Half of alpha goes to the pooled drop and half to the buckets; without
    buckets all of it to the pooled drop. PASS needs every comparison to pass,
    each at the full pass_alpha (intersection-union; Berger 1982).

    Args:
        baseline_scores: One score in [0, 1] a sample; samples of NaN are left
            out and listed.
        candidate_scores: The same samples in the same order. NaN, a missing
            score, counts as no change for BLOCK and as 0 for PASS.
        buckets: One label a sample, or None.
        clusters: One label a sample, or None for samples independent of each
            other. A label of None is a cluster of its own.
        margin: Mean drop allowed, in [0, 1). With 0 nothing can pass.
        alpha: Risk of a false block, in (0, 1).
        bucket_margin: Mean drop allowed in a bucket; margin unless given.
        pass_alpha: Risk of a false pass, in (0, 1); alpha unless given.
        max_missing: Share of candidate scores that may be missing.

    Returns:
        The verdict and all its figures.

    Raises:
        GateInputError: Scores, labels or settings cannot be used.
    """
    margin = check_margin("margin", margin)
    bucket_margin = (
        margin if bucket_margin is None else check_margin("bucket_margin", bucket_margin)
    )
    alpha, pass_alpha = check_levels(alpha, pass_alpha)
    data = validate.paired(baseline_scores, candidate_scores, buckets, clusters, max_missing)
    share = alpha if buckets is None else 0.5 * alpha
    (pooled,) = figures_of(data, judge(data, False, margin, share, pass_alpha))
    parts: tuple[Figures, ...] = ()
    if buckets is not None:
        parts = figures_of(data, judge(data, True, bucket_margin, share, pass_alpha))
    return GateResult(verdict=combine((pooled, *parts)), pooled=pooled, buckets=parts, alpha=alpha)


def drop(
    baseline_scores: Scores,
    candidate_scores: Scores,
    *,
    clusters: Iterable[Hashable] | None = None,
    margin: float = 0.0,
    alpha: float = 0.05,
    pass_alpha: float | None = None,
    max_missing: float = 0.02,
) -> Figures:
    """One comparison: the mean drop over all samples.

    Args:
        baseline_scores: As in `compare`.
        candidate_scores: As in `compare`.
        clusters: As in `compare`.
        margin: Mean drop allowed, in [0, 1).
        alpha: The share of the risk of a false block that it gets, in (0, 1).
        pass_alpha: Risk of a false pass, in (0, 1); alpha unless given.
        max_missing: Share of candidate scores that may be missing.

    Raises:
        GateInputError: Scores, labels or settings cannot be used.
    """
    margin = check_margin("margin", margin)
    alpha, pass_alpha = check_levels(alpha, pass_alpha)
    data = validate.paired(baseline_scores, candidate_scores, None, clusters, max_missing)
    return figures_of(data, judge(data, False, margin, alpha, pass_alpha))[0]


def drop_family(
    baseline_scores: Scores,
    candidate_scores: Scores,
    buckets: Iterable[Hashable],
    *,
    clusters: Iterable[Hashable] | None = None,
    margin: float = 0.0,
    alpha: float = 0.05,
    pass_alpha: float | None = None,
    max_missing: float = 0.02,
) -> tuple[Figures, ...]:
    """The mean drop in every bucket, corrected for their number.

    At margin 0 by step-down discrete minP (Tarone 1990; Westfall & Wolfinger
    1997), otherwise by Holm (1979). PASS is not corrected.

    Args:
        baseline_scores: As in `compare`.
        candidate_scores: As in `compare`.
        buckets: One label a sample.
        clusters: As in `compare`.
        margin: Mean drop allowed in a bucket, in [0, 1).
        alpha: The family's share of the risk of any false block, in (0, 1).
        pass_alpha: Risk of a false pass, in (0, 1); alpha unless given.
        max_missing: Share of all candidate scores that may be missing.

    Returns:
        One entry a bucket, sorted by name.

    Raises:
        GateInputError: Scores, labels or settings cannot be used.
    """
    margin = check_margin("margin", margin)
    alpha, pass_alpha = check_levels(alpha, pass_alpha)
    data = validate.paired(baseline_scores, candidate_scores, buckets, clusters, max_missing)
    return figures_of(data, judge(data, True, margin, alpha, pass_alpha))
