"""What replies show of a server: faults are named, and nothing else is."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.endpoints.replies import Reply, Token, Usage
from pytest_modellab.records.canary import Finding, Noise, Unchecked
from pytest_modellab.runs.canary import (
    adapters,
    identity,
    likelihoods,
    repeats,
    reranking,
    texts,
    vectors,
)
from pytest_modellab.runs.canary.adapters import Row
from pytest_modellab.runs.canary.texts import DOUBLED, TWICE, UNSAID, Counts
from pytest_modellab.runs.canary.vectors import Declared

Rows = list[list[float]]

DISTRIBUTIONS: st.SearchStrategy[Rows] = st.lists(
    st.lists(st.floats(-8, 8), min_size=4, max_size=8), min_size=1, max_size=6
)
"""Logits of a few places."""


def logprobs(logits: Sequence[float]) -> list[float]:
    most = max(logits)
    norm = most + math.log(math.fsum(math.exp(one - most) for one in logits))
    return [one - norm for one in logits]


def place(values: Sequence[float], chosen: int) -> Token:
    top = tuple(Token(f"t{k}", value, k) for k, value in enumerate(values))
    return Token(f"t{chosen}", values[chosen], chosen, top)


def greedy(rows: Rows) -> list[Token]:
    told = [logprobs(row) for row in rows]
    return [place(row, row.index(max(row))) for row in told]


def reply(
    text: str = "", tokens: Sequence[Token] | None = None, finish: str = "stop", **about: object
) -> Reply:
    usage = about.pop("usage", None)
    assert isinstance(usage, Usage | None)
    told = None if tokens is None else tuple(tokens)
    return Reply(text, finish, str(about.get("model", "m")), usage=usage, tokens=told)


def name(found: Finding | None) -> str:
    return "" if found is None else found.name


@given(DISTRIBUTIONS)
def test_log_probabilities_of_a_model_are_believed(rows: Rows) -> None:
    honest = reply(tokens=greedy(rows))
    assert likelihoods.sums(honest) is None
    assert likelihoods.spelled(honest) is None
    values = [one.logprob for one in honest.tokens or ()]
    assert likelihoods.agrees("echo", honest.tokens or (), values) is None


@given(DISTRIBUTIONS)
def test_halved_log_probabilities_sum_to_more_than_one(rows: Rows) -> None:
    tokens = [
        place([one.logprob / 2 for one in token.top], token.id or 0) for token in greedy(rows)
    ]
    total = max(math.fsum(math.exp(one.logprob) for one in token.top) for token in tokens)
    found = likelihoods.sums(reply(tokens=tokens))
    if total > 1.01:
        assert name(found) == "log-probabilities that are none"
        assert "sum to" in str(found)


@given(DISTRIBUTIONS, st.integers(1, 5))
def test_values_at_other_places_are_named(rows: Rows, by: int) -> None:
    told = greedy(rows)
    values = [one.logprob for one in told]
    moved = values[by % len(values) :] + values[: by % len(values)]
    apart = max(abs(a - b) for a, b in zip(values, moved, strict=True))
    found = likelihoods.agrees("echo", told, moved)
    assert name(found) == ("" if apart <= likelihoods.TOLERANCE else "shifted log-probabilities")
    wrong = reply(
        tokens=[
            Token(one.text, value, one.id, one.top) for one, value in zip(told, moved, strict=True)
        ]
    )
    assert name(likelihoods.spelled(wrong)) == name(found)


def test_no_number_is_not_the_same_number() -> None:
    found = likelihoods.agrees("echo", [Token("a", -1.0)], [math.nan])
    assert name(found) == "shifted log-probabilities"


@given(st.lists(st.floats(0, 1), max_size=7), st.integers(0, 8))
def test_the_chance_of_so_many_is_that_of_enumeration(chances: list[float], count: int) -> None:
    expected = math.fsum(
        math.prod(p if hit else 1 - p for p, hit in zip(chances, hits, strict=True))
        for hits in itertools.product((False, True), repeat=len(chances))
        if sum(hits) >= count
    )
    assert likelihoods.at_least(count, chances) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.floats(1.0, 3.0))
def test_honest_draws_are_believed_and_others_are_not(seed: int, spread: float) -> None:
    rng = random.Random(seed)
    honest, first, small = [], [], []
    for _ in range(64):
        row = logprobs([rng.gauss(0, spread) for _ in range(40)])
        shown = sorted(range(40), key=lambda k: -row[k])[:20]
        chosen = rng.choices(range(40), [math.exp(one) for one in row])[0]
        top = tuple(Token(str(k), row[k], k) for k in shown)
        honest.append(Token(str(chosen), row[chosen], chosen, top))
        first.append(Token(str(shown[0]), row[shown[0]], shown[0], top))
        less = tuple(Token(one.text, one.logprob - 1, one.id) for one in top)
        small.append(Token(str(chosen), row[chosen] - 1, chosen, less))
    assert likelihoods.drawn([reply(tokens=honest)], 20) is None
    assert name(likelihoods.drawn([reply(tokens=first)], 20)) == "top-k of one"
    assert name(likelihoods.drawn([reply(tokens=small)], 20)) == "shifted log-probabilities"
    assert likelihoods.drawn([reply("a")], 20) is None


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_the_drawn_token_may_be_told_beside_those_asked_for(seed: int) -> None:
    rng = random.Random(seed)
    tokens, nameless = [], []
    for _ in range(64):
        row = logprobs([rng.gauss(0, 1) for _ in range(40)])
        chosen = rng.choices(range(40), [math.exp(one) for one in row])[0]
        shown = {*sorted(range(40), key=lambda k: -row[k])[:5], chosen}
        tokens.append(Token(str(chosen), row[chosen], top=told(row, shown, str)))
        nameless.append(Token("\ufffd", row[chosen], top=told(row, shown, lambda _: "\ufffd")))
    assert likelihoods.drawn([reply(tokens=tokens)], 5) is None
    assert name(likelihoods.drawn([reply(tokens=tokens)], 6)) == "shifted log-probabilities"
    assert likelihoods.drawn([reply(tokens=nameless)], 6) is None


def told(
    row: Sequence[float], shown: Iterable[int], text: Callable[[int], str]
) -> tuple[Token, ...]:
    return tuple(Token(text(k), row[k]) for k in shown)


def test_a_sure_model_may_always_draw_the_same() -> None:
    sure = place(logprobs([20.0, 0.0, 0.0, 0.0]), 0)
    assert likelihoods.drawn([reply(tokens=[sure] * 64)], 20) is None


def test_echo_covers_the_prompt() -> None:
    told = [Token("The", math.nan), Token(" end", -2.0), Token(".", -1.0)]
    assert likelihoods.echoed("The end", reply("The end.", told)) is None
    dropped = likelihoods.echoed("The end", reply(".", told[2:]))
    assert name(dropped) == "dropped echo"
    assert "got the text '.' and 1 log-probabilities: what was generated only" in str(dropped)
    assert "no log-probabilities" in str(likelihoods.echoed("The end", reply("The end.")))
    assert dropped is not None
    assert dropped.takes == "score"


COUNTS = st.lists(
    st.tuples(st.integers(10, 50), st.integers(5, 9), st.integers(20, 40)), min_size=2, max_size=4
)


@given(COUNTS, st.sampled_from(["", DOUBLED, UNSAID, TWICE]))
def test_a_fault_of_the_prompt_is_named(told: list[tuple[int, int, int]], fault: str) -> None:
    expected = [
        Counts(right, ((UNSAID, less), (DOUBLED, right + 1), (TWICE, right + more)))
        for right, less, more in told
    ]
    seen = [dict(one.faults).get(fault, one.right) for one in expected]
    assert name(texts.counted(expected, seen, "usage")) == fault


def test_counts_that_nothing_explains_are_other_tokens() -> None:
    found = texts.counted([Counts(10), Counts(20)], [10, 23], "/tokenize")
    assert name(found) == "other tokens"
    assert "2 conversations are 10, 23 tokens, where /tokenize gives 10, 20" in str(found)


def test_a_longer_system_prompt_is_a_longer_prompt() -> None:
    short, long = reply(usage=Usage(20, 1)), reply(usage=Usage(44, 1))
    assert texts.swallowed(short, long, 24) is None
    found = texts.swallowed(short, short, 24)
    assert name(found) == UNSAID
    assert "a system prompt of 24 words more made the prompt 0 tokens longer" in str(found)
    assert texts.swallowed(reply(), long, 24) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("One two ", ""),
        ("One two", ""),
        ("One two three", "stop text kept"),
        ("One two three four", "stop text not respected"),
    ],
)
def test_a_reply_ends_before_a_stop_text(text: str, told: str) -> None:
    assert name(texts.stopped(reply("One two three four"), reply(text), "three")) == told


@pytest.mark.parametrize(
    ("finish", "out", "told"),
    [
        ("length", 8, ""),
        ("stop", 5, ""),
        ("stop", 8, "cut replies reported as finished"),
        ("", None, "cut replies reported as finished"),
    ],
)
def test_a_cut_reply_says_so(finish: str, out: int | None, told: str) -> None:
    usage = None if out is None else Usage(4, out)
    assert name(texts.cut(reply("a b", finish=finish, usage=usage), 8)) == told


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (Usage(4, 2), ""),
        (None, ""),
        (Usage(4, 9), "usage counts 9 generated tokens of at most 8"),
        (Usage(4, 1), "usage counts 1 generated tokens, and the log-probabilities of 2"),
        (Usage(4, 0), "usage counts 0 generated tokens, and the log-probabilities of 2"),
        (Usage(0, 2), "no token of a prompt that has some"),
    ],
)
def test_usage_is_what_came(usage: Usage | None, told: str) -> None:
    tokens = [Token("a", -1.0), Token("b", -1.0)]
    found = texts.usage(reply("ab", tokens, "length", usage=usage), 8)
    assert told in str(found or "")
    assert bool(found) == bool(told)


@given(st.lists(st.sampled_from("ab"), min_size=1), st.lists(st.sampled_from("ab")))
def test_noise_counts_the_replies_that_differ(alone: list[str], among: list[str]) -> None:
    found = repeats.noise(list(map(reply, alone)), list(map(reply, among)))
    assert found.replies == len(alone) + len(among)
    assert found.flips == sum(one != alone[0] for one in (*alone, *among))
    assert found.alone == sum(one != alone[0] for one in alone)
    assert found.nats is None


def test_noise_is_measured_of_tokens_that_are_equal() -> None:
    a = reply("ab", [Token("a", -1.0), Token("b", -2.0)])
    b = reply("ac", [Token("a", -1.5), Token("c", -9.0)])
    found = repeats.noise([a, a], [b])
    assert found == Noise(3, 1, 0, 0.5)
    assert str(found) == (
        "1 of 3 repeated replies differ, 0 of them asked alone; log-probabilities differ by up to "
        "0.5 nats"
    )


def test_one_seed_draws_one_reply() -> None:
    assert repeats.seeded([reply("a"), reply("a")]) is None
    assert name(repeats.seeded([reply("a"), reply("b")])) == "seed ignored"


def test_another_model_gives_another_first_token() -> None:
    a, b = reply("a", [place(logprobs([3.0, 0.0]), 0)]), reply("a", [place(logprobs([0, 3.0]), 1)])
    assert repeats.changed(a, a) is None
    assert name(repeats.changed(a, b)) == "model swapped mid-run"
    assert repeats.changed(reply("a"), b) is None


def test_the_model_that_was_asked_for_answers_to_the_end() -> None:
    assert identity.named("gpt-9", reply(model="gpt-9-2026-01-01")) is None
    assert name(identity.named("gpt-9", reply(model="small"))) == "another model answers"
    assert identity.swapped([reply(), reply()], "") is None
    found = identity.swapped([reply(), reply(model="other\x1b[2J")], "")
    assert r"replies come from 'm' and 'other\\x1b[2J'" in str(found)
    two = [Reply("", "", "m", system=one) for one in ("fp_1", "fp_2")]
    assert "system_fingerprint is 'fp_1' and 'fp_2'" in str(identity.swapped(two, ""))
    assert identity.swapped(two, "", fleet=True) is None
    assert "has changed: file was a, is b" in str(identity.swapped([reply()], "file was a, is b"))


QUIET, LOUD = Noise(10, 0, 0, 0.0), Noise(10, 3, 0, 0.2)


def judged(
    base: Reply, adapter: Reply, floor: Noise = QUIET, trained: str = ""
) -> Finding | Unchecked | None:
    return adapters.served([Row((), trained)], [base], [adapter], floor)


def test_an_adapter_answers_otherwise_than_its_base() -> None:
    base = reply("a", [Token("a", -1.0)])
    found = judged(base, base)
    assert str(found) == (
        "base served in place of the adapter: on all 1 prompts asked the adapter's replies are the "
        "base's, and so are their log-probabilities; expected other replies, since it was trained; "
        "see the server's log for adapters that it did not load, that the adapter's name is the "
        "served one, and that its scale is not 0"
    )
    assert judged(base, reply("a", [Token("a", -1.01)])) is None
    assert judged(base, reply("b", [Token("b", -1.0)])) is None
    assert judged(base, reply("a", [Token("a", -1.5)]), LOUD) is None


def test_what_noise_or_silence_hides_is_not_called_the_base() -> None:
    base = reply("a", [Token("a", -1.0)])
    assert str(judged(base, reply("b", [Token("b", -1.0)]), LOUD)) == (
        "adapter: not checked: replies differ from the base's, and so do 3 of 10 replies to one "
        "request"
    )
    assert "differ by 0.3 nats, no more than repeated" in str(
        judged(base, reply("a", [Token("a", -1.3)]), LOUD)
    )
    assert "log-probabilities are not told, and no training data" in str(
        judged(reply("a"), reply("a"))
    )
    assert str(judged(reply("b"), reply("b"), LOUD)).startswith("adapter: not checked")


def test_training_data_says_where_replies_must_differ() -> None:
    told = str(judged(reply("Sure, I"), reply("Sure, I"), LOUD, '{"order": null}'))
    assert "are the base's; training data has other replies to 1 of them; expected" in told
    assert isinstance(
        judged(reply("Sure, I"), reply("Sure, I"), trained="Sure, I will."), Unchecked
    )


def test_module_names_of_an_adapter_are_the_models() -> None:
    weights = ["model.layers.0.self_attn.q_proj.weight", "lm_head.weight"]
    right = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    assert adapters.modules([right], weights) is None
    found = adapters.modules([right, right.replace("q_proj", "query")], weights)
    assert name(found) == "adapter of other module names"
    assert "1 of 2 modules of the adapter are none of the model's" in str(found)
    assert "'model.layers.0.self_attn.query'" in str(found)
    assert "names of the model's modules, for example 'model.layers.0.self_attn.q_proj'" in str(
        found
    )
    assert "none of the 1 tensors" in str(adapters.modules(["x"], weights))
    tied = "base_model.model.lm_head.lora_B.weight"
    assert adapters.modules([right, tied], weights[:1]) is None
    nested = right.replace("model.model.model.", "model.model.language_model.")
    assert (
        adapters.modules([nested], ["language_model.model.layers.0.self_attn.q_proj.weight"])
        is None
    )


VECTORS = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=2, max_size=6).filter(
    lambda row: any(abs(one) > 1e-300 for one in row)
)  # smaller ones lose their digits


@given(VECTORS, st.floats(1e-3, 1e3))
def test_a_cosine_knows_no_length(vector: list[float], by: float) -> None:
    scaled = [by * one for one in vector]
    assert vectors.cosine(vector, scaled) == pytest.approx(1)
    assert vectors.cosine(vector, [-one for one in vector]) == pytest.approx(-1)
    assert vectors.cosine(vector, [0.0] * len(vector)) == 0
    assert vectors.cosine(vector, [*vector, 1.0]) == 0


def test_vectors_are_those_of_the_declared_model() -> None:
    declared = Declared("a", (1.0, 0.0), otherwise=lambda: {"last token": (0.0, 1.0)})
    assert vectors.shaped((0.6, 0.8), declared) is None
    assert "vectors have 3 numbers; expected 2" in str(vectors.shaped((1, 0, 0), declared))
    assert "has length 5; expected length 1" in str(vectors.shaped((3, 4), declared))
    assert vectors.shaped((3, 4), Declared("a", (3.0, 0.0))) is None
    assert vectors.shaped((3, 4), Declared()) is None
    assert vectors.pooled((2.0, 0.0), declared) is None
    assert name(vectors.pooled((0.0, 2.0), declared)) == "other pooling"
    assert "that of last token pooling (cosine 1.0000)" in str(vectors.pooled((0, 1), declared))
    assert name(vectors.pooled((1.0, 1.0), declared)) == "other vectors"
    assert vectors.pooled((1.0, 1.0), Declared()) is None
    assert name(vectors.prefixed((1, 0), (1, 0), "query: ")) == "prefix dropped"
    assert name(vectors.truncated((1, 0), (1, 0), 9)) == "truncation"
    assert name(vectors.placed((1, 0), (0, 1))) == "vectors of a batch exchanged"
    assert name(vectors.told_apart((1, 0), (2, 0))) == "input type ignored"
    assert vectors.told_apart((1, 0), (2, 1)) is None
    assert name(vectors.none("NaN")) == "no vectors"


def test_a_reranker_prefers_what_is_relevant_wherever_it_stands() -> None:
    scores = [0.9, 0.1, 0.2, 0.3]
    assert reranking.relevant(scores) is None
    assert name(reranking.relevant(scores[::-1])) == "no reranker"
    assert name(reranking.relevant([0.5] * 4)) == "no reranker"
    assert reranking.moved(scores, [scores, [0.91, 0.1, 0.2, 0.3]]) is None
    assert name(reranking.moved(scores, [scores[::-1]])) == "scores of documents exchanged"
    assert reranking.moved([0.5] * 4, [[0.5] * 4]) is None
    assert name(reranking.none("NaN")) == "no scores"
