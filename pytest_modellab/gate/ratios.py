"""Latency and cost as a multiple of a reference's, against a limit on that multiple."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from pytest_modellab.gate import validate
from pytest_modellab.gate._saddlepoint import Floats
from pytest_modellab.gate.errors import MeasurementError
from pytest_modellab.gate.planner import POWER, confirm, normal_size
from pytest_modellab.gate.results import Verdict, chance_words, confidence_words, risk_words
from pytest_modellab.gate.settings import check_levels, check_limit
from pytest_modellab.gate.validate import Scores

LEAST = 5
"""Rounds, samples or clusters below which there is no verdict."""


Unit = Literal["rounds", "samples", "clusters"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RatioResult:
    """A candidate's time or cost as a multiple of its reference's.

    Attributes:
        name: "latency" or "cost", or what a caller calls it.
        n: What the test counts: rounds, samples or clusters.
        unit: Which of them.
        candidate: The candidate's mean; geometric for latency. In the unit of
            the input (seconds, dollars, tokens).
        reference: The same of the reference.
        candidate_p95: 95th percentile of the single measurements; reported, not gated.
        reference_p95: The same of the reference.
        ratio: candidate / reference.
        ratio_low: One-sided lower bound on the ratio, at `alpha`. It is at
            least the limit exactly where the comparison blocks. None where
            there is none.
        ratio_high: One-sided upper bound, at `pass_alpha`, or None.
        limit: The largest ratio allowed.
        p_block: Chance of a ratio this large had the true one been the limit.
        p_pass: Chance of a ratio this small had the true one been the limit.
        alpha: The risk of a false block.
        pass_alpha: The risk of a false pass.
        verdict: "block", "pass" or "inconclusive".
        reason: Why nothing could be tested, or None.
        mde: Smallest ratio that would be blocked with power 0.8 at this n and
            scatter, or None.
        needed: How many rounds, samples or clusters in all would settle an
            inconclusive comparison with power 0.8 if the ratio seen is the
            true one, or None.
    """

    name: str
    n: int
    unit: Unit
    candidate: float
    reference: float
    candidate_p95: float
    reference_p95: float
    ratio: float
    ratio_low: float | None
    ratio_high: float | None
    limit: float
    p_block: float
    p_pass: float
    alpha: float
    pass_alpha: float
    verdict: Verdict
    reason: str | None
    mde: float | None
    needed: int | None

    def explain(self) -> str:
        """One sentence for someone who is no statistician."""
        seen = (
            f"{self.name} is {self.ratio:.3g} times the reference's ({self.n} {self.unit}; "
            f"{self.reference:.3g} -> {self.candidate:.3g}, 95th percentile "
            f"{self.reference_p95:.3g} -> {self.candidate_p95:.3g})"
        )
        if self.verdict == "block":
            return (
                f"blocked: {seen}; a ratio this far above the allowed {self.limit:.3g} happens by "
                f"chance in {chance_words(self.p_block)}; the allowed risk here is "
                f"{risk_words(self.alpha)}"
            )
        if self.verdict == "pass":
            return (
                f"passed: {seen}; with {confidence_words(self.pass_alpha)} confidence it is "
                f"at most {self.ratio_high or 0.0:.4g}, and {self.limit:.3g} is allowed"
            )
        if self.reason is not None:
            return f"undecided: {seen}; {self.reason}"
        settled = f"; about {self.needed} {self.unit} would settle it" if self.needed else ""
        return (
            f"undecided: {seen}; with this many {self.unit} a ratio of {self.mde:.3g} is noticed "
            f"in 4 of 5 runs{settled}"
        )

    def __repr__(self) -> str:
        return (
            f"<{self.verdict}: {self.name} {self.ratio:.3g} x the reference's, limit "
            f"{self.limit:.3g}, n = {self.n} {self.unit}, p = {self.p_block:.2g} "
            f"(allowed {self.alpha:.2g})>"
        )


def latency_ratio(
    candidate_seconds: Scores,
    reference_seconds: Scores,
    *,
    limit: float,
    alpha: float = 0.05,
    pass_alpha: float | None = None,
) -> RatioResult:
    """Whether a candidate is slower than allowed.

    The reference is measured again beside the candidate, round by round on the
    same prompts, so that whatever slows the machine down slows both. With
    ``y = log(candidate / reference)`` of each prompt, averaged over a round, the
    rounds are the units of a one-sided t test (Student 1908) against
    ``log(limit)``.

    Args:
        candidate_seconds: Seconds above 0, of shape (rounds, prompts).
        reference_seconds: The same prompts in the same rounds.
        limit: The largest ratio allowed, above 0; 1.2 for a fifth slower.
        alpha: Risk of a false block, in (0, 1).
        pass_alpha: Risk of a false pass, in (0, 1); alpha unless given.

    Returns:
        The figures; inconclusive below five rounds and where the rounds do not differ.

    Raises:
        GateInputError: Measurements or settings cannot be used.
    """
    axes = ("round", "prompt")
    candidate = validate.measurements("candidate_seconds", candidate_seconds, axes, above_zero=True)
    reference = validate.measurements("reference_seconds", reference_seconds, axes, above_zero=True)
    validate.same_shape("candidate_seconds", candidate, "reference_seconds", reference)
    limit = check_limit(limit)
    logs = np.log(candidate / reference).mean(axis=1)

    def bound(t: float) -> float:
        return math.exp(logs.mean() + t * logs.std(ddof=1) / math.sqrt(logs.size))

    return _result(
        name="latency",
        unit="rounds",
        measured=(candidate, reference),
        means=(math.exp(np.log(candidate).mean()), math.exp(np.log(reference).mean())),
        x=logs - math.log(limit),
        bound=bound,
        noticed=lambda x: limit * math.exp(x),
        limit=limit,
        alpha=alpha,
        pass_alpha=pass_alpha,
    )


def cost_ratio(
    candidate_costs: Scores,
    reference_costs: Scores,
    *,
    limit: float,
    alpha: float = 0.05,
    pass_alpha: float | None = None,
    clusters: Iterable[Hashable] | None = None,
) -> RatioResult:
    """Whether a candidate costs more (money, tokens) than allowed.

    One-sided t test on ``candidate_i - limit * reference_i``, over samples or
    over the clusters' sums. The bounds on the ratio of the means invert it:
    Fieller (1954), Journal of the Royal Statistical Society B 16:175.

    Args:
        candidate_costs: Cost of each sample, at least 0, in any unit.
        reference_costs: The same samples in the same order.
        limit: The largest ratio of the mean costs allowed, above 0.
        alpha: Risk of a false block, in (0, 1).
        pass_alpha: Risk of a false pass, in (0, 1); alpha unless given.
        clusters: One label a sample, or None.

    Returns:
        The figures; inconclusive below five samples or clusters, and where they do not differ.

    Raises:
        GateInputError: Costs, labels or settings cannot be used.
    """
    validate.aligned(
        candidate_costs=candidate_costs, reference_costs=reference_costs, clusters=clusters
    )
    candidate = validate.measurements("candidate_costs", candidate_costs, ("sample",))
    reference = validate.measurements("reference_costs", reference_costs, ("sample",))
    validate.same_shape("candidate_costs", candidate, "reference_costs", reference)
    groups = validate.cluster_codes(clusters, candidate.size)
    limit = check_limit(limit)
    if not reference.any():
        raise MeasurementError(
            "reference_costs are all 0: there is no ratio to them; compare the costs with a limit"
        )
    c, r = candidate, reference
    if groups is not None:
        _, codes = np.unique(groups, return_inverse=True)
        c, r = (np.bincount(codes, weights=one).astype(np.float64) for one in (c, r))

    def bound(t: float) -> float | None:
        """The ratio at which ``mean(c - ratio r)`` lies t standard errors from 0 (Fieller)."""
        (cc, cr), (_, rr) = np.cov(c, r) * (t * t / c.size)
        a, b = r.mean() ** 2 - rr, c.mean() * r.mean() - cr
        if a <= 0.0:
            return None
        root = math.sqrt(max(b * b - a * (c.mean() ** 2 - cc), 0.0))
        return float((b + math.copysign(root, t)) / a)

    return _result(
        name="cost",
        unit="samples" if groups is None else "clusters",
        measured=(candidate, reference),
        means=(float(candidate.mean()), float(reference.mean())),
        x=c - limit * r,
        bound=bound,
        noticed=lambda x: limit + x / float(r.mean()),
        limit=limit,
        alpha=alpha,
        pass_alpha=pass_alpha,
    )


def _result(
    *,
    name: Literal["latency", "cost"],
    unit: Unit,
    measured: tuple[Floats, Floats],
    means: tuple[float, float],
    x: Floats,
    bound: Callable[[float], float | None],
    noticed: Callable[[float], float],
    limit: float,
    alpha: float,
    pass_alpha: float | None,
) -> RatioResult:
    """One-sided t tests of a mean of 0.

    Args:
        name: What is compared.
        unit: What `x` counts.
        measured: The candidate's and the reference's measurements.
        means: Their means.
        x: One value a unit, 0 on average at the limit.
        bound: The ratio at a distance of t standard errors from the one seen.
        noticed: The ratio at a distance from the limit, on the scale of `x`.
        limit: As in `latency_ratio`.
        alpha: As in `latency_ratio`.
        pass_alpha: As in `latency_ratio`.
    """
    alpha, pass_alpha = check_levels(alpha, pass_alpha)
    n, df = x.size, x.size - 1
    p_block = p_pass = 1.0
    low = high = mde = reason = None
    verdict: Verdict = "inconclusive"
    needed: int | None = None
    if n < LEAST:
        reason, needed = f"a verdict needs at least {LEAST} {unit}", LEAST
    elif np.ptp(x) <= 1e-12 * np.abs(x).max():
        reason = f"the {unit} do not scatter, so that there is nothing to judge chance by"
    else:
        low = bound(-float(stdtrit(df, 1.0 - alpha)))
        high = bound(float(stdtrit(df, 1.0 - pass_alpha)))
        if low is None or high is None:
            reason = "the reference scatters so much that its mean cannot be told from 0"
    if reason is None:
        mean, deviation = float(x.mean()), float(x.std(ddof=1))
        t = mean / deviation * math.sqrt(n)
        p_block, p_pass = float(stdtr(df, -t)), float(stdtr(df, t))
        quantiles = float(stdtrit(df, 1.0 - alpha) + stdtrit(df, POWER))
        mde = noticed(quantiles * deviation / math.sqrt(n))
        if p_block <= alpha:
            verdict = "block"
        elif p_pass <= pass_alpha:
            verdict = "pass"
        else:
            size = normal_size(deviation**2, mean, alpha if mean > 0.0 else pass_alpha)
            needed = confirm(max(size, n + 1.0), None)
    return RatioResult(
        name=name,
        n=n,
        unit=unit,
        candidate=means[0],
        reference=means[1],
        candidate_p95=float(np.quantile(measured[0], 0.95)),
        reference_p95=float(np.quantile(measured[1], 0.95)),
        ratio=means[0] / means[1],
        ratio_low=low,
        ratio_high=high,
        limit=limit,
        p_block=p_block,
        p_pass=p_pass,
        alpha=alpha,
        pass_alpha=pass_alpha,
        verdict=verdict,
        reason=reason,
        mde=mde,
        needed=needed,
    )
