"""What is to be run: a variant, a task set, and how it is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from pytest_modellab.engines.interface import Engine
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.scorers.interface import Scorer, SetScorer

DEFAULT_BUDGET = 512
"""Tokens in a batch unless the caller says otherwise."""


SEED = 0
"""Decoding is greedy; the seed is set all the same, and recorded."""


class Prompting(Protocol):
    """Turns a sample's input into chat messages."""

    @property
    def hash(self) -> str:
        """Changes with every change of the prompt."""

    def messages(self, input_: str, /) -> Sequence[Mapping[str, str]]:
        """Return the chat for one sample."""


@runtime_checkable
class GroundedPrompting(Protocol):
    """A :class:`Prompting` that shows what a search found."""

    def passages(self, input_: str, /) -> tuple[str, ...]:
        """Return what is shown beside an input."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be run.

    Attributes:
        spec: the variant as declared.
        fingerprint: what it consists of.
        prompt: turns a sample into chat messages.
        load: loads the variant; called only where the store has no finished run.
        task_set: the samples.
        scorers: by name.
        paraphrases: other prompts that the same samples are asked with; scores are averaged.
    """

    spec: VariantSpec
    fingerprint: Fingerprint
    prompt: Prompting
    load: Callable[[], Engine]
    task_set: TaskSet
    scorers: Mapping[str, Scorer | SetScorer]
    paraphrases: Sequence[Prompting] = ()
