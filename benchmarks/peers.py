"""What other rules say of the same scores, many comparisons at once.

Every rule is one-sided at `ALPHA` and judges rows of paired scores. A rule with an interval passes
where its upper bound on the drop lies below the margin; a rule that only knows blocked or not
passes what it does not block. A comparison against NaN is neither.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, ndtr, ndtri

from benchmarks.populations import ALPHA, Floats

Bools = npt.NDArray[np.bool_]
Verdicts = tuple[Bools, Bools]  # blocked, passed

RESAMPLES = 999

LM_EVAL = "lm-eval z"
PERCENTILE = "percentile bootstrap"
BCA = "BCa bootstrap"
MCNEMAR = "McNemar + tolerance"
LOWER = "score < baseline"
STDERR = "baseline - stderr"
BUCKET = "any bucket -.05"
RULES = (LM_EVAL, PERCENTILE, BCA, MCNEMAR, LOWER, STDERR, BUCKET)
NOTES = f"""The other columns are other rules on the same scores, one-sided at {ALPHA}; a level is
the largest rate of the populations. With buckets: any bucket, uncorrected (for a pass all buckets)
/ all samples as one. None of them knows clusters.

- {LM_EVAL}: lm-evaluation-harness' standard errors of the two means, combined as its
  model_comparator.py does: unpaired.
- {PERCENTILE}, {BCA}: of the paired mean difference, as in scipy.stats.bootstrap, with
  {RESAMPLES} resamples. Where all differences are equal BCa is NaN, counted as neither block nor
  pass.
- {MCNEMAR}: block where the exact one-sided McNemar test is significant and the drop seen
  exceeds the margin. Right-or-wrong scores only.
- {LOWER}: block where the mean fell by more than the margin.
- {STDERR}: block where it fell by more than the margin and the baseline's standard error.
- {BUCKET}: block where a bucket fell by at least 5 points more than the margin.

The last four know no inconclusive: what they do not block, they pass."""
_TIE = 1e-9  # drops are sums of rounded differences


def judge(
    before: Floats, after: Floats, margin: float, rng: np.random.Generator
) -> dict[str, Verdicts]:
    """The verdicts of every rule that applies, on rows of samples."""
    d = after - before
    drop = -d.mean(axis=1)
    error = mean_stderr(before)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (drop - margin) / np.hypot(error, mean_stderr(after))
    critical = ndtri(1.0 - ALPHA)
    means = resampled_means(d, rng)
    out = {
        LM_EVAL: (z >= critical, z <= -critical),
        PERCENTILE: _by_bounds(*percentile_bounds(means), margin),
        BCA: _by_bounds(*bca_bounds(d, means), margin),
        LOWER: _or_pass(drop > margin + _TIE),
        STDERR: _or_pass(drop > margin + error + _TIE),
    }
    if np.array_equal(d, np.rint(d)):
        losses, gains = (d < 0.0).sum(axis=1), (d > 0.0).sum(axis=1)
        significant = mcnemar_p(losses, gains) <= ALPHA
        out[MCNEMAR] = _or_pass(significant & (drop > margin + _TIE))
    return out


def bucket_drops(before: Floats, after: Floats, margin: float) -> Verdicts:
    """Block where any bucket's mean is 5 points further down than allowed.

    Args:
        before: Baseline scores, shape (rows, buckets, samples).
        after: Candidate scores, the same shape.
        margin: The drop allowed.
    """
    drops = (before - after).mean(axis=2)
    return _or_pass((drops >= margin + 0.05 - _TIE).any(axis=1))


def mean_stderr(scores: Floats) -> Floats:
    """The standard error that lm-evaluation-harness reports for a mean, of each row.

    ``sample_stddev / sqrt(n)`` with n - 1 in the deviation (lm_eval/api/metrics.py, 0.4.13). Its
    scripts/model_comparator.py combines two as ``sqrt(se1^2 + se2^2)`` for a z-test.
    """
    return np.asarray(scores.std(axis=1, ddof=1) / np.sqrt(scores.shape[1]))


def mcnemar_p(losses: npt.NDArray[np.int64], gains: npt.NDArray[np.int64]) -> Floats:
    """Exact one-sided McNemar; `statsmodels.stats.contingency_tables.mcnemar` is two-sided."""
    return np.asarray(bdtr(gains, losses + gains, 0.5))


def resampled_means(d: Floats, rng: np.random.Generator) -> Floats:
    """Sorted bootstrap means of each row; the rows share one set of resamples."""
    n = d.shape[1]
    weights = rng.multinomial(n, np.full(n, 1.0 / n), size=RESAMPLES).astype(np.float64)
    return np.sort(np.round(d @ weights.T / n, 12), axis=1)


def percentile_bounds(means: Floats) -> tuple[Floats, Floats]:
    """Bounds of the percentile bootstrap, as in `scipy.stats.bootstrap`."""
    size = means.shape[0]
    return _quantile(means, np.full(size, ALPHA)), _quantile(means, np.full(size, 1.0 - ALPHA))


def bca_bounds(d: Floats, means: Floats) -> tuple[Floats, Floats]:
    """Bounds of the bias-corrected and accelerated bootstrap, as in `scipy.stats.bootstrap`.

    Efron & Tibshirani (1993), eqs. 14.10, 14.14 and 14.15; for a mean the jackknife is the
    deviations themselves. NaN where all differences are equal, as there.
    """
    mean = np.round(d.mean(axis=1, keepdims=True), 12)
    away = np.round(d - mean, 12)
    below = 0.5 * ((means < mean).mean(axis=1) + (means <= mean).mean(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        acceleration = (away**3).sum(axis=1) / (6.0 * (away**2).sum(axis=1) ** 1.5)
        bias = ndtri(below)
        low, high = bias + ndtri(ALPHA), bias + ndtri(1.0 - ALPHA)
        levels = [ndtr(bias + z / (1.0 - acceleration * z)) for z in (low, high)]
    return _quantile(means, levels[0]), _quantile(means, levels[1])


def _quantile(means: Floats, level: Floats) -> Floats:
    """Linear interpolation in sorted rows; NaN where the level is."""
    at = level * (means.shape[1] - 1)
    index = np.clip(np.nan_to_num(at).astype(np.int64), 0, means.shape[1] - 2)
    row = np.arange(means.shape[0])
    low, high = means[row, index], means[row, index + 1]
    return np.asarray(low + (at - index) * (high - low))


def _by_bounds(low: Floats, high: Floats, margin: float) -> Verdicts:
    """Verdicts from bounds on the mean difference."""
    return high < -margin - _TIE, low > -margin + _TIE


def _or_pass(blocked: Bools) -> Verdicts:
    return blocked, ~blocked
