"""What a scorer is: an output becomes a score in [0, 1]."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample


@runtime_checkable
class Scorer(Protocol):
    """Turns an output into a score; one file per scorer in ``scorers/``.

    Example:
        class Exact:
            name = "exact"
            version = 1
            likelihood = False

            def check(self, sample): ...
            def score(self, sample, output):
                return float(output.text.strip() == sample.target), output.text
    """

    name: str
    version: int
    likelihood: bool
    """True where options are scored by likelihood, False where a reply is generated."""
    # figures(sample, output) -> Mapping[str, float], may be left out; further figures by name

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong with the sample's target or choices, or None."""

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        """Return the score in [0, 1] and the answer as a reader should see it."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a :class:`SetScorer` made of one output.

    Attributes:
        score: in [0, 1].
        answer: the answer as a reader should see it.
        metrics: further figures by name.
    """

    score: float
    answer: str
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)


@runtime_checkable
class SetScorer(Protocol):
    """Turns the outputs of many samples into scores at once; ``check`` as in :class:`Scorer`.

    For what one sample cannot be scored by alone (ranks over all pairs), what a library computes of
    many faster than of one (metrics of rankings), and what has more than one figure a sample.
    """

    name: str
    version: int
    likelihood: bool
    ranking: bool
    """True where the outputs are rankings of a corpus, which only a search gives."""
    # reads: bool, may be left out; True where the input is a document whose own likelihood counts
    # alone: bool, may be left out; True where no score depends on the other samples

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong with the sample's target or choices, or None."""

    def score_all(
        self, samples: Sequence[Sample], outputs: Sequence[Output], metrics: Sequence[str]
    ) -> Sequence[Scored]:
        """Score outputs that have not failed, in the samples' order.

        Args:
            samples: of one task set, at least one.
            outputs: one for each sample.
            metrics: further metrics that the task set asks for.
        """
