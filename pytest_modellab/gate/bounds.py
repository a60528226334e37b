"""One-sided bounds, by themselves."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from pytest_modellab.gate import validate
from pytest_modellab.gate._saddlepoint import Floats
from pytest_modellab.gate.compare import drop
from pytest_modellab.gate.floor import floor_family
from pytest_modellab.gate.settings import check_confidence
from pytest_modellab.gate.validate import Scores


def drop_bounds(
    baseline_scores: Scores,
    candidate_scores: Scores,
    *,
    confidence: float = 0.95,
    clusters: Iterable[Hashable] | None = None,
    max_missing: float = 0.02,
) -> tuple[float, float]:
    """Lower and upper bound on the mean drop, each one-sided at the confidence.

    They are the margins at which the p-values of BLOCK and of PASS reach
    1 - confidence: a drop is shown to lie above the first, or below the second.

    Args:
        baseline_scores: As in `compare`.
        candidate_scores: As in `compare`; missing scores count as no drop in the
            lower bound and as 0 in the upper.
        confidence: Of either bound, in (0, 1).
        clusters: As in `compare`.
        max_missing: Share of candidate scores that may be missing.

    Raises:
        GateInputError: Scores, labels or settings cannot be used.
    """
    confidence = check_confidence(confidence)
    found = drop(
        baseline_scores,
        candidate_scores,
        clusters=clusters,
        alpha=1.0 - confidence,
        max_missing=max_missing,
    )
    return found.drop_low, found.drop_high


def score_bounds(
    scores: Scores,
    *,
    confidence: float = 0.95,
    clusters: Iterable[Hashable] | None = None,
) -> tuple[float, float]:
    """Lower and upper bound on a mean score, each one-sided at the confidence.

    The guarded bound of `floor_family` (Gaffke), and its mirror image; for
    right-or-wrong scores both are those of Clopper & Pearson (1934).

    Args:
        scores: One score in [0, 1] a sample; missing ones count as 0 in the
            lower bound and as 1 in the upper.
        confidence: Of either bound, in (0, 1).
        clusters: One label a sample, or None.

    Raises:
        GateInputError: Scores, labels or settings cannot be used.
    """
    level = 1.0 - check_confidence(confidence)
    validate.aligned(scores=scores, clusters=clusters)
    values = validate.scores("scores", scores)
    groups = validate.cluster_codes(clusters, values.size)

    def least(values: Floats) -> float:
        (found,) = floor_family(
            values, None, floor=0.5, clusters=groups, pass_alpha=level, max_missing=1.0
        )
        return found.score_low or 0.0

    return least(values), 1.0 - least(1.0 - values)
