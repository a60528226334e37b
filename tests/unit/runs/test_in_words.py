"""Runs that ask multiple choice in words: what an engine is asked, and what is stored of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest
import waiting

from pytest_modellab.engines.interface import Done, GenerationRequest
from pytest_modellab.errors import ScoringError
from pytest_modellab.records.media import PLACE, Media
from pytest_modellab.records.runs import Output, RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.runs import runner
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.runs.passages import Grounded
from pytest_modellab.scorers.exact import Exact
from pytest_modellab.scorers.in_words import ChoiceInWords, order
from pytest_modellab.scorers.interface import Scorer, SetScorer
from pytest_modellab.variants.prompt import Prompt

Make = Callable[..., Any]
SCORERS: dict[str, Scorer | SetScorer] = {"choice": ChoiceInWords(), "exact": Exact()}
PROMPT = Prompt(
    "{% block user %}Q: {{ input }}{% endblock %}", (("1?", "one"),), options=(("two", "one"),)
)


class Engine(waiting.Engine):
    """Says "A" to everything, and notes what it was asked."""

    def __init__(self) -> None:
        super().__init__(seconds=0.0)
        self.loads = 0
        self.asked: list[GenerationRequest] = []

    def open(self, cache: Path) -> Engine:
        self.loads += 1
        return self

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return "|".join(message["content"] for message in messages)

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        self.asked += requests
        done(dict.fromkeys(range(len(requests)), Output("A")))


@pytest.fixture
def run(spec: Make, fingerprint: Make, tmp_path: Path) -> Callable[[Engine, TaskSet], RunRecord]:
    def go(engine: Engine, task_set: TaskSet) -> RunRecord:
        job = Job(
            spec=spec(),
            fingerprint=fingerprint(),
            source=engine,
            prompt=PROMPT,
            task_set=task_set,
            needs={"choice": "generate", "exact": "generate"},
            budget=8,
        )
        assert job.in_words
        executor = InProcess(tmp_path, lambda source: source.open(tmp_path))
        return runner.run(job, SCORERS, executor)[0]

    return go


@pytest.fixture
def mixed(sample: Make, make_tasks: Make) -> TaskSet:
    reply = sample(2, scorer="exact", target="A", choices=(), max_tokens=4)
    made: TaskSet = make_tasks([sample(0), sample(1, max_tokens=99), reply])
    return made


def test_choices_alone_are_asked_in_words(
    run: Callable[[Engine, TaskSet], RunRecord], mixed: TaskSet
) -> None:
    engine = Engine()
    record = run(engine, mixed)
    choice, longer, reply = engine.asked
    assert [one.max_tokens for one in engine.asked] == [16, 99, 4]
    example = choice.context.split("|")
    assert example[1] in ("A", "B")
    assert f"\n{example[1]}. one\n" in example[0]
    assert example[2].startswith(f"Q: {mixed.samples[0].input}\n\nA. ")
    assert longer.context.endswith("\nAnswer:")
    assert reply.context == f"Q: 1?|one|Q: {mixed.samples[2].input}"
    assert record.scorers == {"choice_in_words": 1, "exact": 1}
    assert [one.metrics for one in record.samples] == [{"option_named": 1.0}] * 2 + [{}]
    assert record.samples[2].score == 1.0


def test_a_changed_target_is_scored_from_the_store(
    run: Callable[[Engine, TaskSet], RunRecord], mixed: TaskSet
) -> None:
    """What was replied is read in the order in which it was asked."""
    engine = Engine()
    run(engine, mixed)
    first = mixed.samples[0]
    for target in range(len(first.choices)):
        changed = dataclasses.replace(first, target=target)
        record = run(engine, dataclasses.replace(mixed, samples=(changed, *mixed.samples[1:])))
        assert record.samples[0].score == float(order(first)[0] == target)
    assert engine.loads == 1


def test_more_options_than_letters_are_refused_before_anything_is_asked(
    run: Callable[[Engine, TaskSet], RunRecord], sample: Make, make_tasks: Make
) -> None:
    engine = Engine()
    many = sample(1, choices=tuple(map(str, range(27))))
    with pytest.raises(ScoringError, match=r"sample s1: it has 27 options, and in words \(scoring"):
        run(engine, make_tasks([sample(0), many]))
    assert not engine.asked


def test_media_keep_their_places(sample: Make) -> None:
    shown = sample(0, media=(Media("image", "0" * 64, "x.png"),))
    (*_, last) = Grounded(PROMPT, in_words=True).chat(shown)
    assert last["content"].startswith(f"Q: {PLACE}{shown.input}\n\nA. ")
