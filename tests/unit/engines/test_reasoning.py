"""Chains of thought: with an engine that writes down what it is asked, and with a small model."""

from __future__ import annotations

import collections
import dataclasses
import math
import random
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines.interface import WORDS, Done, GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import reasoning
from pytest_modellab.engines.language import torch_model as engines
from pytest_modellab.engines.language.reasoning import Reasoning, Thinking
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.engines.tokens import encode
from pytest_modellab.errors import OutOfMemory
from pytest_modellab.models import locate
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.media import Media, MediaKind
from pytest_modellab.records.runs import Output
from pytest_modellab.variants import loading
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.prompt import Prompt

Asked = GenerationRequest | ScoringRequest
CUE = "\nAnswer: "


class Inner:
    """Says what it is told to, and keeps what it was asked.

    Args:
        think: request → a chain of thought.
        answer: context after a chain → a reply, or the options' likelihoods.
    """

    abilities = WORDS
    media: frozenset[MediaKind] = frozenset()

    def __init__(
        self,
        think: Callable[[GenerationRequest], str] = lambda request: f" so {request.seed} ",
        answer: Callable[[str], str | tuple[float, ...]] = lambda _: "7",
    ) -> None:
        self.think, self.answer = think, answer
        self.calls: list[tuple[str, list[Asked], int]] = []
        self.failed: dict[str, str] = {}
        self.closed = False

    @property
    def thoughts(self) -> list[GenerationRequest]:
        return [
            request
            for _, requests, _ in self.calls
            for request in requests
            if isinstance(request, GenerationRequest) and CUE not in request.context
        ]

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return "|".join(message["content"] for message in messages)

    def seed(self, seed: int) -> None:
        pass

    def environment(self) -> Mapping[str, Any]:
        return {"threads": 1}

    def parameter_bytes(self) -> int:
        return 12

    def close(self) -> None:
        self.closed = True

    def _done(self, what: str, requests: Sequence[Asked], budget: int, done: Done) -> None:
        self.calls.append((what, list(requests), budget))
        for k in random.Random(0).sample(range(len(requests)), len(requests)):  # longest first
            request = requests[k]
            output = Output("", tokens_in=len(request.context), tokens_out=3, seconds=0.5)
            if isinstance(request, GenerationRequest) and CUE not in request.context:
                said: Any = self.think(request)
                output = dataclasses.replace(output, tokens_out=10, seconds=2.0)
            else:
                said = self.answer(request.context)
            changes = {"text": said} if isinstance(said, str) else {"option_logprobs": said}
            failed = next((why for text, why in self.failed.items() if text in request.context), "")
            done({k: dataclasses.replace(output, failed=failed, **changes)})

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        assert not skip
        self._done("score", requests, budget, done)

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        assert not skip
        self._done("generate", requests, budget, done)


def generated(
    engine: Reasoning,
    contexts: Sequence[str],
    *,
    skip: Set[int] = frozenset(),
    tokens: int = 4,
    budget: int = 64,
) -> dict[int, Output]:
    answers: dict[int, Output] = {}
    requests = [GenerationRequest(context, tokens) for context in contexts]
    engine.generate(requests, budget=budget, skip=skip, done=answers.update)
    return answers


def scored(
    engine: Reasoning, contexts: Sequence[str], *, skip: Set[int] = frozenset()
) -> dict[int, Output]:
    answers: dict[int, Output] = {}
    requests = [ScoringRequest(context, ("a", "b")) for context in contexts]
    engine.score_options(requests, budget=64, skip=skip, done=answers.update)
    return answers


def always(value: Any) -> Callable[[str], Any]:
    return lambda _: value


def seed_of(context: str, chain: int) -> int:
    return int(digest([context, chain])[:8], 16)


def voting(values: Sequence[Any]) -> tuple[Reasoning, Inner]:
    """An engine whose chain number k leads to the answer ``values[k]`` for the context ``x``."""
    seeds = [seed_of("x", chain) for chain in range(len(values))]
    inner = Inner(
        lambda request: f"#{seeds.index(request.seed)}",
        lambda context: values[int(context.removesuffix(CUE).removeprefix("x#"))],
    )
    return Reasoning(inner, Thinking(5, chains=len(values), temperature=0.7)), inner


