"""Documents through the runner: asked in plain text, stored by how they are read, weighed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import scorers
from pytest_modellab.baselines.accepted import Repeat, flips, metrics_of
from pytest_modellab.baselines.file import same_answers
from pytest_modellab.engines import interface
from pytest_modellab.engines.interface import Done, ReadingRequest, Source
from pytest_modellab.errors import OutOfMemory, ScoringError
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import Output, RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.reports import measured
from pytest_modellab.runs import runner
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job, needed
from pytest_modellab.runs.summary import summarize

Run = Callable[..., tuple[RunRecord, bool]]


class Reader:
    """Reads with so many nats a character, in batches of one, and notes what it was asked."""

    abilities = interface.LITERATE

    def __init__(self, nats: float = -1.0, *, fits: int = 10**9) -> None:
        self.nats, self.fits = nats, fits
        self.asked: list[ReadingRequest] = []

    def open(self, cache: Path) -> Reader:
        return self

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        raise AssertionError("a document is in no chat template")

    def score_options(self, requests: Sequence[Any], **_: Any) -> None:
        assert not requests

    generate = score_options

    def read_documents(
        self, requests: Sequence[ReadingRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        if budget > self.fits:
            raise OutOfMemory("full")
        for i, request in enumerate(requests):
            if i not in skip:
                self.asked.append(request)
                total, tokens = self.nats * len(request.text), len(request.text) // 2
                done({i: Output("", (total,), 1, tokens, 0.5)})

    def parameter_bytes(self) -> int:
        return 1000

    def close(self) -> None:
        pass


class Words(Reader):
    """A language model of somebody's plugin, which says nothing of what it can."""

    abilities = interface.WORDS


class Prompt:
    hash = "p" * 16

    @staticmethod
    def messages(input_: str, passages: Sequence[str] = ()) -> list[dict[str, str]]:
        return [{"role": "user", "content": input_}]


def document(text: str, **changes: Any) -> Sample:
    values: dict[str, Any] = {
        "id": text.split(maxsplit=1)[0],
        "input": text,
        "target": None,
        "scorer": "perplexity",
        "capability": "text",
        "difficulty": "medium",
    }
    return Sample(**{**values, **changes})


TEXTS = ("tea for two", "a b c d", "rain " * 20)


@pytest.fixture
def prose() -> TaskSet:
    return TaskSet("prose", "1", tuple(map(document, TEXTS)))


@pytest.fixture
def run(
    tmp_path: Path,
    spec: Callable[..., VariantSpec],
    fingerprint: Callable[..., Any],
    prose: TaskSet,
) -> Run:
    def go(engine: Reader, task_set: TaskSet = prose) -> tuple[RunRecord, bool]:
        def load(source: Source) -> Any:
            return source.open(tmp_path)

        known = scorers.SCORERS
        job = Job(
            spec=spec(),
            fingerprint=fingerprint(),
            source=engine,  # type: ignore[arg-type]
            prompt=Prompt(),
            task_set=task_set,
            needs={name: needed(scorer) for name, scorer in known.items()},
        )
        return runner.run(job, known, InProcess(tmp_path, load))

    return go


def test_each_document_is_read_as_it_is(run: Run, prose: TaskSet) -> None:
    engine = Reader()
    record, stored = run(engine)
    assert not stored
    assert engine.asked == [ReadingRequest(text) for text in TEXTS]
    assert [result.score for result in record.samples] == [round(math.exp(-1), 6)] * 3
    assert record.samples[0].metrics == {
        "likelihood": 0.367879,
        "bits_per_byte": 1.442695,
        "log_likelihood": -11.0,
    }
    assert record.samples[0].output == "1.443 bits per byte (11 bytes, 5 tokens)"
    assert record.scorers == {"perplexity": 1}
    assert metrics_of(record) == {"likelihood": (0.367879,) * 3}, "what a second run keeps"
    again, stored = run(Reader(-2.0))
    assert stored
    assert again.samples == record.samples


