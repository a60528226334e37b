"""The assertion that no capability of the base was forgotten."""

from __future__ import annotations

from collections.abc import Collection

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.judging.comparable import MAX_MISSING, check_comparable
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.scores import (
    Answers,
    Budget,
    chance_of,
    clusters_of,
    flips_between,
    scores_of,
    task_set_notes,
)
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.runs.stages import Staged


def no_forgetting(
    *,
    test: str,
    spec: VariantSpec,
    candidate: RunRecord | Staged,
    reference: RunRecord,
    second: RunRecord,
    against: str,
    task_set: TaskSet,
    targeted: Collection[str],
    margin: float,
    budget: Budget,
) -> Comparison:
    """Judge whether the candidate lost a capability that its base has.

    Args:
        test: node id of the test, for the record.
        spec: the candidate.
        candidate: its run, or what makes it stage by stage.
        reference: the base's run that it is compared with.
        second: another run of the base, which decides what capabilities it has.
        against: the reference in words.
        task_set: the samples of all runs.
        targeted: capabilities that the adaptation is meant to change; others than the task set's
            are left aside.
        margin: the drop allowed in one capability, in [0, 1).
        budget: the risk that may be spent.

    Returns:
        The comparison; its figures hold the capabilities in scope, its notes the others.

    Raises:
        ComparisonRefused: the runs are not comparable, too many scores are missing, or the base
            has none of the capabilities.
    """
    answers = Answers(candidate, task_set)
    notes = check_comparable(spec, answers.whole(), reference, against)
    samples = task_set.samples
    before = scores_of(reference.samples)
    try:
        found = gate.forgetting_family(
            before,
            before if answers.stages is not None else answers(1),  # the scope is the base's alone
            [s.capability for s in samples],
            second_scores=scores_of(second.samples),
            chance=[chance_of(s) for s in samples],
            targeted=[name for name in task_set.capabilities if name in targeted],
            margin=margin,
            clusters=clusters_of(samples),
            alpha=budget.share,
            pass_alpha=budget.alpha,
            max_missing=MAX_MISSING,
        )
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
    except gate.GateInputError as error:
        raise ComparisonRefused(
            f"{spec.name!r} against {against} on {task_set.name!r}: {error}"
        ) from error
    flips = flips_between(samples, answers.record, reference, None)
    judged = {s.id for s in samples if s.capability in found.in_scope}
    return Comparison(
        assertion="no_forgetting",
        test=test,
        task_set=task_set.name,
        candidate=spec.name,
        kind=spec.kind,
        against=against,
        capability=None,
        verdict=gate.combine(figures),
        figures=figures,
        family=len(found.in_scope),
        share=budget.share,
        flips=tuple(flip for flip in flips if flip.id in judged),
        notes=(
            *notes,
            *task_set_notes(task_set),
            *(f"{name} is not judged: {why}" for name, why in found.out_of_scope),
            *(
                f"target {name!r} is no capability of {task_set.name!r}"
                for name in sorted(set(targeted) - set(task_set.capabilities))
            ),
        ),
        looked=answers.looked,
    )
