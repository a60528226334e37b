"""The assertion that the candidate's distributions lie near its base's."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.judging.comparable import MAX_MISSING
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.question import Question
from pytest_modellab.records.divergence import Divergence, Moved
from pytest_modellab.records.tasks import Sample

_SHOWN = 3
"""Samples that moved most, which are named."""


def fidelity(
    question: Question, *, moved: Divergence, kl: float | None, agreement: float | None
) -> Comparison:
    """Judge whether the candidate moved further from its base than is allowed.

    Args:
        question: what is asked; it needs no run.
        moved: what was measured, of the task set's samples.
        kl: the largest mean KL(base‖candidate) allowed, in nats a token, or None.
        agreement: the least share of tokens with the same first choice, or None.

    Returns:
        The comparison, with figures for each of the two that is limited.

    Raises:
        ComparisonRefused: a limit is none, or too many samples show nothing.
    """
    samples = moved.samples
    pairs = zip(question.samples, samples, strict=True)
    failed = [(sample.id, one.failed) for sample, one in pairs if one.failed]
    if len(failed) > MAX_MISSING * len(samples):
        first, why = failed[0]
        raise ComparisonRefused(
            f"{question.spec.name!r} against {question.against} on {question.task_set.name!r}: "
            f"{len(failed)} of {len(samples)} samples show nothing "
            f"({len(failed) / len(samples):.1%}, allowed {MAX_MISSING:.1%}), {first!r} first: "
            f"{why}; where its dtype holds no such numbers, take another"
        )
    with question.refusing():
        figures = gate.fidelity(
            [math.nan if one.failed else one.nats for one in samples],
            [one.same for one in samples],
            [one.tokens for one in samples],
            kl=kl,
            agreement=agreement,
            clusters=question.clusters,
            alpha=question.budget.share,
            pass_alpha=question.budget.alpha,
            max_missing=MAX_MISSING,
        )
    return question.comparison(figures, family=len(figures), notes=_notes(question, moved))


def _notes(question: Question, moved: Divergence) -> tuple[str, ...]:
    """Tell the figures that are not judged, and what kind of bound the divergence is."""
    every = list(zip(question.samples, moved.samples, strict=True))
    pairs = [(sample, one) for sample, one in every if not one.failed]
    total = _Sum([one for _, one in pairs])
    capabilities: dict[str, list[Moved]] = defaultdict(list)
    for sample, one in pairs:
        capabilities[sample.capability].append(one)
    worst = max(sorted(capabilities), key=lambda name: _Sum(capabilities[name]).nats_a_token)
    most = sorted(pairs, key=lambda pair: (-_Sum([pair[1]]).nats_a_token, pair[0].id))[:_SHOWN]
    return (
        f"{total.tokens} tokens: {total.told}; of single tokens the median is {moved.median:.2g}, "
        f"the 99th percentile {moved.percentile_99:.2g}, the largest "
        f"{max(one.largest for _, one in pairs):.2g}",
        f"worst capability: {worst}, {_Sum(capabilities[worst]).told}",
        f"moved most: {', '.join(_told(sample, one) for sample, one in most)}",
        f"the divergence is a lower bound: the base's {moved.kept} largest probabilities of each "
        f"token are compared one by one, and the others, {moved.rest:.2g} of its probability, as "
        f"one; with half as many it is {moved.fewer:.3g}",
        *(f"{sample.id}: left out, {one.failed}" for sample, one in every if one.failed),
    )


def _told(sample: Sample, one: Moved) -> str:
    return f"{sample.id} (KL {_Sum([one]).nats_a_token:.3g})"


class _Sum:
    """Tokens together."""

    def __init__(self, parts: Sequence[Moved]) -> None:
        self.tokens = sum(one.tokens for one in parts)
        self._nats = math.fsum(one.nats for one in parts)
        self._same = sum(one.same for one in parts)

    @property
    def nats_a_token(self) -> float:
        """Their mean divergence."""
        return self._nats / max(self.tokens, 1)

    @property
    def told(self) -> str:
        """Divergence and agreement for a reader."""
        share = self._same / max(self.tokens, 1)
        return f"KL {self.nats_a_token:.3g} nats a token, the same first choice in {share:.2%}"