# --- chain, cue, answer ---------------------------------------------------------------------------


def test_a_chain_then_the_cue_then_the_answer() -> None:
    inner = Inner(lambda _: "  It is so.\n", lambda _: " seven ")
    answers = generated(Reasoning(inner, Thinking(tokens=40)), ["one? ", "two? "], tokens=9)
    (first, thoughts, _), (second, asked, _) = inner.calls
    assert (first, second) == ("generate", "generate")
    assert [(t.context, t.max_tokens, t.temperature) for t in inner.thoughts] == [
        ("one? ", 40, 0.0),
        ("two? ", 40, 0.0),
    ]
    assert asked == [
        GenerationRequest("one? It is so.\nAnswer: ", 9),
        GenerationRequest("two? It is so.\nAnswer: ", 9),
    ]
    assert len(thoughts) == 2
    assert {k: answer.text for k, answer in answers.items()} == {0: " seven ", 1: " seven "}


def test_options_are_scored_after_the_chain() -> None:
    inner = Inner(lambda _: "Hm.", lambda _: (-1.0, -2.0))
    answers = scored(Reasoning(inner, Thinking(tokens=40, cue="\nSo: ")), ["one? "])
    assert inner.calls[1][:2] == ("score", [ScoringRequest("one? Hm.\nSo: ", ("a", "b"))])
    assert answers[0].option_logprobs == (-1.0, -2.0)


def test_a_picture_is_shown_while_it_thinks_and_while_it_answers() -> None:
    seen = (Media("image", "0" * 64, "a.png"),)
    inner = Inner(lambda _: "Hm.", lambda _: (-1.0, -2.0))
    engine = Reasoning(inner, Thinking(tokens=4))
    asked = ScoringRequest("one? ", ("a", "b"), media=seen)
    engine.score_options([asked], budget=64, skip=set(), done=lambda _: None)
    inner.answer = always("7")
    reply = GenerationRequest("one? ", 4, media=seen)
    engine.generate([reply], budget=64, skip=set(), done=lambda _: None)
    assert [request.media for _, requests, _ in inner.calls for request in requests] == [seen] * 4
    assert engine.media == frozenset()
    inner.media = frozenset({"image"})
    assert engine.media == {"image"}


def test_the_rest_is_the_inner_engines() -> None:
    inner = Inner()
    engine = Reasoning(inner, Thinking(tokens=4))
    assert engine.render([{"content": "a"}, {"content": "b"}]) == "a|b"
    assert engine.parameter_bytes() == 12
    generated(engine, ["x"], budget=17)
    assert [budget for _, _, budget in inner.calls] == [17, 17]
    engine.close()
    assert inner.closed


def test_nothing_asked() -> None:
    inner = Inner()
    assert generated(Reasoning(inner, Thinking(tokens=4)), []) == {}
    assert scored(Reasoning(inner, Thinking(tokens=4)), []) == {}
    assert inner.calls == []


def test_out_of_memory_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Inner()

    def fail(*_: object, **__: object) -> None:
        raise OutOfMemory("no room")

    monkeypatch.setattr(inner, "generate", fail)
    with pytest.raises(OutOfMemory, match=r"^no room$"):
        generated(Reasoning(inner, Thinking(tokens=4)), ["x"])


# --- several chains -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        (["7", "8", "8"], "8"),
        (["7", "8"], "7"),  # the first among equals
        (["9", "8", "7", "8", "7"], "8"),
        ([" Paris", "paris ", "Rome", "PARIS\n"], " Paris"),  # its first wording
        (["Rome", "paris", "Paris"], "paris"),
        (["", "7", " "], ""),
        (["STRASSE", "Straße", "x"], "STRASSE"),
    ],
)
def test_majority(said: list[str], chosen: str) -> None:
    engine, inner = voting(said)
    assert generated(engine, ["x"])[0].text == chosen
    assert len(inner.calls[0][1]) == len(inner.calls[1][1]) == len(said)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9))
