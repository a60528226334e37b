"""Samples with images and recordings through a run: who is asked, with what, and what is stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import scorers
from pytest_modellab.engines.interface import Done, GenerationRequest, ScoringRequest
from pytest_modellab.errors import MediaError, ScoringError
from pytest_modellab.records.media import PLACE, Media
from pytest_modellab.records.runs import Output, RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs import runner
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job, needed
from pytest_modellab.variants.prompt import Prompt

RED, BLUE, CALL = (
    Media(kind, digit * 64, f"{digit}.file")  # type: ignore[arg-type]
    for kind, digit in (("image", "1"), ("image", "2"), ("audio", "3"))
)
AS_IT_IS = "{% block user %}{{ input }}{% endblock %}"


class Engine:
    """Prefers the first option, and keeps what it was asked."""

    media = frozenset({"image"})

    def __init__(self) -> None:
        self.asked: list[ScoringRequest] = []

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return "|".join(message["content"] for message in messages)

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        self.asked.extend(requests)
        done(dict.fromkeys(range(len(requests)), Output("", (-1.0, -2.0))))

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        assert not requests

    def parameter_bytes(self) -> int:
        return 1


class Reader(Engine):
    media = frozenset()


class Looker(Engine):
    """Answers nothing without an image."""

    needs = "image"


Run = Callable[..., RunRecord]


@pytest.fixture
def run(
    fingerprint: Callable[..., Any],
    spec: Callable[..., Any],
    make_tasks: Callable[..., TaskSet],
    tmp_path: Path,
) -> Run:
    def go(engine: Engine, *samples: Sample, template: str = AS_IT_IS) -> RunRecord:
        job = Job(
            spec=spec(),
            fingerprint=fingerprint(),
            prompt=Prompt(template),
            source=engine,  # type: ignore[arg-type]
            task_set=make_tasks(list(samples)),
            needs={name: needed(scorer) for name, scorer in scorers.SCORERS.items()},
        )
        executor = InProcess(tmp_path, lambda _: engine)  # type: ignore[arg-type, return-value]
        return runner.run(job, scorers.SCORERS, executor)[0]

    return go


@pytest.fixture
def shown(sample: Callable[..., Sample]) -> Callable[..., Sample]:
    def make(number: int, input_: str, *media: Media) -> Sample:
        return dataclasses.replace(sample(number), input=input_, media=media)

    return make


def test_an_engine_gets_media_in_their_places(run: Run, shown: Callable[..., Sample]) -> None:
    engine = Engine()
    run(
        engine,
        shown(0, "Which?", RED, BLUE),
        shown(1, f"From {PLACE} to {PLACE}?", BLUE, RED),
        shown(2, "Text."),
        template="{% block user %}Look: {{ input }}{% endblock %}",
    )
    assert [(one.context, one.media) for one in engine.asked] == [
        (f"Look: {PLACE}{PLACE}Which?", (RED, BLUE)),
        (f"Look: From {PLACE} to {PLACE}?", (BLUE, RED)),
        ("Look: Text.", ()),
    ]


def test_what_an_engine_asks_for(run: Run, shown: Callable[..., Sample]) -> None:
    asked = Looker()
    with pytest.raises(ScoringError) as caught:
        run(asked, shown(0, "Which?", RED), shown(1, "Text."))
    assert str(caught.value).endswith(
        ': it holds no image, and this variant answers nothing else: give it "image", or ask a '
        "variant that reads text"
    )
    assert asked.asked == []
    run(asked, shown(0, "Which?", RED))


@pytest.mark.parametrize(
    ("engine", "media", "text"),
    [
        (
            Reader,
            RED,
            "it holds an image, and this variant reads text alone; ask a variant of a kind that "
            "takes it: multimodal (a language model that looks) or reader (of documents)",
        ),
        (
            Engine,
            CALL,
            "it holds a recording, and this variant takes images alone; ask a variant of a kind "
            "that takes it: transcriber",
        ),
    ],
)
def test_what_an_engine_does_not_take(
    run: Run,
    shown: Callable[..., Sample],
    engine: type[Engine],
    media: Media,
    text: str,
) -> None:
    asked = engine()
    with pytest.raises(ScoringError) as caught:
        run(asked, shown(0, "Text."), shown(1, "Which?", media))
    assert str(caught.value).endswith(f": {text}")
    assert asked.asked == []


@pytest.mark.parametrize(
    ("template", "places"),
    [
        ("{% block user %}Say yes.{% endblock %}", 0),
        ("{% block user %}{{ input }} {{ input }}{% endblock %}", 4),
        ("{% block user %}{{ input.split('Which')[1] }}{% endblock %}", 0),
        (f"{{% block system %}}{PLACE}{{% endblock %}}{AS_IT_IS}", 3),
    ],
)
def test_a_prompt_shows_each_once(
    run: Run, shown: Callable[..., Sample], template: str, places: int
) -> None:
    with pytest.raises(ScoringError) as caught:
        run(Engine(), shown(7, "Which?", RED, BLUE), template=template)
    assert str(caught.value).endswith(
        f"its prompt has {places} places (U+FFFC) for 2 images and recordings; let the template "
        "write {{ input }} once and unchanged, and no example and no passage hold the character"
    )


def test_a_file_that_goes_during_a_run_names_its_sample(
    run: Run, shown: Callable[..., Sample]
) -> None:
    class Opening(Engine):
        def score_options(
            self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
        ) -> None:
            raise MediaError(f"{requests[1].media[0].path}: no such file")

    with pytest.raises(MediaError, match=r"sample s1: 2\.file: no such file$"):
        run(Opening(), shown(0, "Which?", RED), shown(1, "Which?", BLUE))


def test_another_picture_is_asked_anew(run: Run, shown: Callable[..., Sample]) -> None:
    engine = Engine()
    first = run(engine, shown(0, "Which?", RED))
    assert run(engine, shown(0, "Which?", RED)).samples[0].hash == first.samples[0].hash
    assert len(engine.asked) == 1
    assert run(engine, shown(0, "Which?", BLUE)).samples[0].hash != first.samples[0].hash
    moved = dataclasses.replace(RED, path="elsewhere", width=9)
    run(engine, shown(0, "Which?", moved))
    run(engine, shown(0, "Which?"))
    assert [one.media for one in engine.asked] == [(RED,), (BLUE,), ()]
