"""A resolved variant and a task set become a job."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_modellab.lab.registry import Extensions
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.scorers.interface import Scorer, SetScorer

if TYPE_CHECKING:
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.runs.job import Job

SEARCHED_BY = "ndcg@10"
"""The scorer under which a variant searches for another one; what it scores is not looked at."""


def named_scorers(task_set: TaskSet, extensions: Extensions) -> dict[str, Scorer | SetScorer]:
    """Return the scorers that a task set's samples name, by name."""
    names = dict.fromkeys(sample.scorer for sample in task_set.samples)
    return {name: extensions.scorer(name) for name in names}


def scorers_of(
    variant: Resolved, task_set: TaskSet, extensions: Extensions
) -> dict[str, Scorer | SetScorer]:
    """Return what judges a variant's answers, by the names that samples have for it."""
    from pytest_modellab.scorers.choice import MultipleChoice
    from pytest_modellab.scorers.in_words import ChoiceInWords

    found = named_scorers(task_set, extensions)
    if variant.plan.scoring == "generated":
        found |= {
            name: ChoiceInWords() for name, one in found.items() if isinstance(one, MultipleChoice)
        }
    return found


def scored_alone(task_set: TaskSet, extensions: Extensions) -> bool:
    """Whether no score of a sample depends on the other samples, so that some can be left out."""
    return all(
        not isinstance(scorer, SetScorer) or getattr(scorer, "alone", False)
        for scorer in named_scorers(task_set, extensions).values()
    )


def job_of(
    variant: Resolved,
    task_set: TaskSet,
    extensions: Extensions,
    *,
    reuse: bool,
    budget: int | None = None,
) -> Job:
    """Make the job of a variant on a task set, with the search that comes before it.

    Args:
        variant: who answers.
        task_set: what is asked.
        extensions: the scorers that there are.
        reuse: False to run anew whatever the store has.
        budget: most tokens in a batch; None for what the engine says.
    """
    from pytest_modellab.runs.job import Job, needed

    job = Job(
        spec=variant.spec,
        fingerprint=variant.fingerprint,
        source=variant.source,
        prompt=variant.plan.prompt,
        task_set=task_set,
        needs={
            name: needed(one) for name, one in scorers_of(variant, task_set, extensions).items()
        },
        paraphrases=variant.plan.paraphrases,
        budget=budget,
        reuse=reuse,
    )
    if variant.search is None or variant.plan.grounding is None:
        return job
    searched = dataclasses.replace(
        task_set,
        samples=tuple(
            dataclasses.replace(s, scorer=SEARCHED_BY, max_tokens=0) for s in task_set.samples
        ),
    )
    search = job_of(variant.search, searched, extensions, reuse=reuse, budget=budget)
    return dataclasses.replace(job, search=search, passages=variant.plan.grounding.passages)
