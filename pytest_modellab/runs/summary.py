"""A run reduced to what reports show."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pytest_modellab.records import counts
from pytest_modellab.records.pairing import paired
from pytest_modellab.records.runs import BucketScore, RunRecord, RunSummary
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.records.windows import TOTAL, is_document
from pytest_modellab.scorers import in_words, perplexity
from pytest_modellab.scorers.errors import ErrorRate


def summarize(
    record: RunRecord, task_set: TaskSet, *, cached: bool = False, recorded: str | None = None
) -> RunSummary:
    """Reduce a run to what reports show; a sample without a score counts as 0.

    Args:
        record: the run.
        task_set: what was asked, in any order.
        cached: whether the run came from the store.
        recorded: path of the baseline that this session wrote, or None.

    Returns:
        Means over all samples, per capability and per bucket.

    Raises:
        ComparisonRefused: the run's samples are not the task set's.
    """
    scores = [result.score or 0.0 for result in paired(record, task_set.samples)]
    clusters: dict[str, list[float]] = {}
    for sample, score in zip(task_set.samples, scores, strict=True):
        clusters.setdefault(sample.cluster or f"\0{sample.id}", []).append(score)
    mean = math.fsum(scores) / len(scores)
    # residuals summed by cluster: the linearized variance of a ratio (Cochran 1977, section 9A)
    residuals = [math.fsum(values) - mean * len(values) for values in clusters.values()]
    groups = len(residuals)
    stderr = (
        math.sqrt(groups / (groups - 1) * math.fsum(r * r for r in residuals)) / len(scores)
        if groups > 1
        else 0.0
    )

    def means(key: Callable[[Sample], str]) -> tuple[BucketScore, ...]:
        found: dict[str, list[float]] = {}
        for sample, score in zip(task_set.samples, scores, strict=True):
            found.setdefault(key(sample), []).append(score)
        return tuple(
            BucketScore(name, len(values), math.fsum(values) / len(values))
            for name, values in sorted(found.items())
        )

    variant: Mapping[str, Any] = record.variant
    return RunSummary(
        variant=variant["name"],
        kind=variant["kind"],
        strategy=variant["strategy"],
        base=variant["base"],
        task_set=record.task_set["name"],
        task_set_version=record.task_set["version"],
        task_set_hash=record.task_set["hash"],
        fingerprint=record.fingerprint.key,
        n=len(scores),
        mean=mean,
        stderr=stderr,
        capabilities=means(lambda s: s.capability),
        buckets=means(lambda s: s.bucket),
        missing=sum(result.score is None for result in record.samples),
        probes=record.probes,
        environment=record.environment,
        cached=cached,
        recorded=recorded,
        metrics={
            **mean_metrics(record),
            **_of_documents(record, task_set),
            **_of_transcripts(record, task_set),
            **_of_letters(record),
        },
    )


def mean_metrics(record: RunRecord) -> dict[str, float]:
    """Return the means of a run's further figures over the samples that have them, by name."""
    found: dict[str, list[float]] = {}
    for result in record.samples:
        for name, value in result.metrics.items():
            found.setdefault(name, []).append(value)
    for name in (TOTAL, *counts.NAMES):  # sums; what is made of them stands beside
        found.pop(name, None)
    return {name: math.fsum(values) / len(values) for name, values in sorted(found.items())}


def _of_documents(record: RunRecord, task_set: TaskSet) -> dict[str, float]:
    """Return the perplexities of all documents together, as far as they could be read."""
    return perplexity.corpus(
        (sample.input, result.metrics[TOTAL], result.tokens_out)
        for sample, result in zip(task_set.samples, paired(record, task_set.samples), strict=True)
        if is_document(sample) and TOTAL in result.metrics
    )


def _of_letters(record: RunRecord) -> dict[str, float]:
    """Return how often replies to multiple choice in words name the most frequent letter."""
    share = in_words.one_letter(record.samples)
    return {} if share is None else {in_words.ONE_LETTER: share}


def _of_transcripts(record: RunRecord, task_set: TaskSet) -> dict[str, float]:
    """Return the error rates of all transcripts together; one without a score is lost whole."""
    return counts.rates(transcribed(record, task_set))


def transcribed(record: RunRecord, task_set: TaskSet) -> list[Mapping[str, float]]:
    """Return each sample's counts of errors; those of one without a score say that all is lost.

    Args:
        record: the run.
        task_set: what was asked.

    Returns:
        One a sample, in the task set's order; empty for one whose errors are not counted.
    """
    return [
        {}
        if sample.scorer not in counts.UNITS
        else result.metrics
        if result.score is not None
        else ErrorRate(sample.scorer).lost(sample)
        for sample, result in zip(task_set.samples, paired(record, task_set.samples), strict=True)
    ]
