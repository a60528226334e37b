"""A variant with several prompts is run once with each, and averaged."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Sequence

from pytest_modellab.records.pairing import paired
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.runs.job import Job, Part
from pytest_modellab.runs.probes import times
from pytest_modellab.runs.scoring import DECIMALS


def paraphrased_jobs(job: Job) -> list[Job]:
    """One job a prompt; where there is one prompt, the job itself."""
    if not job.paraphrases:
        return [job]
    prompts, size = (job.prompt, *job.paraphrases), len(job.task_set.samples)
    part = job.part or Part(0, len(prompts) * size)
    return [
        dataclasses.replace(
            job,
            prompt=prompt,
            paraphrases=(),
            fingerprint=dataclasses.replace(job.fingerprint, prompt=prompt.hash),
            part=dataclasses.replace(part, before=part.before + number * size),
        )
        for number, prompt in enumerate(prompts)
    ]


def averaged(job: Job, records: Sequence[RunRecord]) -> RunRecord:
    """Join the runs of several prompts: a sample's score is its mean over them.

    ``prompt_stability`` is the mean over samples of the share of prompts whose score is the most
    frequent one; ``prompt_spread`` the largest difference between two prompts' means (Sclar et al.
    2023, "Quantifying Language Models' Sensitivity to Spurious Features in Prompt Design").
    """
    samples = []
    for asked in zip(*(paired(r, job.task_set.samples) for r in records), strict=True):
        scores = [result.score for result in asked if result.score is not None]
        shown = next((result for result in asked if result.score is None), asked[0])
        most = max(Counter(result.score for result in asked).values())
        seconds = [result.seconds for result in asked if result.seconds is not None]
        samples.append(
            dataclasses.replace(
                shown,
                score=math.fsum(scores) / len(scores) if len(scores) == len(asked) else None,
                stability=most / len(asked),
                metrics={
                    name: round(math.fsum(r.metrics[name] for r in asked) / len(asked), DECIMALS)
                    for name in shown.metrics
                    if all(name in r.metrics for r in asked)
                },
                tokens_in=round(statistics.fmean(result.tokens_in for result in asked)),
                tokens_out=round(statistics.fmean(result.tokens_out for result in asked)),
                seconds=round(statistics.fmean(seconds), 4) if seconds else None,
                confidence=None,  # the score is a mean over prompts, which no one answer has
            )
        )
    means = [record.mean for record in records]
    return dataclasses.replace(
        records[0],
        fingerprint=job.fingerprint,
        samples=tuple(samples),
        probes={
            **records[0].probes,
            **times([record.probes for record in records]),
            "prompts": float(len(records)),
            "prompt_stability": statistics.fmean(s.stability or 0.0 for s in samples),
            "prompt_spread": max(means) - min(means),
        },
        environment={
            **records[0].environment,
            "token_budget": min(record.environment["token_budget"] for record in records),
        },
    )
