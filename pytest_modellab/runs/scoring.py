"""Outputs become scores, and scores a run record."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from pytest_modellab.errors import ScoringError, Unscorable
from pytest_modellab.records.reading import shown
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
from pytest_modellab.scorers.graded import graded
from pytest_modellab.scorers.interface import Scored, Scorer, SetScorer
from pytest_modellab.store.runs import StoredRun
from pytest_modellab.visible import raised

DECIMALS = 6
"""To which figures of samples that are scored together are rounded, so that a baseline's difference
can be read."""


Scorers = Mapping[str, Scorer | SetScorer]
"""By name."""


T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a scorer gave a sample no score."""

    why: str


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
        task_set=job.task_set.identity,
        variant={
            "name": spec.name,
            "kind": spec.kind,
            "strategy": spec.strategy,
            "base": spec.base,
        },
        fingerprint=job.fingerprint,
        scorers=_versions(scorers, samples),
        samples=results,
        probes=run.probes,
        environment=run.environment,
    )


def _versions(scorers: Scorers, samples: Sequence[Sample]) -> dict[str, int]:
    """Return the versions of the scorers that have judged, by their own names."""
    used = [scorers[name] for name in {s.scorer for s in samples}]
    return {one.name: one.version for one in sorted(used, key=lambda one: one.name)}


def score_sets(
    task_set: TaskSet, scorers: Scorers, outputs: Sequence[Output]
) -> dict[int, Scored | Failure]:
    """Score what is scored together, by index; what failed is left out.

    What breaks a scorer of many samples is the failure of them all: none can be scored alone.
    """
    samples, found = task_set.samples, dict[int, Scored | Failure]()
    for name in dict.fromkeys(s.scorer for s in samples):
        scorer = scorers[name]
        if not isinstance(scorer, SetScorer):
            continue
        chosen = [i for i, s in enumerate(samples) if s.scorer == name and not outputs[i].failed]
        if not chosen:
            continue
        asked, given = [samples[i] for i in chosen], [outputs[i] for i in chosen]
        scored = _attempt(name, _together, scorer, asked, given, task_set.metrics)
        if isinstance(scored, Failure):
            found.update(dict.fromkeys(chosen, scored))
        else:
            found.update(zip(chosen, scored, strict=True))
    return found


def _together(
    scorer: SetScorer, asked: Sequence[Sample], given: Sequence[Output], metrics: Sequence[str]
) -> list[Scored | Failure]:
    """Score outputs of one scorer, with what exact search says beside an approximate index."""
    scored = [
        _attempt(scorer.name, _checked, one)
        for one in _as_many(asked, scorer.score_all(asked, given, metrics))
    ]
    audits = [output.exact for output in given if output.exact is not None]
    if len(audits) < len(given):
        return scored
    best = [
        dataclasses.replace(output, ranking=audit.ranking)
        for output, audit in zip(given, audits, strict=True)
    ]
    exact = map(_checked, _as_many(asked, scorer.score_all(asked, best, ())))
    return [
        one
        if isinstance(one, Failure)
        else dataclasses.replace(
            one,
            metrics={
                **one.metrics,
                INDEX_RECALL: audit.recall,
                f"{EXACT}{scorer.name}": other.score,
            },
        )
        for one, audit, other in zip(scored, audits, exact, strict=True)
    ]


def _as_many(asked: Sequence[Sample], scored: Sequence[Scored]) -> Sequence[Scored]:
    if len(scored) != len(asked):
        raise ValueError(f"gave {len(scored)} scores for {len(asked)} samples")
    return scored


def rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    """Round figures to the digits that are kept."""
    return {name: round(value, DECIMALS) for name, value in metrics.items()}


def score_sample(
    scorer: Scorer | SetScorer, sample: Sample, output: Output, scored: Scored | Failure | None
) -> SampleResult:
    """Score one output.

    Args:
        scorer: the sample's.
        sample: what was asked.
        output: what was answered.
        scored: what :func:`score_sets` made of it, or None.
    """
    if output.failed:
        scored = Failure(output.failed)
    elif scored is None:
        scored = _attempt(sample.scorer, _alone, scorer, sample, output)
    elif isinstance(scored, Scored):
        scored = Scored(round(scored.score, DECIMALS), scored.answer, scored.metrics)
    answered = scored if isinstance(scored, Scored) else None
    return SampleResult(
        id=sample.id,
        hash=sample.content_hash,
        score=answered.score if answered else None,
        output=scored.answer if isinstance(scored, Scored) else f"({scored.why})",
        tokens_in=output.tokens_in,
        tokens_out=output.tokens_out,
        seconds=round(output.seconds, 4),
        confidence=_confidence(sample, output, answered.answer) if answered else None,
        metrics=rounded({**graded(sample, output), **answered.metrics}) if answered else {},
    )


def _attempt(name: str, work: Callable[..., T], *given: Any) -> T | Failure:
    """Let a scorer work; what an answer breaks in it is no error of the run."""
    try:
        return work(*given)
    except Unscorable as error:
        return Failure(str(error))
    except ScoringError:  # said on purpose: a library is missing, a target is wrong
        raise
    except Exception as error:  # noqa: BLE001 - any code of a scorer runs here
        return Failure(f"the scorer {name!r} failed: {raised(error)}")


def _alone(scorer: Scorer | SetScorer, sample: Sample, output: Output) -> Scored:
    score, answer = cast("Scorer", scorer).score(sample, output)  # the others score sets
    figures = getattr(scorer, "figures", None)  # may be left out
    return _checked(Scored(score, answer, figures(sample, output) if figures else {}))


def _checked(scored: Scored) -> Scored:
    """Return what a scorer gave, in built-in types.

    Raises:
        TypeError: a score or a figure is no number, or the answer no text.
        ValueError: the score lies outside [0, 1], or a figure is not finite.
    """
    if not isinstance(scored, Scored):
        raise TypeError(f"gave {shown(scored)}, which is no Scored(score, answer, metrics)")
    if not isinstance(scored.answer, str):
        raise TypeError(f"gave the answer {shown(scored.answer)}, which is no text")
    score = _number("the score", scored.score)
    if not 0.0 <= score <= 1.0:
        raise ValueError(f"gave {score!r}, which lies outside [0, 1]")
    metrics = {key: _number(f"the figure {key!r}", one) for key, one in scored.metrics.items()}
    for key, figure in metrics.items():
        if not math.isfinite(figure):
            raise ValueError(f"gave the figure {key!r} as {figure!r}, which is not finite")
    return Scored(score, scored.answer, metrics)


def _number(what: str, value: object) -> float:
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"gave {what} as {shown(value)}, which is no number")
    return float(value)


def _confidence(sample: Sample, output: Output, answer: str) -> float | None:
    """The answer's share of the likelihood of all options (Kadavath et al. 2022)."""
    if not output.option_logprobs or answer not in sample.choices:
        return None
    top = max(output.option_logprobs)
    if not math.isfinite(top):
        return None
    shares = [math.exp(value - top) for value in output.option_logprobs]
    return round(shares[sample.choices.index(answer)] / math.fsum(shares), 4)
