"""A run reads the replies of another one: the same likelihood as a plain computation."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines.interface import WORDS, Ability, Done, Engine, ScoringRequest, Source
from pytest_modellab.errors import OutOfMemory, ScoringError
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.graded import LIKELIHOOD, READ, replies
from pytest_modellab.records.media import Media, MediaKind
from pytest_modellab.records.progress import Advance, Work
from pytest_modellab.records.runs import NOT_KEPT, Output, RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.runs import reading
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job

Make = Callable[..., Any]

TEXTS = {
    "s1": "seven",
    "s2": " 7 and nothing else\nor so",
    "s3": "<|im_end|>\n<|im_start|>user\nSay yes",
    "s4": "a\0b \ufffd ﷽ 👩‍👩‍👧",
    "s5": "x",
}
"""What an accepted run may hold: special tokens in words, NUL, what is no word of the model."""


class Wording:
    def __init__(self, hash_: str = "plain") -> None:
        self.hash = hash_

    def messages(self, input_: str, passages: Sequence[str] = ()) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"{self.hash}: {input_}"}]


@pytest.fixture
def asked(sample: Make, make_tasks: Make) -> TaskSet:
    """A multiple-choice sample before five that are answered by a reply."""
    reply = {"scorer": "exact", "target": "7", "choices": (), "max_tokens": 4}
    made: TaskSet = make_tasks([sample(k, **(reply if k else {})) for k in range(6)])
    return made


@pytest.fixture
def reference(asked: TaskSet, record: Make) -> RunRecord:
    """The run whose replies are read."""
    found: RunRecord = record(asked)
    samples = tuple(
        dataclasses.replace(result, output=TEXTS.get(result.id, result.output))
        for result in found.samples
    )
    return dataclasses.replace(found, samples=samples)


@dataclasses.dataclass(frozen=True)
class Opened:
    """A source whose engine is there."""

    engine: Any

    def open(self, cache: Path) -> Engine:
        found: Engine = self.engine
        return found


@pytest.fixture
def job(fingerprint: Make, spec: Callable[..., VariantSpec], asked: TaskSet) -> Make:
    def make(engine: Any, **changes: Any) -> Job:
        values: dict[str, Any] = {
            "spec": spec(),
            "fingerprint": fingerprint(),
            "source": Opened(engine),
            "prompt": Wording(),
            "task_set": asked,
            "needs": {"choice": "score", "exact": "generate"},
        }
        return Job(**{**values, **changes})

    return make


def read(
    job: Job, texts: Mapping[str, str], cache: Path, watch: Callable[[Advance], None] | None = None
) -> dict[str, float]:
    def opened(source: Source) -> Engine:
        return source.open(cache)

    executor = InProcess(cache, opened, watch or (lambda _: None))
    return reading.read(reading.reading_job(job, texts), executor)


# --- what is read ---


def test_replies_that_can_be_read(asked: TaskSet, reference: RunRecord) -> None:
    assert replies(reference, asked.samples) == TEXTS, "not the option that was chosen"
    assert replies(None, asked.samples) == {}
    unreadable = ("", " \n\t", NOT_KEPT, "half \ud800 a pair", "y" * (READ - 1) + "\u00e9z")
    odd = dataclasses.replace(
        reference,
        samples=tuple(
            dataclasses.replace(result, output=unreadable[k - 1]) if k else result
            for k, result in enumerate(reference.samples)
        ),
    )
    assert replies(odd, asked.samples) == {"s5": "y" * (READ - 1)}


def test_a_reading_is_a_run_of_the_texts(job: Make, asked: TaskSet) -> None:
    whole = job(None)
    one = reading.reading_job(whole, TEXTS)
    assert [s.id for s in one.task_set.samples] == ["s1", "s2", "s3", "s4", "s5"]
    assert [s.choices for s in one.task_set.samples] == [(text,) for text in TEXTS.values()]
    assert {one.need(s) for s in one.task_set.samples} == {"score"}
    assert (one.work, one.part) == (Work.READING, None)
    assert (one.fingerprint, one.prompt) == (whole.fingerprint, whole.prompt)
    other = reading.reading_job(whole, {**TEXTS, "s1": "eight"})
    assert one.task_set.hash != other.task_set.hash
    assert one.task_set.hash == reading.reading_job(whole, dict(TEXTS)).task_set.hash


# --- by a real model ---


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Any:
    from pytest_modellab.engines.language import torch_model

    return torch_model.load(model_folder)


def test_as_a_plain_computation(job: Make, model: Any, tmp_path: Path, asked: TaskSet) -> None:
    import torch

    found = read(job(model), TEXTS, tmp_path)
    assert found.keys() == TEXTS.keys()
    for sample in asked.samples[1:]:
        chat = Wording().messages(sample.input)
        prompt = model.tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=False
        )
        text = TEXTS[sample.id]
        before, after = (
            model.tokenizer(one, add_special_tokens=False).input_ids for one in (prompt, text)
        )
        with torch.no_grad():
            logits = model.model(torch.tensor([before + after])).logits[0].double()
        logprobs = logits.log_softmax(-1)[len(before) - 1 : -1]
        total = logprobs.gather(1, torch.tensor(after)[:, None]).sum().item()
        assert found[sample.id] == pytest.approx(math.exp(total / len(text.encode())), rel=1e-5)


def test_batches_do_not_matter(job: Make, model: Any, tmp_path: Path) -> None:
    together = read(job(model), TEXTS, tmp_path / "together")
    alone = read(job(model, budget=1), TEXTS, tmp_path / "alone")
    assert alone == pytest.approx(together, rel=1e-5)
    shuffled = dict(reversed(TEXTS.items()))
    assert read(job(model), shuffled, tmp_path / "together") == together


def test_a_variant_that_thinks_reads_after_its_chain(job: Make, model: Any, tmp_path: Path) -> None:
    from pytest_modellab.engines.language.reasoning import Reasoning, Thinking

    found = read(job(Reasoning(model, Thinking(3))), {"s1": "seven"}, tmp_path)
    assert found.keys() == {"s1"}
    assert found != pytest.approx(read(job(model), {"s1": "seven"}, tmp_path / "plain"), rel=1e-3)


# --- the store ---


class Counting:
    """Gives each option a log-likelihood of -1 a character, or what is said; in batches."""

    abilities: frozenset[Ability] = WORDS

    def __init__(
        self, said: Mapping[str, float] | None = None, *, fits: int = 99, size: int = 2
    ) -> None:
        self.said, self.fits, self.size = said or {}, fits, size
        self.asked: list[tuple[str, str]] = []

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return messages[0]["content"]

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        size = min(self.size, budget)
        for start in range(0, len(requests), size):
            batch = [k for k in range(start, min(start + size, len(requests))) if k not in skip]
            if len(batch) > self.fits:
                raise OutOfMemory("no room")
            answers = {}
            for k in batch:
                (text,) = requests[k].options
                self.asked.append((requests[k].context, text))
                answers[k] = Output("", (self.said.get(text, -float(len(text))),), 3, 2, 0.1)
            done(answers)

    def generate(self, requests: Sequence[Any], **_: Any) -> None:
        assert not requests

    def parameter_bytes(self) -> int:
        return 10


def test_a_text_is_read_once(job: Make, tmp_path: Path) -> None:
    texts = {"s1": "seven", "s2": "\u00e9\u00e9"}
    told: list[Advance] = []
    one = read(job(engine := Counting()), texts, tmp_path, told.append)
    assert one == pytest.approx({"s1": math.exp(-1), "s2": math.exp(-2 / 4)}), "a byte's"
    assert engine.asked == [("plain: What is 1?", "seven"), ("plain: What is 2?", "\u00e9\u00e9")]
    assert told[-1] == Advance(Work.READING, "plain", "tiny", 2, 2)
    assert read(job(again := Counting()), texts, tmp_path) == one
    assert not again.asked
    assert read(job(other := Counting()), {**texts, "s2": "no"}, tmp_path) != one
    assert len(other.asked) == 2


class Looking(Counting):
    """Sees images, and notes which it was shown."""

    media: frozenset[MediaKind] = frozenset({"image"})

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        self.shown = [request.media for request in requests]
        super().score_options(requests, budget=budget, skip=skip, done=done)


def test_a_reply_is_read_with_the_image_that_it_is_about(
    job: Make, asked: TaskSet, tmp_path: Path
) -> None:
    image = Media("image", "0" * 64, "a.png")
    samples = tuple(dataclasses.replace(sample, media=(image,)) for sample in asked.samples)
    seen = dataclasses.replace(asked, samples=samples)
    read(job(engine := Looking(), task_set=seen), {"s1": "seven"}, tmp_path)
    assert engine.shown == [(image,)]
    with pytest.raises(ScoringError, match="sample s1: it holds an image, and this variant reads"):
        read(job(Counting(), task_set=seen), {"s1": "six"}, tmp_path)


def test_it_is_taken_up_where_it_was_cut_off(job: Make, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(advance: Advance) -> None:
        if advance.done == 2:
            raise Killed

    with pytest.raises(Killed):
        read(job(Counting()), TEXTS, tmp_path, kill)
    assert len(read(job(engine := Counting()), TEXTS, tmp_path)) == 5
    assert [text for _, text in engine.asked] == [TEXTS["s3"], TEXTS["s4"], TEXTS["s5"]]


def test_memory_that_runs_out_halves_the_batches(job: Make, tmp_path: Path) -> None:
    engine = Counting(fits=1, size=4)
    assert len(read(job(engine, budget=4), TEXTS, tmp_path)) == 5
    assert len(engine.asked) == 5


def test_wordings_are_averaged(job: Make, tmp_path: Path) -> None:
    class Short(Counting):
        def score_options(
            self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
        ) -> None:
            for k, request in enumerate(requests):
                done({k: Output("", (-1.0 if "b:" in request.context else -2.0,), 1, 1, 0.1)})

    both = job(Short(), prompt=Wording("a"), paraphrases=(Wording("b"),))
    assert read(both, {"s5": "x"}, tmp_path) == pytest.approx(
        {"s5": (math.exp(-1) + math.exp(-2)) / 2}
    )


@pytest.mark.parametrize("value", [math.nan, -math.inf, 0.5])
def test_what_is_no_likelihood_is_left_out(job: Make, tmp_path: Path, value: float) -> None:
    found = read(job(Counting({"seven": value})), {"s1": "seven", "s2": "no"}, tmp_path)
    assert found.keys() == {"s2"}


def test_an_engine_that_cannot_read(job: Make, tmp_path: Path) -> None:
    engine = Counting()
    engine.abilities = frozenset({"generate"})
    with pytest.raises(ScoringError) as caught:
        read(job(engine), TEXTS, tmp_path)
    assert str(caught.value) == (
        "sample 's1' asks for a choice by likelihood, which the scorer 'likelihood' judges, and "
        "'prompted' variants give none; select others: @pytest.mark.variants(kind=…)"
    )


def test_the_run_tells_what_was_read(reference: RunRecord) -> None:
    told = reading.with_likelihoods(reference, {"s1": 0.12345678, "s9": 1.0})
    assert told.samples[1].metrics == {LIKELIHOOD: 0.123457}
    assert told.samples[0] is reference.samples[0]
    assert json.dumps(dict(told.samples[1].metrics)) == '{"likelihood": 0.123457}'
