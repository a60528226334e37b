"""What the gate hands back: built-in types only, so that it can be stored and sent anywhere."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pytest_modellab.gate.errors import EmptyError

Verdict = Literal["block", "pass", "inconclusive"]


POOLED = "all"
"""Names the comparison of all samples."""


UNBOUNDED = 1e300
"""Stands for an upper bound of a divergence where there is none; built-in JSON has no infinity."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Figures:
    """One comparison of a candidate with its baseline, or with a floor.

    Attributes:
        name: The bucket, or "all" for the comparison of all samples.
        n: Samples compared, those with a missing candidate score included.
        clusters: Clusters among them; n where no clusters are declared.
        baseline: Mean baseline score; None against a floor, and of a distance from the base, whose
            `candidate` and `drop` are the distance and whose `margin` is its limit.
        candidate: Mean candidate score. A missing score counts as the
            baseline's; against a floor it is left out.
        drop: baseline - candidate; against a floor, floor - candidate.
        drop_low: One-sided lower bound on the drop, at `level`. It is at least
            the margin exactly where the comparison blocks.
        drop_high: One-sided upper bound on the drop, at `pass_alpha`; missing
            candidate scores count as 0 here.
        losses: Samples that got worse (against a floor: that lie below it).
        gains: Samples that got better (against a floor: that lie above it).
        margin: The drop allowed; 0 against a floor.
        floor: The least mean score, or None.
        p_block: Chance of a drop this large had the candidate been as bad as
            allowed and no worse; of a drop exactly as large it counts half (mid-p).
        p_adjusted: p_block after the correction for the number of buckets.
        p_pass: Chance of a drop this small had it been as large as the margin.
        alpha: The risk of a false block that this comparison's family gets.
        level: The part of alpha left to this comparison: it blocks where
            p_block is at most the level.
        pass_alpha: The risk of a false pass.
        verdict: "block", "pass" or "inconclusive".
        mde: Smallest drop that would be blocked with power 0.8 at this number
            of samples; None where no drop would be.
        samples_needed: How many samples in all would settle an inconclusive
            comparison with power 0.8 if the drop seen is the true one. None
            where it is settled, or no number would settle it.
        dropped: Indices of samples left out for want of a baseline score.
        missing: Indices of samples without a candidate score.
        score_low: One-sided lower bound on the mean score at `pass_alpha`;
            against a floor only.
        score_high: One-sided upper bound on the mean score at `level`; against
            a floor only.
    """

    name: str
    n: int
    clusters: int
    baseline: float | None
    candidate: float
    drop: float
    drop_low: float
    drop_high: float
    losses: int
    gains: int
    margin: float
    floor: float | None
    p_block: float
    p_adjusted: float
    p_pass: float
    alpha: float
    level: float
    pass_alpha: float
    verdict: Verdict
    mde: float | None
    samples_needed: int | None
    dropped: tuple[int, ...]
    missing: tuple[int, ...]
    score_low: float | None = None
    score_high: float | None = None

    @property
    def label(self) -> str:
        """What was compared, as a sentence names it."""
        return "the mean score" if self.name == POOLED else self.name

    @property
    def more(self) -> int | None:
        """How many samples beside those compared would settle it; None as `samples_needed`."""
        return None if self.samples_needed is None else self.samples_needed - self.n

    @property
    def distance(self) -> bool:
        """True of a distance from the base: in nats, at least 0, lower is better."""
        return self.floor is None and self.baseline is None

    def explain(self) -> str:
        """One or two sentences for someone who is no statistician."""
        if self.distance:
            text = self._explain_distance()
        else:
            text = self._explain_floor() if self.floor is not None else self._explain_drop()
        notes = []
        if self.missing:
            words = "score is" if len(self.missing) == 1 else "scores are"
            notes.append(f"{len(self.missing)} candidate {words} missing")
        if self.dropped:
            words = "sample" if len(self.dropped) == 1 else "samples"
            notes.append(f"{len(self.dropped)} {words} without a baseline score left out")
        return f"{text} ({'; '.join(notes)})" if notes else text

    def brief(self) -> str:
        """The figures behind the verdict in a few words."""
        if self.distance:
            seen = f"{self.name} {self.candidate:.3g}"
            bound = f"at most {self.drop_high:.3g} (allowed {self.margin:.3g})"
        elif self.floor is None:
            seen = f"{self.name} {self.baseline:.2f} -> {self.candidate:.2f}"
            bound = f"drop at most {max(self.drop_high, 0.0):.3f} (allowed {self.margin:.3g})"
        else:
            seen = f"{self.name} {self.candidate:.2f}"
            bound = f"mean at least {self.score_low:.3f} (floor {self.floor:.3g})"
        if self.verdict != "pass":
            bound = f"p = {self.p_block:.2g} (allowed {self.level:.2g})"
        return f"{seen}, {self._size()}, {bound}"

    def __repr__(self) -> str:
        return f"<{self.verdict}: {self.brief()}>"

    def _explain_drop(self) -> str:
        seen = f"{self.label} {_moved(self.baseline or 0.0, self.candidate)} ({self._size()})"
        if self.verdict == "block":
            beyond = f" beyond the allowed {self.margin:.3g}" if self.margin > 0.0 else ""
            return (
                f"blocked: {seen}; a drop this large{beyond} happens by chance in "
                f"{chance_words(self.p_block)}; the allowed risk here is {risk_words(self.level)}"
            )
        if self.verdict == "pass":
            return (
                f"passed: {seen}; with {confidence_words(self.pass_alpha)} confidence the drop "
                f"is at most {max(self.drop_high, 0.0):.3f}, and {self.margin:.3g} is allowed"
            )
        return f"undecided: {seen}; {self._limits('drop of')}"

    def _explain_floor(self) -> str:
        seen = (
            f"{self.label} {'is' if self.name == POOLED else 'scores'} {self.candidate:.2f} "
            f"({self._size()})"
        )
        if self.verdict == "block":
            return (
                f"blocked: {seen}, below the floor of {self.floor:.3g}; a mean this low happens by "
                f"chance in {chance_words(self.p_block)} of a model at the floor; the allowed "
                f"risk here is {risk_words(self.level)}"
            )
        if self.verdict == "pass":
            return (
                f"passed: {seen}; with {confidence_words(self.pass_alpha)} confidence the mean "
                f"score is at least {self.score_low or 0.0:.3f}, above the floor of "
                f"{self.floor:.3g}"
            )
        return (
            f"undecided: {seen}, the floor is {self.floor:.3g}; {self._limits('mean below it by')}"
        )

    def _explain_distance(self) -> str:
        seen = f"{self.name} is {self.candidate:.3g} nats a token ({self._size()})"
        if self.verdict == "block":
            return (
                f"blocked: {seen}, and {self.margin:.3g} is allowed; a mean this high happens by "
                f"chance in {chance_words(self.p_block)} of a model at the limit; the allowed risk "
                f"here is {risk_words(self.level)}"
            )
        if self.verdict == "pass":
            return (
                f"passed: {seen}; with {confidence_words(self.pass_alpha)} confidence it is at "
                f"most {self.drop_high:.3g}, and {self.margin:.3g} is allowed"
            )
        return f"undecided: {seen}, {self.margin:.3g} is allowed; {self._limits_of_distance()}"

    def _size(self) -> str:
        if self.clusters == self.n:
            return f"n = {self.n}"
        words = "cluster" if self.clusters == 1 else "clusters"
        return f"n = {self.n} in {self.clusters} {words}"

    def _limits_of_distance(self) -> str:
        if self.mde is None:
            return "one sample or cluster alone shows nothing; add more"
        found = f"with this many samples {self.mde:.2g} above it is noticed in 4 of 5 runs"
        if self.more is not None:
            noun = "sample" if self.more == 1 else "samples"
            return f"{found}; about {self.more} more {noun} would settle it"
        return f"{found}; what was seen lies so near the limit that more samples may not settle it"

    def _limits(self, what: str) -> str:
        if self.clusters < 2:
            return "one sample or cluster alone shows nothing; add more"
        if self.mde is None:
            found = f"this is too few samples to notice any {what.rsplit(maxsplit=1)[0]}"
        else:
            found = f"with this many samples a {what} {self.mde:.2f} is noticed in 4 of 5 runs"
        if self.more is not None:
            noun = "sample" if self.more == 1 else "samples"
            return f"{found}; about {self.more} more {noun} would settle it"
        if self.floor is None and self.margin == 0.0 and self.drop <= 0.0:
            return f"{found}; with an allowed drop of 0 nothing can pass: set a margin"
        return f"{found}; what was seen lies so near the limit that more samples may not settle it"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GateResult:
    """The verdict on a candidate with everything that led to it.

    Attributes:
        verdict: "block" if the pooled drop or any bucket blocks, "pass" if all pass.
        pooled: The comparison on all samples.
        buckets: One comparison a bucket, sorted by name; empty without buckets.
        alpha: The risk of a false block, of the pooled drop and buckets together.
    """

    verdict: Verdict
    pooled: Figures
    buckets: tuple[Figures, ...]
    alpha: float

    @property
    def worst(self) -> Figures | None:
        """The bucket with the largest drop seen: to be reported, not to be gated on."""
        return max(self.buckets, key=lambda bucket: bucket.drop, default=None)

    def explain(self) -> str:
        """The sentences that led to the verdict, one a line."""
        figures = (self.pooled, *self.buckets)
        if self.verdict == "pass":
            shown = [self.pooled, *([self.worst] if self.worst is not None else [])]
        else:
            shown = [one for one in figures if one.verdict == self.verdict]
        shown.sort(key=lambda one: one.p_adjusted)
        lines = [one.explain() for one in shown[:10]]
        if len(shown) > len(lines):
            lines.append(f"and {len(shown) - len(lines)} more {self.verdict}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        parts = [self.pooled.brief()]
        if self.worst is not None:
            counts = sorted(Counter(one.verdict for one in self.buckets).items())
            parts.append("buckets: " + ", ".join(f"{count} {verdict}" for verdict, count in counts))
            parts.append(f"worst: {self.worst.brief()}")
        return f"<{self.verdict}: {'; '.join(parts)}>"


def combine(figures: Iterable[Figures]) -> Verdict:
    """Block if any comparison blocks, pass if all pass, otherwise inconclusive.

    That all must pass makes each one's full level enough for PASS: the
    intersection-union principle (Berger 1982).

    Raises:
        EmptyError: There are no comparisons.
    """
    return combine_verdicts(one.verdict for one in figures)


def combine_verdicts(verdicts: Iterable[Verdict]) -> Verdict:
    """`combine`, of bare verdicts."""
    found = set(verdicts)
    if not found:
        raise EmptyError("there are no comparisons to combine: hand in at least one")
    if "block" in found:
        return "block"
    return "pass" if found == {"pass"} else "inconclusive"


def _moved(before: float, after: float) -> str:
    if f"{before:.2f}" == f"{after:.2f}":
        moved = f"went from {before:.4f} to {after:.4f}"
        return f"stayed at {after:.2f}" if before == after else moved
    return f"{'fell' if after < before else 'rose'} from {before:.2f} to {after:.2f}"


def chance_words(p: float) -> str:
    """A p-value for someone who has never met one."""
    if p < 1e-6:
        return "fewer than 1 of 1000000 runs"
    return f"1 of {round(1.0 / p)} runs"


def risk_words(level: float) -> str:
    """A level in the form that a chance is told in."""
    if level < 1e-300:  # whose inverse may be no number
        return "less than 1 in 1e+300"
    runs = 1.0 / level
    return f"1 in {round(runs)}" if runs < 1e12 else f"1 in {runs:.3g}"


def confidence_words(alpha: float) -> str:
    """One minus a risk in percent, with as many digits as keep it below 100."""
    if alpha < 1e-9:
        return f"1 - {alpha:.3g}"
    digits = max(-math.floor(math.log10(alpha)) - 2, 0)
    return f"{1.0 - alpha:.{digits}%}"
