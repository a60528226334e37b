"""A run beside the one that it comes from: what is worse beyond chance, whatever is allowed."""

from __future__ import annotations

import dataclasses

from pytest_modellab import gate
from pytest_modellab.gate.results import Figures
from pytest_modellab.judging import comparable
from pytest_modellab.judging.question import Question
from pytest_modellab.records.asked import Budget
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet


@dataclasses.dataclass(frozen=True)
class Beside:
    """What became of all samples and of each capability.

    Attributes:
        reference: the run that it is compared with.
        differs: why the two cannot be compared; the figures are empty then.
        figures: of all samples, then of each capability, in order; one that is worse beyond chance
            has the verdict ``block``.
        notes: what else differs between the two and does not keep them from being compared.
    """

    reference: RunRecord
    differs: tuple[str, ...]
    figures: tuple[Figures, ...]
    notes: tuple[str, ...] = ()

    @property
    def worse(self) -> tuple[Figures, ...]:
        """What is worse beyond chance."""
        return tuple(one for one in self.figures if one.verdict == "block")


def beside(
    spec: VariantSpec,
    task_set: TaskSet,
    run: RunRecord,
    reference: RunRecord,
    *,
    against: str,
    alpha: float,
    prompt_may_differ: bool = False,
) -> Beside:
    """Compare a run with the one that it comes from, with no drop allowed.

    Args:
        spec: the variant.
        task_set: what both were asked.
        run: the variant's run.
        reference: the other one.
        against: names that, for messages.
        alpha: the risk that anything seems worse by chance: half of it is for all samples, half
            for the capabilities together.
        prompt_may_differ: whether all that was changed is looked at as one.

    Raises:
        ComparisonRefused: too many scores are missing.
    """
    differs, notes = comparable.differences(
        spec, run, reference, prompt_may_differ=prompt_may_differ
    )
    if differs:
        return Beside(reference, tuple(differs), ())
    question = Question(
        assertion="no_regression",
        test="modellab accept",
        spec=spec,
        task_set=task_set,
        against=against,
        budget=Budget(alpha / 2, alpha / 2),
        candidate=run,
        reference=reference,
        prompt_may_differ=prompt_may_differ,
    )
    with question.refusing():
        before, after, half = question.scores_before, question.answers(1), question.budget.share
        pooled = gate.drop(
            before,
            after,
            clusters=question.clusters,
            margin=0.0,
            alpha=half,
            max_missing=comparable.MAX_MISSING,
        )
        rows = gate.drop_family(
            before,
            after,
            [sample.capability for sample in question.samples],
            clusters=question.clusters,
            margin=0.0,
            alpha=half,
            max_missing=comparable.MAX_MISSING,
        )
    figures = (pooled, *sorted(rows, key=lambda one: one.name))
    return Beside(reference, (), figures, tuple(notes))
