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
    RunRecord,
    SampleResult,
)
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs.corpus import searched
from pytest_modellab.runs.job import Job
from pytest_modellab.scorers.interface import Scored, Scorer, SetScorer
from pytest_modellab.store.runs import StoredRun

DECIMALS = 6
"""To which figures of samples that are scored together are rounded, so that a baseline's difference
can be read."""


Scorers = Mapping[str, Scorer | SetScorer]
"""By name."""


def record_of(job: Job, scorers: Scorers, run: StoredRun) -> RunRecord:
    """Score the outputs of a run.

    Args:
        job: what was run.
        scorers: those that its samples name, by name.
        run: the answers.

    Raises:
        ScoringError: a scorer cannot judge what it was given.
    """
    samples = job.task_set.samples
    outputs = [searched(s, o, job.task_set) for s, o in zip(samples, run.outputs, strict=True)]
    together = score_sets(job.task_set, scorers, outputs)
    results = tuple(
        score_sample(scorers[s.scorer], s, o, together.get(i))
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
        scorers={name: scorers[name].version for name in sorted({s.scorer for s in samples})},
        samples=results,
        probes=run.probes,
        environment=run.environment,
    )


def score_sets(task_set: TaskSet, scorers: Scorers, outputs: Sequence[Output]) -> dict[int, Scored]:
    """Score what is scored together, by index; what failed is left out."""
    samples, found = task_set.samples, dict[int, Scored]()
    for name in dict.fromkeys(s.scorer for s in samples):
        scorer = scorers[name]
        if not isinstance(scorer, SetScorer):
            continue
        chosen = [i for i, s in enumerate(samples) if s.scorer == name and not outputs[i].failed]
        if not chosen:
            continue
        asked, given = [samples[i] for i in chosen], [outputs[i] for i in chosen]
        scored = scorer.score_all(asked, given, task_set.metrics)
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


def score_sample(
    scorer: Scorer | SetScorer, sample: Sample, output: Output, scored: Scored | None
) -> SampleResult:
    """Score one output."""
    score: float | None
    if output.failed:
        score, text = None, f"({output.failed})"
    else:
        if scored is not None:
            score, text = round(scored.score, DECIMALS), scored.answer
        else:
            assert isinstance(scorer, Scorer)
            score, text = _guarded(scorer, sample, output)
        if score is not None and not 0.0 <= score <= 1.0:
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


def _guarded(scorer: Scorer, sample: Sample, output: Output) -> tuple[float | None, str]:
    """Score one reply; what a reply breaks in a scorer is that sample's failure, not the run's."""
    try:
        return scorer.score(sample, output)
    except ScoringError:  # said on purpose: a library is missing, a target is wrong
        raise
    except Exception as error:  # noqa: BLE001 - any code of a scorer runs here
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return None, f"(the scorer {sample.scorer!r} failed: {said})"


def _confidence(sample: Sample, output: Output, answer: str) -> float | None:
    """The answer's share of the likelihood of all options (Kadavath et al. 2022)."""
    if not output.option_logprobs or answer not in sample.choices:
        return None
    top = max(output.option_logprobs)
    shares = [math.exp(value - top) for value in output.option_logprobs]
    return round(shares[sample.choices.index(answer)] / math.fsum(shares), 4)
