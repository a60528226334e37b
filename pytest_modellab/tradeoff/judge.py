"""How each variant differs from the reference, judged by the gate."""

from __future__ import annotations

import dataclasses

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused, GateUsageError
from pytest_modellab.judging.comparison import Comparison, Flip
from pytest_modellab.judging.drop import no_regression
from pytest_modellab.judging.forgetting import no_forgetting
from pytest_modellab.judging.latency import no_slowdown
from pytest_modellab.judging.question import Question
from pytest_modellab.records.asked import Budget
from pytest_modellab.records.declared import TaskSetConfig, VariantSpec
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tradeoff.entry import Entry
from pytest_modellab.tradeoff.figures import SUCCESS, Delta

TEST = "modellab compare"
"""Stands for a test's node id in the comparisons made here."""


SLOWER = 1.05
"""A variant that takes longer than this multiple of the reference's time is blocked as slower."""


@dataclasses.dataclass(frozen=True)
class VariantVerdicts:
    """What the gate says of a variant.

    Attributes:
        deltas: one sentence each.
        here: forgetting on the task set compared, or None where it was not judged.
        elsewhere: forgetting on other task sets, from accepted runs.
        flips: of the samples that show something, those whose score changed.
    """

    deltas: tuple[Delta, ...]
    here: Comparison | None
    elsewhere: tuple[Comparison, ...]
    flips: tuple[Flip, ...] = ()

    @property
    def forgetting(self) -> tuple[Comparison, ...]:
        """Every comparison of forgetting."""
        return self.elsewhere if self.here is None else (self.here, *self.elsewhere)

    @property
    def lost(self) -> tuple[str, ...]:
        """The capabilities that are lost beyond chance; those of other task sets with its name."""
        return tuple(
            figure.name if one is self.here else f"{figure.name} ({one.task_set})"
            for one in self.forgetting
            for figure in one.figures
            if figure.verdict == "block"
        )


NOTHING = VariantVerdicts((), None, ())
"""Of the reference, which is compared with nothing."""


def compare(
    entry: Entry,
    base: Entry,
    second: RunRecord | None,
    task_set: TaskSet,
    settings: TaskSetConfig,
    budget: Budget,
    metric: str | None = None,
) -> VariantVerdicts:
    """Judge a variant against the reference.

    Args:
        entry: the variant.
        base: the reference.
        second: the reference's second run, or None to leave forgetting out.
        task_set: what both were asked.
        settings: the margins.
        budget: the risk that each verdict may spend.
        metric: what is judged in place of the score.

    Returns:
        Success, forgetting and latency, as far as they can be judged.
    """
    name, against = entry.spec.name, base.spec.name
    what = metric or SUCCESS
    found: list[Delta] = []
    here: Comparison | None = None
    flips: tuple[Flip, ...] = ()
    try:
        question = _question("no_regression", entry.spec, task_set, against, budget)
        question = dataclasses.replace(
            question, candidate=entry.record, reference=base.record, metric=metric
        )
        success = no_regression(question, margin=settings.allowed(metric=metric).mean)
        found.append(Delta(name, what, success.verdict, success.figures[0].explain()))
        flips = tuple(flip for flip in success.flips if flip.media)
    except (ComparisonRefused, GateUsageError) as error:  # the latter of a margin of 0
        found.append(Delta(name, what, None, str(error)))
    if second is not None:
        try:
            here = forgetting(
                entry.spec,
                entry.record,
                base.record,
                second,
                against,
                task_set,
                settings,
                budget,
                metric,
            )
            found.append(_forgetting(here))
        except (ComparisonRefused, GateUsageError) as error:
            words = str(error)
            if isinstance(error.__cause__, gate.EmptyError):
                words = f"{against} shows none of these capabilities, so none can be forgotten"
            found.append(Delta(name, "forgetting", None, words))
    found += [_forgetting(one, f"on {one.task_set}, ") for one in entry.elsewhere]
    if entry.performance is not None and entry.performance.reference is not None:
        question = _question("no_slowdown", entry.spec, task_set, against, budget)
        latency = no_slowdown(question, timed=entry.performance, limit=SLOWER)
        assert latency.ratio is not None  # what it rests on
        found.append(Delta(name, "latency", latency.verdict, latency.ratio.explain()))
    return VariantVerdicts(tuple(found), here, entry.elsewhere, flips)


def forgetting(
    spec: VariantSpec,
    candidate: RunRecord,
    reference: RunRecord,
    second: RunRecord,
    against: str,
    task_set: TaskSet,
    settings: TaskSetConfig,
    budget: Budget,
    metric: str | None = None,
) -> Comparison:
    """Judge what a variant forgot of the reference's capabilities, on one task set.

    Args:
        spec: the variant.
        candidate: its run.
        reference: the reference's run.
        second: the reference's second run, which decides what capabilities it has.
        against: the reference's name.
        task_set: what both were asked.
        settings: the margins.
        budget: the risk that the verdict may spend.
        metric: what is judged in place of the score.

    Raises:
        ComparisonRefused: the runs are not comparable, or there is nothing to be forgotten.
    """
    question = _question("no_forgetting", spec, task_set, against, budget)
    return no_forgetting(
        dataclasses.replace(question, candidate=candidate, reference=reference, metric=metric),
        second=second,
        targeted=set(spec.targets),
        margin=settings.allowed(metric=metric).capability,
    )


def _question(
    assertion: str, spec: VariantSpec, task_set: TaskSet, against: str, budget: Budget
) -> Question:
    return Question(assertion, TEST, spec, task_set, against, budget, prompt_may_differ=True)


def _forgetting(comparison: Comparison, where: str = "") -> Delta:
    """The figures that decided, in words."""
    verdict = comparison.verdict
    worst = min(comparison.figures, key=lambda f: (f.verdict != verdict, f.p_adjusted))
    lead, _, words = worst.explain().partition(": ")
    return Delta(comparison.candidate, "forgetting", verdict, f"{lead}: {where}{words}")
