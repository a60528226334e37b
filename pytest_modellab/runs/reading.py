"""How likely replies are that somebody else wrote: a run reads them as its only options."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from pytest_modellab.records.graded import LIKELIHOOD
from pytest_modellab.records.progress import Work
from pytest_modellab.records.runs import Output, RunRecord
from pytest_modellab.runs.executor import Executor
from pytest_modellab.runs.job import Job
from pytest_modellab.runs.paraphrases import paraphrased_jobs
from pytest_modellab.runs.scoring import rounded
from pytest_modellab.scorers.graded import a_byte

SCORER = "likelihood"
"""What the samples of a reading name as their scorer; there is none, since nothing is scored."""


def reading_job(job: Job, texts: Mapping[str, str]) -> Job:
    """Make the job that reads replies.

    It asks with the prompt, the passages and the model of the run: as an option is read, the text
    follows the prompt at once, and what would end the reply is no part of it. A variant that thinks
    before it answers thinks, and reads the text after each of its chains.

    Args:
        job: of the whole run.
        texts: what is read, by the sample's id; the samples without one are left out.

    Returns:
        A job whose samples have the text as their only option, so that the store keeps it by that
        text.
    """
    samples = tuple(
        dataclasses.replace(sample, choices=(texts[sample.id],), scorer=SCORER, max_tokens=0)
        for sample in job.task_set.samples
        if sample.id in texts
    )
    return dataclasses.replace(
        job,
        task_set=dataclasses.replace(job.task_set, samples=samples),
        needs={SCORER: "score"},
        work=Work.READING,
        part=None,
    )


def read(job: Job, executor: Executor) -> dict[str, float]:
    """Read the replies of a job, or take what was read from the store.

    Args:
        job: as :func:`reading_job` makes it.
        executor: obtains the likelihoods.

    Returns:
        The likelihood of a byte of each text, by the sample's id: exp(log-likelihood / UTF-8
        bytes), the mean over the prompts where there are several. A sample that a model cannot
        read, since its likelihoods are not finite, is left out.

    Raises:
        ModellabError: as :meth:`Executor.obtain`.
    """
    found: dict[str, list[float]] = {}
    jobs = paraphrased_jobs(job)
    for one in jobs:
        stored = executor.obtain(one)
        for sample, output in zip(one.task_set.samples, stored.outputs, strict=True):
            value = _likelihood(output, sample.choices[0])
            if value is not None:
                found.setdefault(sample.id, []).append(value)
    return {
        id_: math.fsum(values) / len(values)
        for id_, values in found.items()
        if len(values) == len(jobs)
    }


def _likelihood(output: Output, text: str) -> float | None:
    if output.failed or len(output.option_logprobs) != 1:
        return None
    return a_byte(output.option_logprobs[0], text)


def with_likelihoods(record: RunRecord, likelihoods: Mapping[str, float]) -> RunRecord:
    """Return a run that tells how likely the replies are that were read.

    Args:
        record: the run of who has read them.
        likelihoods: as :func:`read` returns them.
    """
    return dataclasses.replace(
        record,
        samples=tuple(
            dataclasses.replace(
                result, metrics=rounded({**result.metrics, LIKELIHOOD: likelihoods[result.id]})
            )
            if result.id in likelihoods
            else result
            for result in record.samples
        ),
    )
