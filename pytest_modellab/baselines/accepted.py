"""An accepted run, its second run and the run that its chain began with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_modellab.records import counts
from pytest_modellab.records.graded import DECISION_MARGIN, LIKELIHOOD, PROBABILITY, near
from pytest_modellab.records.reading import Count, Id, Share
from pytest_modellab.records.runs import NOT_KEPT, RunRecord
from pytest_modellab.records.windows import BITS, TOTAL

if TYPE_CHECKING:
    from pytest_modellab.gate.churn import Churn

OWN_BASELINE = "own baseline"
"""What a candidate is compared with unless the test says otherwise."""


OWN_ANCHOR = "anchor (the baseline itself)"
"""What drift is measured from while no change was accepted."""


Metrics = Mapping[str, tuple[float | None, ...]]
"""Further figures by name, each in the order of the run's samples; None where one has none."""


@dataclasses.dataclass(frozen=True)
class Repeat:
    """A second run of what was accepted, in another sample order and batch size.

    Attributes:
        scores: in the order of the run's samples; None where the variant gave no answer.
        environment: where and in which batches it ran.
        metrics: further figures of its samples; a reply's likelihood is none, since its text is
            not kept.
    """

    scores: tuple[Share | None, ...]
    environment: Mapping[str, Any]
    metrics: Metrics = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Anchor:
    """The accepted run that a chain of accepted changes began with.

    Attributes:
        scores: in the order of the run's samples.
        fingerprint: key of what was run.
        recorded: when it ran, ``YYYY-MM-DD``.
        accepted: how many changed runs were accepted since, the present one included.
        metrics: further figures of its samples.
    """

    scores: tuple[Share | None, ...]
    fingerprint: str
    recorded: str
    accepted: Count
    metrics: Metrics = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Fall:
    """What fell against the base: a capability, or all samples.

    Attributes:
        name: the capability's, or ``all``.
        before: the base's mean score.
        after: the accepted run's.
    """

    name: Id
    before: Share
    after: Share

    def __str__(self) -> str:
        """``arithmetic 0.74 -> 0.55``."""
        name = "all samples" if self.name == "all" else self.name
        return f"{name} {self.before:.2f} -> {self.after:.2f}"


@dataclasses.dataclass(frozen=True)
class Despite:
    """That a chain of accepted runs begins with one that is worse than its base beyond chance.

    Attributes:
        base: the base's name.
        fell: what fell beyond chance; all samples first.
    """

    base: Id
    fell: tuple[Fall, ...]

    def __str__(self) -> str:
        """``worse than its base prompting beyond chance: all samples 0.74 -> 0.55``."""
        more = f" and {len(self.fell) - SHOWN} more" if len(self.fell) > SHOWN else ""
        shown = ", ".join(map(str, self.fell[:SHOWN]))
        return f"worse than its base {self.base} beyond chance: {shown}{more}"


SHOWN = 4
"""Of so many capabilities it is said what they fell from and to."""


_Kept = TypeVar("_Kept", Repeat, Anchor)


@dataclasses.dataclass(frozen=True)
class Baseline:
    """An accepted run with what is known about it.

    Attributes:
        run: the run.
        repeat: its second run, or None where none was made.
        anchor: the run that it descends from; None where the run is its own anchor.
        despite: what the first run of its chain was accepted in spite of; None where that is not
            worse than its base, or has none.
    """

    run: RunRecord
    repeat: Repeat | None = None
    anchor: Anchor | None = None
    despite: Despite | None = None

    @property
    def churn(self) -> float | None:
        """Share of samples whose score differs in the second run, or None without one."""
        counted = self.count_churn()
        return None if counted is None else counted.rate

    def count_churn(self) -> Churn | None:
        """Count the samples whose score differs in the second run, or None without one."""
        return None if self.repeat is None else flips(self.run, self.repeat)

    @property
    def anchor_words(self) -> str:
        """The anchor as a reader should see it."""
        if self.anchor is None:
            return OWN_ANCHOR
        changes = "1 change" if self.anchor.accepted == 1 else f"{self.anchor.accepted} changes"
        return f"anchor of {self.anchor.recorded} ({changes} accepted since)"

    def arranged(self, places: Sequence[int]) -> Baseline:
        """Return the same with its samples in another order, those of all its runs together.

        Args:
            places: which sample comes first, second, and so on.
        """

        def arranged(kept: _Kept) -> _Kept:
            return dataclasses.replace(
                kept,
                scores=tuple(kept.scores[place] for place in places),
                metrics={
                    name: tuple(values[place] for place in places)
                    for name, values in kept.metrics.items()
                },
            )

        run, repeat, anchor = self.run, self.repeat, self.anchor
        return dataclasses.replace(
            self,
            run=dataclasses.replace(run, samples=tuple(run.samples[place] for place in places)),
            repeat=repeat and arranged(repeat),
            anchor=anchor and arranged(anchor),
        )

    def second_run(self) -> RunRecord | None:
        """Return the second run as a record without outputs, or None."""
        if self.repeat is None:
            return None
        return dataclasses.replace(
            without_outputs(self.run, self.repeat), environment=self.repeat.environment
        )

    def anchor_run(self) -> RunRecord:
        """Return the anchor as a record without outputs; the run itself where it is its own."""
        return self.run if self.anchor is None else without_outputs(self.run, self.anchor)


def flips(run: RunRecord, repeat: Repeat) -> Churn:
    """Count the samples whose score differs between a run and its second run.

    Of a document, whose score is a likelihood, by more than noise.
    """
    from pytest_modellab.gate.churn import churn

    second = [
        sample.score if TOTAL in sample.metrics and near(sample.score, score) else score
        for sample, score in zip(run.samples, repeat.scores, strict=True)
    ]
    return churn([sample.score for sample in run.samples], second)


def metrics_of(run: RunRecord) -> dict[str, tuple[float | None, ...]]:
    """Return what is kept of the further figures of a run that is a second one or an anchor.

    The decision margin, a document's bits and sum, and counts of errors are not: they are never
    judged.
    """
    names = {name for sample in run.samples for name in sample.metrics}
    names -= {DECISION_MARGIN, BITS, TOTAL, *counts.NAMES}
    return {name: tuple(s.metrics.get(name) for s in run.samples) for name in sorted(names)}


def without_outputs(run: RunRecord, kept: Repeat | Anchor) -> RunRecord:
    """Return a run with another one's scores and metrics, and without the outputs of either."""
    samples = tuple(
        dataclasses.replace(
            sample,
            score=score,
            output=NOT_KEPT,
            metrics={
                name: value
                for name, values in kept.metrics.items()
                if (value := values[i]) is not None
            },
        )
        for i, (sample, score) in enumerate(zip(run.samples, kept.scores, strict=True))
    )
    return dataclasses.replace(run, samples=samples)


def by_metric(run: RunRecord, metric: str | None) -> RunRecord:
    """Return a run with the samples alone that have a metric, which stands in for their scores.

    The likelihood of replies is left out beside multiple choice: every run has read its own.
    """
    if metric is None:
        return run
    kept = [sample for sample in run.samples if metric in sample.metrics]
    if metric == LIKELIHOOD:
        kept = [sample for sample in kept if PROBABILITY in sample.metrics] or kept
    scored = tuple(dataclasses.replace(one, score=one.metrics[metric]) for one in kept)
    return dataclasses.replace(run, samples=scored)