def test_majority_is_the_first_of_the_most_frequent(said: list[str]) -> None:
    engine, _ = voting(said)
    most = max(said.count(answer) for answer in said)
    wanted = next(answer for answer in said if said.count(answer) == most)
    assert generated(engine, ["x"])[0].text == wanted


LOGS = st.floats(-700, 0)


@given(st.lists(st.tuples(LOGS, LOGS), min_size=1, max_size=6))
def test_likelihood_is_the_mean_over_the_chains(values: list[tuple[float, float]]) -> None:
    engine, _ = voting(values)
    found = scored(engine, ["x"])[0].option_logprobs
    for logs, value in zip(zip(*values, strict=True), found, strict=True):
        assert value == pytest.approx(math.log(math.fsum(map(math.exp, logs)) / len(logs)))


def test_likelihoods_too_small_for_a_float() -> None:
    engine, _ = voting([(-2000.0, -1.0), (-2000.0, -5000.0)])
    found = scored(engine, ["x"])[0].option_logprobs
    assert found == pytest.approx((-2000.0, -1.0 - math.log(2)))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ((-1.0, -math.inf), -1.0 - math.log(2)),  # impossible after one chain only
        ((-math.inf, -math.inf), -math.inf),
        ((-1.0, math.inf), math.inf),
        ((-1.0, math.nan), math.nan),
        ((math.nan, -1.0), math.nan),
        ((-math.inf, math.nan), math.nan),
        ((math.nan, -math.inf), math.nan),
        ((math.inf, -math.inf), math.nan),
        ((math.nan, math.nan), math.nan),
    ],
)
def test_likelihoods_that_are_no_numbers(values: tuple[float, ...], wanted: float) -> None:
    engine, _ = voting([(value, -1.0) for value in values])
    found, other = scored(engine, ["x"])[0].option_logprobs
    assert found == pytest.approx(wanted, nan_ok=True)
    assert other == pytest.approx(-1.0)


# --- what it costs, and what fails ----------------------------------------------------------------


@pytest.mark.parametrize("chains", [1, 3])
def test_tokens_and_seconds_are_added_up(chains: int) -> None:
    thinking = Thinking(5, chains=chains, temperature=0.5)
    replies = generated(Reasoning(Inner(), thinking), ["x", "longer"])
    options = scored(Reasoning(Inner(answer=lambda _: (-1.0, -2.0)), thinking), ["x", "longer"])
    for answers in (replies, options):
        assert [answers[k].tokens_in for k in (0, 1)] == [1, 6], "the prompt's"
        assert [answers[k].tokens_out for k in (0, 1)] == [chains * 13] * 2
        assert [answers[k].seconds for k in (0, 1)] == [chains * 2.5] * 2
        assert [answers[k].failed for k in (0, 1)] == ["", ""]


@pytest.mark.parametrize("where", ["y", "y so"])
def test_a_failed_chain_or_answer_fails_its_sample_alone(where: str) -> None:
    inner = Inner(answer=lambda _: (-1.0, -2.0))
    inner.failed = {where: "the model's logits are NaN"}
    engine = Reasoning(inner, Thinking(5, chains=2, temperature=0.5))
    found = scored(engine, ["x ", "y ", "z "])
    assert [found[k].failed for k in range(3)] == ["", "the model's logits are NaN", ""]


# --- what passes through --------------------------------------------------------------------------


def test_seed_and_environment_are_the_inner_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    inner, seeds = Inner(), list[int]()
    monkeypatch.setattr(inner, "seed", seeds.append)
    monkeypatch.setattr(inner, "environment", lambda: {"threads": 3, "llm": "1.2"})
    engine = Reasoning(inner, Thinking(5))
    engine.seed(11)
    assert seeds == [11]
    assert engine.environment() == {"threads": 3, "llm": "1.2"}