def test_how_a_document_is_read_decides_what_is_stored(run: Run, prose: TaskSet) -> None:
    run(Reader())
    target = {"window": 8, "context": 4}
    cut = tuple(dataclasses.replace(sample, target=target) for sample in prose.samples)
    engine = Reader(-2.0)
    record, stored = run(engine, dataclasses.replace(prose, samples=cut))
    assert not stored
    assert engine.asked == [ReadingRequest(text, 8, 4) for text in TEXTS]
    assert record.samples[0].metrics["log_likelihood"] == -22.0


def test_memory_that_runs_out_halves_the_budget(run: Run) -> None:
    record, _ = run(Reader(fits=100))
    assert record.environment["token_budget"] == 64


@pytest.mark.parametrize(("nats", "what"), [(math.nan, "NaN"), (-math.inf, "infinite")])
def test_a_likelihood_that_is_none(run: Run, prose: TaskSet, nats: float, what: str) -> None:
    record, _ = run(Reader(nats))
    assert [result.score for result in record.samples] == [None] * 3
    assert record.samples[0].output == f"(the model's likelihoods are {what})"
    summary = summarize(record, prose)
    assert (summary.missing, summary.metrics) == (3, {})


def test_an_engine_that_does_not_read(run: Run) -> None:
    with pytest.raises(ScoringError) as caught:
        run(Words())
    assert str(caught.value) == (
        "sample 'tea' asks for the likelihood of a document, which the scorer 'perplexity' "
        "judges, and 'prompted' variants give none; select others: "
        "@pytest.mark.variants(kind=…)"
    )


def test_a_corpus_figure_is_no_mean_of_ratios(run: Run, prose: TaskSet) -> None:
    record, _ = run(Reader())
    totals = (-10.0, -20.0, -30.0)
    results = tuple(
        dataclasses.replace(
            result, metrics={"likelihood": 0.5, "bits_per_byte": 9.0, "log_likelihood": total}
        )
        for result, total in zip(record.samples, totals, strict=True)
    )
    # a baseline's samples may stand in another order
    changed = dataclasses.replace(record, samples=results[::-1])
    size = sum(map(len, TEXTS))
    found = summarize(changed, prose)
    assert found.metrics == pytest.approx(
        {
            "likelihood": 0.5,
            "bits_per_byte": 60 / size / math.log(2),
            "byte_perplexity": math.exp(60 / size),
            "token_perplexity": math.exp(60 / sum(len(text) // 2 for text in TEXTS)),
            "word_perplexity": math.exp(60 / (3 + 4 + 21)),
        }
    )
    assert measured.in_line(found, 0.5) == [
        "bits_per_byte=0.73",
        "byte_perplexity=1.66",
        "word_perplexity=8.52",
    ]


def test_last_digits_are_no_churn_and_no_other_answers(run: Run) -> None:
    record, _ = run(Reader())

    def moved(by: float) -> RunRecord:
        samples = tuple(
            dataclasses.replace(
                result,
                score=(result.score or 0.0) + by,
                output=f"moved by {by}",
                metrics={
                    name: value + (by if name == "likelihood" else -3 * by)
                    for name, value in result.metrics.items()
                },
            )
            for result in record.samples
        )
        return dataclasses.replace(record, samples=samples)

    def churned(by: float) -> int:
        scores = tuple(result.score for result in moved(by).samples)
        return flips(record, Repeat(scores, record.environment)).flips

    assert (churned(0.0009), churned(0.002)) == (0, 3)
    assert same_answers(record, moved(0.0009))
    assert not same_answers(record, moved(0.002))


def test_what_failed_has_no_part_in_the_figures(run: Run, prose: TaskSet) -> None:
    record, _ = run(Reader())
    failed = dataclasses.replace(record.samples[0], score=None, metrics={})
    found = summarize(dataclasses.replace(record, samples=(failed, *record.samples[1:])), prose)
    assert found.missing == 1
    assert found.metrics["byte_perplexity"] == pytest.approx(math.e)
