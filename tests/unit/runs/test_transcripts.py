"""Transcripts through the runner: errors are counted, and the rate is the corpus'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import scorers
from pytest_modellab.baselines.accepted import metrics_of
from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.judging.scores import judged_by
from pytest_modellab.records.runs import Fingerprint, Output, RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs.job import Job, needed
from pytest_modellab.runs.scoring import record_of
from pytest_modellab.runs.summary import summarize
from pytest_modellab.store.runs import StoredRun

pytest.importorskip("jiwer")

TEXTS = ("one two three four five six", "yes", "")


@pytest.fixture
def spoken() -> TaskSet:
    samples = tuple(
        Sample(f"s{k}", "?", text, "wer", "c", "easy", max_tokens=8) for k, text in enumerate(TEXTS)
    )
    return TaskSet("spoken", "1", samples)


@pytest.fixture
def heard(
    spoken: TaskSet, spec: Callable[..., Any], fingerprint: Callable[..., Fingerprint]
) -> Callable[..., RunRecord]:
    def run(*outputs: Output) -> RunRecord:
        known = scorers.SCORERS
        job = Job(
            spec=spec(),
            fingerprint=fingerprint(),
            source=Path(),  # type: ignore[arg-type]
            prompt=None,  # type: ignore[arg-type]
            task_set=spoken,
            needs={"wer": needed(known["wer"])},
        )
        return record_of(job, known, StoredRun(outputs, {"seconds": 1.0}, {}))

    return run


def test_the_rate_is_the_corpus(spoken: TaskSet, heard: Callable[..., RunRecord]) -> None:
    record = heard(Output("one two three four five"), Output("no no"), Output(""))
    assert [one.score for one in record.samples] == [pytest.approx(5 / 6, abs=1e-6), 0.0, 1.0]
    summary = summarize(record, spoken)
    assert summary.metrics == {"wer": 3 / 7}, "1 error of 6, and 2 of 1; counts are not shown"
    assert metrics_of(record) == {}, "a second run keeps no counts"
    assert record.samples[1].metrics["word_insertions"] == 1.0
    assert record.scorers == {"wer": 1}


def test_what_has_no_score_is_lost_whole(spoken: TaskSet, heard: Callable[..., RunRecord]) -> None:
    record = heard(Output("", failed="broken"), Output("yes"), Output(""))
    assert record.samples[0].score is None
    assert summarize(record, spoken).metrics == {"wer": 6 / 7}


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("wer", "it is made of the errors of all samples together; judge the score"),
        ("word_insertions", "it is a count; judge the score"),
        ("words", "it is a count; judge the score"),
    ],
)
def test_errors_are_no_metric_of_samples(spoken: TaskSet, metric: str, said: str) -> None:
    """More of them would be taken for better."""
    with pytest.raises(ComparisonRefused) as refused:
        judged_by(metric, spoken)
    assert str(refused.value) == f"metric '{metric}': {said}"