def test_an_engine_without_seed_and_environment_may_think(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delattr(Inner, "seed")
    monkeypatch.delattr(Inner, "environment")
    engine = Reasoning(Inner(), Thinking(5))
    engine.seed(11)
    assert engine.environment() == {"threads": 5}


# --- batches and seeds ----------------------------------------------------------------------------


def test_finished_batches_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasoning, "ROWS", 3)
    contexts = [f"c{k}" for k in range(8)]
    thinking = Thinking(5, chains=2, temperature=0.5)
    inner = Inner()
    batches: list[set[int]] = []
    Reasoning(inner, thinking).generate(
        [GenerationRequest(context, 4) for context in contexts],
        budget=64,
        skip=set(),
        done=lambda batch: batches.append(set(batch)),
    )
    assert batches == [{0, 1, 2}, {3, 4, 5}, {6, 7}]
    assert [len(requests) for _, requests, _ in inner.calls] == [6, 6, 6, 6, 4, 4]

    said: list[tuple[Any, Any]] = [(generated, "7"), (scored, (-1.0, -2.0))]
    for ask, answer in said:
        inner = Inner(answer=always(answer))
        found = ask(Reasoning(inner, thinking), contexts, skip={0, 1, 2, 4, 6, 7})
        assert sorted(found) == [3, 4, 5], "half a batch is whole"
        assert len(inner.thoughts) == 6
        inner = Inner()
        assert ask(Reasoning(inner, thinking), contexts, skip=set(range(8))) == {}
        assert inner.calls == []


@given(st.permutations(range(7)), st.integers(1, 9))
def test_chains_do_not_depend_on_order_or_batch(order: list[int], rows: int) -> None:
    thinking = Thinking(5, chains=3, temperature=0.5)
    contexts = [f"c{k}" for k in range(7)]

    def chains(contexts: Sequence[str]) -> dict[str, list[int]]:
        inner = Inner()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reasoning, "ROWS", rows)
            generated(Reasoning(inner, thinking), contexts)
        seeds: dict[str, list[int]] = collections.defaultdict(list)
        for thought in inner.thoughts:
            seeds[thought.context].append(thought.seed)
        return seeds

    seeds = chains([contexts[k] for k in order])
    assert seeds == chains(contexts)
    assert len({seed for row in seeds.values() for seed in row}) == 21


# --- a model's draws ------------------------------------------------------------------------------


pytest.importorskip("transformers")
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> TransformersEngine:
    return engines.load(model_folder)


def draws(
    engine: TransformersEngine, requests: Sequence[GenerationRequest], budget: int = 10**6
) -> list[str]:
    found: dict[int, Output] = {}
    engine.generate(requests, budget=budget, skip=set(), done=found.update)
    return [found[k].text for k in range(len(requests))]


TEXTS = ["the then another", "x", "What is the capital of the land where the man ran?", "123 ="]


@pytest.mark.parametrize("shared", [True, False], ids=["shared prefix", "no shared prefix"])
def test_draws_are_the_same_in_any_batch(engine: TransformersEngine, shared: bool) -> None:
    contexts = [
        engine.render([{"role": "user", "content": text}]) if shared else f"{k} {text}"
        for k, text in enumerate(TEXTS)
    ]
    requests = [
        GenerationRequest(context, limit, temperature=temperature, seed=seed)
        for context, limit in zip(contexts, (9, 4, 7, 1), strict=True)
        for temperature in (0.0, 0.7, 2.0)
        for seed in (1, 2)
    ]
    together = draws(engine, requests)
    assert draws(engine, requests, budget=60) == together
    assert [draws(engine, [request])[0] for request in requests] == together
    backwards = draws(engine, requests[::-1])
    assert backwards[::-1] == together


def test_seeds_and_temperatures(engine: TransformersEngine) -> None:
    def said(temperature: float, seed: int) -> str:
        return draws(engine, [GenerationRequest("the", 8, temperature=temperature, seed=seed)])[0]

    assert len({said(1.0, seed) for seed in range(12)}) == 12
    assert {said(0.0, seed) for seed in range(3)} == {said(0.0, 0)}, "greedy draws nothing"
    assert {said(1e-4, seed) for seed in range(3)} == {said(0.0, 0)}, "nor does almost none"
    assert said(1.0, 2**32 - 1) == said(1.0, 2**32 - 1)


