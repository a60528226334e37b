"""From what a model said to figures of each sample: right or wrong, probability, likelihood, KL."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.evidence.readings import Reading
from pytest_modellab.records.graded import LIKELIHOOD, PROBABILITY, is_choice
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs.scoring import score_sample
from pytest_modellab.scorers import SCORERS
from pytest_modellab.scorers.graded import a_byte

Floats = npt.NDArray[np.float64]

ACCURACY = "accuracy"
KL = "KL"

SCORES = (ACCURACY, PROBABILITY, LIKELIHOOD)
"""Metrics in [0, 1], of which the gate judges the mean drop."""

METRICS = (*SCORES, KL)


@dataclasses.dataclass(frozen=True)
class Figures:
    """One run's samples of multiple choice, in the task set's order.

    Attributes:
        variant: which.
        setting: how it was computed.
        device: where.
        samples: those that have an answer.
        scores: by metric, one a sample.
        nats: sum of the divergences of a sample's tokens; NaN where they were not measured.
        tokens: how many.
        whole: right or wrong of every sample, replies with them, by id.
        read: likelihood of a byte of the base's reply, of every sample that has one, by id.
    """

    variant: str
    setting: str
    device: str
    samples: tuple[Sample, ...]
    scores: Mapping[str, Floats]
    nats: Floats
    tokens: Floats
    whole: Mapping[str, float]
    read: Mapping[str, float]

    @property
    def label(self) -> str:
        """How a table calls it."""
        return f"{self.variant}, {self.device}, {self.setting}"

    @property
    def kl(self) -> float:
        """Mean divergence a token."""
        return float(self.nats.sum() / self.tokens.sum()) if self.tokens.any() else math.nan

    def only(self, ids: Sequence[str]) -> Figures:
        """The samples of these ids alone."""
        wanted = set(ids)
        keep = np.array([sample.id in wanted for sample in self.samples])
        return dataclasses.replace(
            self,
            samples=tuple(sample for sample in self.samples if sample.id in wanted),
            scores={name: values[keep] for name, values in self.scores.items()},
            nats=self.nats[keep],
            tokens=self.tokens[keep],
        )


def figures(
    reading: Reading, task_set: TaskSet, replies: Mapping[str, str] | None = None
) -> Figures:
    """Score what was said.

    Args:
        reading: what was said.
        task_set: of what.
        replies: the base's, which the variant has read.

    Raises:
        ValueError: a sample of multiple choice has no likelihood.
    """
    results = {
        sample.id: score_sample(
            SCORERS[sample.scorer], sample, reading.said[sample.id].output(), None
        )
        for sample in task_set.samples
        if sample.id in reading.said
    }
    samples = tuple(
        sample for sample in task_set.samples if sample.id in results and is_choice(sample)
    )
    scores: dict[str, list[float]] = {name: [] for name in SCORES}
    for sample in samples:
        found = results[sample.id]
        if found.score is None or LIKELIHOOD not in found.metrics:
            raise ValueError(f"{reading.variant}: {sample.id} has no likelihood: {found.output}")
        scores[ACCURACY].append(found.score)
        for name in (PROBABILITY, LIKELIHOOD):
            scores[name].append(found.metrics[name])
    said = [reading.said[sample.id] for sample in samples]
    read = {
        id_: value
        for id_, text in (replies or {}).items()
        if id_ in reading.said
        and (logprob := reading.said[id_].read) is not None
        and (value := a_byte(logprob, text)) is not None
    }
    return Figures(
        variant=reading.variant,
        setting=reading.setting,
        device=reading.device,
        samples=samples,
        scores={name: np.array(values) for name, values in scores.items()},
        nats=np.array([math.nan if one.nats is None else one.nats for one in said]),
        tokens=np.array([float(one.tokens) for one in said]),
        whole={id_: result.score or 0.0 for id_, result in results.items()},
        read=read,
    )


def difference(metric: str, base: Figures, other: Figures) -> Floats:
    """What each sample gained.

    Raises:
        ValueError: the two have not the same samples.
    """
    if [sample.id for sample in base.samples] != [sample.id for sample in other.samples]:
        raise ValueError(f"{base.label} and {other.label} are of other samples")
    found: Floats = other.scores[metric] - base.scores[metric]
    return found
