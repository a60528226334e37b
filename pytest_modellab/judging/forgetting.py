"""The assertion that no capability of the base was forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.gate.errors import EmptyError
from pytest_modellab.gate.forgetting import times_to_show
from pytest_modellab.judging.comparable import MAX_MISSING
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.question import Question
from pytest_modellab.judging.scores import chance_of, clusters_of, narrowed, scores_of
from pytest_modellab.records.graded import check_margin
from pytest_modellab.records.pairing import paired
from pytest_modellab.records.runs import RunRecord

_MOST_TIMES = 64
"""How many times as many samples are looked at for what a limit should have been."""


def no_forgetting(
    question: Question, *, second: RunRecord, targeted: Collection[str], margin: float
) -> Comparison:
    """Judge whether the candidate lost a capability that its base has.

    Args:
        question: what is asked; its reference is the base's run.
        second: another run of the base, which decides what capabilities it has: by right or wrong,
            whatever the metric is, since a likelihood has no chance level.
        targeted: capabilities that the adaptation is meant to change; others than the task set's
            are left aside.
        margin: the drop allowed in one capability, in [0, 1).

    Returns:
        The comparison; its figures hold the capabilities in scope, its notes the others: what the
        base does not have, what is targeted, and what fewer than half of the samples have the
        metric of.

    Raises:
        ComparisonRefused: the runs are not comparable, too many scores are missing, or the base
            has none of the capabilities.
        GateUsageError: a graded metric at a margin of 0.
    """
    check_margin(
        question.metric,
        margin,
        question.task_set.name,
        "capability_margin",
        samples=question.samples,
    )
    before, answers, samples = question.scores_before, question.answers, question.samples
    capabilities, budget = question.asked.capabilities, question.budget
    few = _told_of_few(question)
    with question.refusing():
        second_scores = scores_of(
            paired(narrowed(second, question.asked, question.task_set), samples)
        )
        aside = [name for name in capabilities if name in targeted or name in few]
        try:
            found = gate.forgetting_family(
                before,
                before if answers.stages is not None else answers(1),  # the base's alone: the scope
                [s.capability for s in samples],
                second_scores=second_scores,
                chance=[chance_of(s) for s in samples],
                targeted=aside,
                margin=margin,
                clusters=question.clusters,
                alpha=budget.share,
                pass_alpha=budget.alpha,
                max_missing=MAX_MISSING,
            )
        except EmptyError as error:
            if question.task_set.whole is None or not set(capabilities) - set(aside):
                raise
            raise ComparisonRefused(_told_of_limit(question, second_scores, aside)) from error
        figures = found.figures
        if answers.stages is not None:
            kept = [i for i, s in enumerate(samples) if s.capability in found.in_scope]
            figures = answers.stop(
                gate.sequential_family(
                    [before[i] for i in kept],
                    answers.only(kept),
                    [samples[i].capability for i in kept],
                    clusters=clusters_of([samples[i] for i in kept]),
                    margin=margin,
                    alpha=budget.share,
                    pass_alpha=budget.alpha,
                    max_missing=MAX_MISSING,
                    stages=[answers.stages[i] for i in kept],
                )
            )
    return question.comparison(
        figures,
        family=len(found.in_scope),
        flips=question.flips(among=found.in_scope),
        notes=(
            *(f"{name} is not judged: {few.get(name, why)}" for name, why in found.out_of_scope),
            *(
                f"target {name!r} is no capability of {question.task_set.name!r}"
                for name in sorted(set(targeted) - set(capabilities))
            ),
        ),
    )


def _told_of_few(question: Question) -> dict[str, str]:
    """The capabilities for which a metric does not stand, as few of their samples have it."""
    every, told = (
        Counter(sample.capability for sample in samples)
        for samples in (question.task_set.samples, question.samples)
    )
    return {
        name: f"{told[name]} of its {every[name]} samples have a {question.metric}"
        for name in told
        if 2 * told[name] < every[name]
    }


def _told_of_limit(question: Question, second: Sequence[float], aside: Collection[str]) -> str:
    """That a part of the task set has too few samples to show what the base can, and what to do."""
    whole = question.task_set.whole or len(question.task_set.samples)
    asked = len(question.task_set.samples)
    kept = [i for i, s in enumerate(question.samples) if s.capability not in aside]
    times = times_to_show(
        [second[i] for i in kept],
        [question.samples[i].capability for i in kept],
        chance=[chance_of(question.samples[i]) for i in kept],
        clusters=None if question.clusters is None else [question.clusters[i] for i in kept],
        most=min(_MOST_TIMES, whole // asked),
    )
    mend = "remove the limit" if times is None else f"raise the limit to about {times * asked}"
    return (
        f"{question.task_set.name}: only {question.task_set.note.partition('; ')[0]}: too few to "
        f"show what the base can; {mend}, or leave {question.assertion} out of a quick look"
    )
