"""What is to be run, as data: a variant, a task set, and how it is asked.

A job pickles, so that another process or machine can obtain its run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from pytest_modellab.engines.interface import Ability, Source
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.progress import Advance, Work
from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.scorers.choice import MultipleChoice
from pytest_modellab.scorers.interface import Scorer, SetScorer

SEED = 0
"""Decoding is greedy; the seed is set all the same, and recorded."""


class Prompting(Protocol):
    """Turns a sample's input into chat messages."""

    @property
    def hash(self) -> str:
        """Changes with every change of the prompt."""

    def messages(self, input_: str, passages: Sequence[str] = (), /) -> Sequence[Mapping[str, str]]:
        """Return the chat for one sample, and for what a search has found for it."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A job's place in a run that is made of several, for progress.

    Attributes:
        before: answers that other jobs of the run have given.
        total: answers of the whole run.
    """

    before: int
    total: int


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be run.

    Attributes:
        spec: the variant as declared.
        fingerprint: what it consists of.
        source: what its engine is opened from; only where the store has no finished run.
        prompt: turns a sample into chat messages.
        task_set: the samples.
        needs: what each sample asks of the engine, by the name of its scorer.
        paraphrases: other prompts that the same samples are asked with; scores are averaged.
        search: the job whose rankings give the passages that the prompt shows, or None.
        passages: how many of the best documents are shown.
        budget: most tokens in a batch; None for what the engine says. Halved, and remembered,
            where memory runs out.
        reuse: False to run anew whatever the store has.
        work: what kind of work it is, for progress.
        part: its place in a larger run; None where it is the whole.
        shard: whether it is cut from another job, and is computed together.
    """

    spec: VariantSpec
    fingerprint: Fingerprint
    source: Source
    prompt: Prompting
    task_set: TaskSet
    needs: Mapping[str, Ability]
    paraphrases: tuple[Prompting, ...] = ()
    search: Job | None = None
    passages: int = 0
    budget: int | None = None
    reuse: bool = True
    work: Work = Work.RUN
    part: Part | None = None
    shard: bool = False

    def need(self, sample: Sample) -> Ability:
        """Return which of an engine's abilities a sample needs."""
        return self.needs[sample.scorer]

    @property
    def in_words(self) -> bool:
        """Whether multiple choice is asked in words."""
        return self.needs.get(MultipleChoice.name) == "generate"

    def advance(self, done: int) -> Advance:
        """Say how far the run is when so many samples of this job are answered."""
        part = self.part or Part(0, len(self.task_set.samples))
        name, task_set = self.spec.name, self.task_set.name
        return Advance(self.work, name, task_set, part.before + done, part.total)


def needed(scorer: Scorer | SetScorer) -> Ability:
    """Return the ability that an engine needs, so that a scorer can judge its answers."""
    if getattr(scorer, "reads", False):  # may be left out, as in a scorer of somebody's plugin
        return "read"
    if isinstance(scorer, SetScorer):
        if scorer.ranking:
            return "rank"
        return "compare" if scorer.likelihood else "generate"
    return "score" if scorer.likelihood else "generate"