def test_draws_follow_the_softmax(model_folder: Path) -> None:
    """Five tokens are possible; chi-square with 4 degrees of freedom, 18.47 at 0.1 %."""
    own = engines.load(model_folder)
    (tokens,) = [encode(own.tokenizer, "abcde")]
    assert len(tokens) == 5
    biases, temperature, n = (2.0, 1.0, 0.5, 0.0, -1.0), 1.5, 2000
    head = torch.nn.Linear(32, own.model.config.vocab_size, bias=True)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(-1e4)
        head.bias[tokens] = torch.tensor(biases)
    own.model.lm_head = head
    requests = [GenerationRequest("x", 2, temperature=temperature, seed=seed) for seed in range(n)]
    said = draws(own, requests)
    weights = [math.exp(bias / temperature) for bias in biases]
    wanted = [n * weight / math.fsum(weights) for weight in weights]
    for place in (0, 1):
        counted = collections.Counter(text[place] for text in said)
        assert set(counted) <= set("abcde")
        chi_square = math.fsum(
            (counted[letter] - expected) ** 2 / expected
            for letter, expected in zip("abcde", wanted, strict=True)
        )
        assert chi_square < 18.47, place
    pairs = collections.Counter(said)
    twice = [pairs[letter * 2] / n for letter in "abcde"]
    alone = [expected / n for expected in wanted]
    for together, one in zip(twice, alone, strict=True):  # the second draw is a new one
        assert together == pytest.approx(one**2, abs=4 * math.sqrt(one**2 / n))


def test_a_variant_that_thinks(model_folder: Path, tmp_path: Path) -> None:
    plan = Plan(
        model=ModelSource("tiny", str(model_folder)),
        prompt=Prompt("{% block user %}{{ input }}{% endblock %}"),
        thinking=Thinking(tokens=6, chains=3, temperature=0.7),
    )
    files = locate.locate(plan.model, tmp_path)
    made = loading.load(plan, files, tmp_path)
    assert isinstance(made, Reasoning)
    plain = loading.load(dataclasses.replace(plan, thinking=None), files, tmp_path)
    assert isinstance(plain, TransformersEngine)
    context = made.render([{"role": "user", "content": "the other?"}])
    (answer,) = scored(made, [context]).values()
    chains = draws(
        plain,
        [
            GenerationRequest(context, 6, temperature=0.7, seed=seed_of(context, k))
            for k in range(3)
        ],
    )
    assert len(set(chains)) == 3
    seen: dict[int, Output] = {}
    plain.score_options(
        [ScoringRequest(context + chain.strip() + CUE, ("a", "b")) for chain in chains],
        budget=64,
        skip=set(),
        done=seen.update,
    )
    for option in (0, 1):
        likelihoods = [math.exp(seen[k].option_logprobs[option]) for k in range(3)]
        assert math.exp(answer.option_logprobs[option]) == pytest.approx(
            math.fsum(likelihoods) / 3, rel=1e-3
        )


def test_thinking_is_in_the_fingerprint(model_folder: Path, tmp_path: Path) -> None:
    plain = Plan(
        model=ModelSource("tiny", str(model_folder)),
        prompt=Prompt("{% block user %}{{ input }}{% endblock %}"),
    )
    files = locate.locate(plain.model, tmp_path)
    thinking = Thinking(tokens=6, chains=3, temperature=0.7)
    changed = [
        None,
        thinking,
        *(
            dataclasses.replace(thinking, **change)
            for change in ({"tokens": 7}, {"chains": 4}, {"temperature": 0.8}, {"cue": "So "})
        ),
    ]
    keys = {
        loading.fingerprint(dataclasses.replace(plain, thinking=one), files).key for one in changed
    }
    assert len(keys) == len(changed)
