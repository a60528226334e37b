"""Catastrophic forgetting: what the base could do and the adapted model no longer can."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np

from pytest_modellab.gate import validate
from pytest_modellab.gate._judge import figures_of, judge
from pytest_modellab.gate._saddlepoint import Floats, Ints
from pytest_modellab.gate.errors import EmptyError, LabelError
from pytest_modellab.gate.floor import above
from pytest_modellab.gate.results import Figures, Verdict, combine
from pytest_modellab.gate.settings import check_levels, check_margin
from pytest_modellab.gate.validate import Scores

SCOPE_ALPHA = 0.05
"""Risk of taking in a capability that the base does not have."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Forgetting:
    """The capabilities that could be forgotten, and whether one was.

    Attributes:
        figures: One comparison a capability in scope, sorted by name.
        out_of_scope: The other capabilities, each with the reason.
    """

    figures: tuple[Figures, ...]
    out_of_scope: tuple[tuple[str, str], ...]

    @property
    def in_scope(self) -> tuple[str, ...]:
        """Names of the capabilities that were judged."""
        return tuple(one.name for one in self.figures)

    @property
    def verdict(self) -> Verdict:
        """Block if any capability in scope blocks, pass if all pass."""
        return combine(self.figures)

    def explain(self) -> str:
        """One sentence a capability, those that led to the verdict first."""
        shown = sorted(self.figures, key=lambda one: (one.verdict != self.verdict, one.p_adjusted))
        lines = [one.explain() for one in shown]
        return "\n".join(
            [*lines, *(f"not judged: {name}, {reason}" for name, reason in self.out_of_scope)]
        )

    def __repr__(self) -> str:
        worst = max(self.figures, key=lambda one: one.drop)
        return (
            f"<{self.verdict}: capabilities: {len(self.figures)} in scope, "
            f"{len(self.out_of_scope)} not; worst: {worst.brief()}>"
        )


def forgetting_family(
    baseline_scores: Scores,
    candidate_scores: Scores,
    capabilities: Iterable[Hashable],
    *,
    second_scores: Scores,
    chance: Scores,
    targeted: Iterable[Hashable] = (),
    margin: float = 0.0,
    clusters: Iterable[Hashable] | None = None,
    alpha: float = 0.05,
    pass_alpha: float | None = None,
    max_missing: float = 0.02,
) -> Forgetting:
    """Whether an adapted model has lost a capability that its base has.

    A capability is in scope if the adaptation did not target it and the base
    shows it: the lower bound (0.95) of the mean of `second_scores` lies above
    the mean chance, as in the PASS of `floor_family`. `second_scores` come from
    a run of the base other than the one compared. On the same run, capabilities
    that were lucky there would be taken in, and would seem to fall when the luck
    does not repeat. The capabilities in scope are then judged as by
    `drop_family`; the others cost them nothing.

    Args:
        baseline_scores: The base's scores in [0, 1], one a sample; samples of
            NaN are left out.
        candidate_scores: The adapted model's on the same samples in the same
            order; NaN where missing, as in `compare`.
        capabilities: One label a sample.
        second_scores: The base's scores of a second run (another sample order
            and batch size); a missing one counts as 0.
        chance: The probability of guessing a sample right, one a sample, in
            [0, 1): 1 / number of options, 0 where the answer is generated.
        targeted: Capabilities that the adaptation is meant to change.
        margin: Mean drop allowed in a capability, in [0, 1).
        clusters: One label a sample, or None.
        alpha: The family's share of the risk of any false block, in (0, 1).
        pass_alpha: Risk of a false pass, in (0, 1); alpha unless given.
        max_missing: Share of all candidate scores that may be missing.

    Raises:
        EmptyError: No capability is in scope.
        GateInputError: Scores, labels or settings cannot be used.
    """
    margin = check_margin("margin", margin)
    alpha, pass_alpha = check_levels(alpha, pass_alpha)
    validate.aligned(
        baseline_scores=baseline_scores,
        candidate_scores=candidate_scores,
        capabilities=capabilities,
        second_scores=second_scores,
        chance=chance,
        clusters=clusters,
    )
    baseline = validate.scores("baseline_scores", baseline_scores)
    second = validate.scores("second_scores", second_scores)
    guess = validate.chances(chance)
    validate.same_length("second_scores", second.size, "baseline_scores", baseline.size)
    validate.same_length("chance", guess.size, "baseline_scores", baseline.size)
    codes, names = validate.label_codes("capabilities", capabilities, baseline.size)
    groups = validate.cluster_codes(clusters, baseline.size)
    labels = np.array(names, dtype=object)[codes]
    data = validate.paired(baseline, candidate_scores, labels, groups, max_missing)
    left_out = _targeted(names, targeted)
    for code, name in enumerate(names):
        if name not in left_out:
            own = codes == code
            reason = _not_shown(second[own], guess[own], None if groups is None else groups[own])
            if reason is not None:
                left_out[name] = reason
    out_of_scope = tuple((name, left_out[name]) for name in names if name in left_out)
    in_scope = tuple(name for name in names if name not in left_out)
    if not in_scope:
        raise EmptyError(
            "there is nothing that could be forgotten: "
            + "; ".join(f"{name}: {reason}" for name, reason in out_of_scope)
            + ": add samples of capabilities that the base has and the adaptation leaves alone"
        )
    scoped = data.only(in_scope)
    return Forgetting(
        figures=figures_of(scoped, judge(scoped, True, margin, alpha, pass_alpha)),
        out_of_scope=out_of_scope,
    )


def times_to_show(
    second_scores: Scores,
    capabilities: Iterable[Hashable],
    *,
    chance: Scores,
    clusters: Iterable[Hashable] | None = None,
    most: int,
) -> int | None:
    """How many times as many samples like these show that the base has one of the capabilities.

    Args:
        second_scores: As in `forgetting_family`.
        capabilities: As there.
        chance: As there.
        clusters: As there.
        most: The largest answer.

    Returns:
        At least 1, or None where more samples like these would not show it.
    """
    second = validate.scores("second_scores", second_scores)
    guess = validate.chances(chance)
    codes, names = validate.label_codes("capabilities", capabilities, second.size)
    groups = validate.cluster_codes(clusters, second.size)
    for times in range(1, most + 1):
        for code in range(len(names)):
            own = codes == code
            of = None
            if groups is not None:
                of = np.concatenate([groups[own] + i * second.size for i in range(times)])
            if _not_shown(np.tile(second[own], times), np.tile(guess[own], times), of) is None:
                return times
    return None


def _targeted(names: tuple[str, ...], targeted: Iterable[Hashable]) -> dict[str, str]:
    if isinstance(targeted, str):
        raise LabelError(f"targeted is the text {targeted!r}, but must be a list of capabilities")
    wanted = [str(name) for name in targeted]
    for name in wanted:
        if name not in names:
            raise LabelError(
                f"targeted holds {name!r}, which no sample is labelled with: the capabilities are "
                f"{', '.join(names)}"
            )
    return dict.fromkeys(wanted, "targeted by the adaptation")


def _not_shown(second: Floats, guess: Floats, clusters: Ints | None) -> str | None:
    """Why a capability is not the base's, None if it is."""
    floor = float(guess.mean())
    shown, n, mean = above(second, floor=floor, clusters=clusters, pass_alpha=SCOPE_ALPHA)
    if shown:
        return None
    return f"the base does not show it: {mean:.2f} (n = {n}), chance {floor:.2f}"
