"""Outputs become scores, and scores a run record."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import (
    EXACT,
    INDEX_RECALL,
    Output,
    Ranking,
    RunRecord,
    SampleResult,
)
from pytest_modellab.records.tasks import EXCLUDE, Sample, TaskSet
from pytest_modellab.runs.corpus import wanted_depth
from pytest_modellab.runs.job import Job
from pytest_modellab.scorers.interface import Scored, Scorer, SetScorer
from pytest_modellab.store.runs import StoredRun

DECIMALS = 6
"""To which figures of samples that are scored together are rounded, so that a baseline's difference
can be read."""


def record_of(job: Job, run: StoredRun) -> RunRecord:
    """Score the outputs of a run."""
    samples = job.task_set.samples
    outputs = [searched(s, o, job.task_set) for s, o in zip(samples, run.outputs, strict=True)]
    together = score_sets(job, outputs)
    results = tuple(
        score_sample(job, s, o, together.get(i))
        for i, (s, o) in enumerate(zip(samples, outputs, strict=True))
    )
    spec = job.spec
    return RunRecord(
        task_set={
            "name": job.task_set.name,
            "version": job.task_set.version,
            "hash": job.task_set.hash,
        },
        variant={
            "name": spec.name,
            "kind": spec.kind,
            "strategy": spec.strategy,
            "base": spec.base,
        },
        fingerprint=job.fingerprint,
        scorers={name: job.scorers[name].version for name in sorted({s.scorer for s in samples})},
        samples=results,
        probes=run.probes,
        environment=run.environment,
    )


def searched(sample: Sample, output: Output, task_set: TaskSet) -> Output:
    """Leave the documents out of a ranking that its sample excludes."""
    excluded = set(sample.metadata.get(EXCLUDE, ()))
    if not output.ranking:
        return output
    size = wanted_depth(task_set)

    def kept(hits: Ranking) -> Ranking:
        return tuple(hit for hit in hits if hit[0] not in excluded)[:size]

    exact = output.exact
    if exact is not None:
        exact = dataclasses.replace(exact, ranking=kept(exact.ranking))
    return dataclasses.replace(output, ranking=kept(output.ranking), exact=exact)


def score_sets(job: Job, outputs: Sequence[Output]) -> dict[int, Scored]:
    """Score what is scored together, by index; what failed is left out."""
    samples, found = job.task_set.samples, dict[int, Scored]()
    for name in dict.fromkeys(s.scorer for s in samples):
        scorer = job.scorers[name]
        if not isinstance(scorer, SetScorer):
            continue
        chosen = [i for i, s in enumerate(samples) if s.scorer == name and not outputs[i].failed]
        if not chosen:
            continue
        asked, given = [samples[i] for i in chosen], [outputs[i] for i in chosen]
        scored = scorer.score_all(asked, given, job.task_set.metrics)
        audits = [output.exact for output in given if output.exact is not None]
        if len(audits) == len(given):
            best = [
                dataclasses.replace(output, ranking=audit.ranking)
                for output, audit in zip(given, audits, strict=True)
            ]
            exact = scorer.score_all(asked, best, ())
            scored = [
                dataclasses.replace(
                    one,
                    metrics={
                        **one.metrics,
                        INDEX_RECALL: audit.recall,
                        f"{EXACT}{name}": other.score,
                    },
                )
                for one, audit, other in zip(scored, audits, exact, strict=True)
            ]
        found.update(zip(chosen, scored, strict=True))
    return found


def rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    """Round figures to the digits that are kept."""
    return {name: round(value, DECIMALS) for name, value in metrics.items()}


def score_sample(job: Job, sample: Sample, output: Output, scored: Scored | None) -> SampleResult:
    """Score one output."""
    score: float | None
    scorer = job.scorers[sample.scorer]
    if output.failed:
        score, text = None, f"({output.failed})"
    else:
        if scored is not None:
            score, text = round(scored.score, DECIMALS), scored.answer
        else:
            assert isinstance(scorer, Scorer)
            score, text = scorer.score(sample, output)
        if not 0.0 <= score <= 1.0:
            raise ScoringError(
                f"sample {sample.id!r}: the scorer {sample.scorer!r} gave {score!r}, "
                "which lies outside [0, 1]"
            )
    return SampleResult(
        id=sample.id,
        hash=sample.content_hash,
        score=score,
        output=text,
        tokens_in=output.tokens_in,
        tokens_out=output.tokens_out,
        seconds=round(output.seconds, 4),
        confidence=None if output.failed else _confidence(sample, output, text),
        metrics={} if scored is None else rounded(scored.metrics),
    )


def _confidence(sample: Sample, output: Output, answer: str) -> float | None:
    """The answer's share of the likelihood of all options (Kadavath et al. 2022)."""
    if not output.option_logprobs or answer not in sample.choices:
        return None
    top = max(output.option_logprobs)
    shares = [math.exp(value - top) for value in output.option_logprobs]
    return round(shares[sample.choices.index(answer)] / math.fsum(shares), 4)
