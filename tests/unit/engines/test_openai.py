"""Servers are asked, watched and believed within limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from scripted_server import Asked, Said, scripted
from talking_server import Talker, faulty, logprob, turned

from pytest_modellab.endpoints import asking, waiting
from pytest_modellab.endpoints.address import Address
from pytest_modellab.endpoints.served import Served, changes
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import likelihoods, openai
from pytest_modellab.errors import EndpointError, ScoringError
from pytest_modellab.records.runs import Output

pytest.importorskip("httpx2")

Open = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST", 0.0)
    monkeypatch.setattr(waiting, "MOST_ASKED", 0.001)


class Bytes:
    """A tokenizer of one token a byte."""

    chat_template = "x"

    def __call__(self, text: str, **_: Any) -> Any:
        return type("Encoding", (), {"input_ids": list(text.encode())})


@pytest.fixture
def serve() -> Iterator[Open]:
    """Open the engine of a talker."""
    with ExitStack() as stack:

        def opened(talker: Talker, api: str = "chat", **options: Any) -> Any:
            url = stack.enter_context(scripted(talker))
            found = Served(Address(url, talker.name, **options), api)  # type: ignore[arg-type]
            one = asking.Asking(found)
            engine = (
                openai.ChatsEngine(one) if api == "chat" else openai.CompletionsEngine(one, Bytes())
            )
            stack.callback(engine.close)
            return engine

        yield opened


def chats(engine: Any, texts: Sequence[str], max_tokens: int = 8) -> list[GenerationRequest]:
    return [
        GenerationRequest(engine.render([{"role": "user", "content": text}]), max_tokens)
        for text in texts
    ]


def generated(engine: Any, requests: Sequence[Any], skip: Any = ()) -> list[dict[int, Output]]:
    """Return what was handed over, in its batches."""
    batches: list[dict[int, Output]] = []
    engine.generate(requests, budget=1, skip=set(skip), done=lambda b: batches.append(dict(b)))
    return batches


def together(batches: Sequence[dict[int, Output]]) -> dict[int, Output]:
    """Put batches together, none of which holds what another does."""
    found: dict[int, Output] = {}
    for batch in batches:
        assert not found.keys() & batch.keys()
        found |= batch
    return found


TEXTS = [f"text {k} é☃" for k in range(12)]


def test_chats_are_sent_as_messages(serve: Open) -> None:
    talker = Talker()
    engine = serve(talker)
    found = together(generated(engine, chats(engine, TEXTS), skip={3}))
    assert {k: one.text for k, one in found.items()} == {
        k: turned(text) for k, text in enumerate(TEXTS) if k != 3
    }
    assert {one.failed for one in found.values()} == {""}
    assert (found[0].tokens_in, found[0].tokens_out) == (len(TEXTS[0]), 3)
    known, *bodies = [one.body for one in talker.requests if one.method == "POST"]
    assert known["max_tokens"] == 1  # by which the server is known
    assert bodies[0] == {
        "model": "talker",
        "messages": [{"role": "user", "content": bodies[0]["messages"][0]["content"]}],
        "max_tokens": 8,
        "temperature": 0.0,
        "seed": 0,
        "top_p": 1.0,
    }
    assert talker.asked == {text: 1 for text in TEXTS if text != TEXTS[3]}
    assert sum(one.seconds for one in found.values()) > 0


def test_chats_score_no_options(serve: Open) -> None:
    engine = serve(Talker())
    assert engine.abilities == {"generate"}
    engine.score_options([], budget=1, skip=set(), done=None)
    with pytest.raises(ScoringError, match=r'options cannot be scored: .* api = "completions"'):
        engine.score_options([ScoringRequest("a", ("b",))], budget=1, skip=set(), done=None)


@pytest.mark.parametrize("seed", range(4))
def test_faults_lose_no_sample_and_double_none(serve: Open, seed: int) -> None:
    talker = Talker(fault=faulty(seed, 0.3))
    engine = serve(talker, timeout_s=0.15, retries=20)
    found = together(generated(engine, chats(engine, TEXTS)))
    assert {k: one.text for k, one in found.items()} == {
        k: turned(text) for k, text in enumerate(TEXTS)
    }


def test_a_server_that_gives_up_keeps_what_was_answered(
    serve: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "CHECKED", 0.0)

    def fault(_: int, asked: Asked) -> Said | None:
        late = asked.path.endswith("completions") and talker.asked.total() >= 5
        return Said({"error": "gone"}, 400) if late else None

    talker = Talker(fault=fault)
    engine = serve(talker, concurrency=1)
    kept: dict[int, Output] = {}
    with pytest.raises(EndpointError, match="HTTP 400 Bad Request: gone"):
        engine.generate(chats(engine, TEXTS), budget=1, skip=set(), done=kept.update)
    assert sorted(kept) == [0, 1, 2, 3, 4]
    talker.fault = lambda *_: None
    found = together(generated(engine, chats(engine, TEXTS), skip=kept))
    assert sorted(found) == list(range(5, 12))
    assert set(talker.asked.values()) == {1}


def test_a_model_that_is_swapped_is_told(serve: Open) -> None:
    talker = Talker(told={"root": "/models/v3"})

    def swap(_: int, asked: Asked) -> Said | None:
        if talker.asked.total() == 6:
            talker.told = {"root": "/models/v4"}
        return None

    talker.fault = swap
    engine = serve(talker, concurrency=1)
    kept: dict[int, Output] = {}
    with pytest.raises(
        EndpointError,
        match=r"the server has changed since the run began: listed.root was /models/v3, is "
        "/models/v4; answers of two models are not one run",
    ):
        engine.generate(chats(engine, TEXTS), budget=1, skip=set(), done=kept.update)
    assert not kept


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", "other", "the model called itself 'talker', and now 'other'"),
        ("system", "fp_2", "the server called itself 'fp_1', and now 'fp_2'"),
    ],
)
def test_a_reply_that_names_another_is_refused(
    serve: Open, field: str, value: str, told: str
) -> None:
    talker = Talker()

    def swap(_: int, asked: Asked) -> Said | None:
        if talker.asked.total() == 6:
            setattr(talker, field, value)
        return None

    talker.fault = swap
    engine = serve(talker, concurrency=1)
    with pytest.raises(EndpointError, match=told):
        generated(engine, chats(engine, TEXTS))


def test_a_reply_that_was_cut_is_a_missing_score(serve: Open) -> None:
    engine = serve(Talker(finish="length"))
    (found,) = generated(engine, chats(engine, TEXTS[:1], max_tokens=3))
    assert found[0].failed == ""  # its limit
    (found,) = generated(engine, chats(engine, TEXTS[:1], max_tokens=8))
    assert found[0].failed == (
        "the server cut the reply off after 3 of 8 tokens; is its context too short for the prompt?"
    )
    engine = serve(Talker(finish="content_filter"))
    (found,) = generated(engine, chats(engine, TEXTS[:1]))
    assert found[0].failed == "the server withheld the reply (content_filter)"


def expected(context: str, option: str) -> float:
    ids, found = list(context.encode()), 0.0
    for token in option.encode():
        found += logprob(ids, token)
        ids.append(token)
    return found


@pytest.mark.parametrize("software", ["llama.cpp", "vllm"])
def test_options_are_scored_token_by_token(serve: Open, software: str) -> None:
    engine = serve(Talker(software=software), "completions")
    assert "score" in engine.abilities
    requests = [ScoringRequest(f"context {k}", ("yes", "no", "é")) for k in range(5)]
    kept: dict[int, Output] = {}
    engine.score_options(requests, budget=1, skip={2}, done=kept.update)
    assert sorted(kept) == [0, 1, 3, 4]
    for k, output in kept.items():
        assert output.option_logprobs == pytest.approx(
            [expected(f"context {k}", option) for option in ("yes", "no", "é")]
        )
    assert (kept[0].tokens_in, kept[0].tokens_out) == (9, 7)


def test_an_unknown_server_scores_no_options(serve: Open) -> None:
    engine = serve(Talker(), "completions")
    assert engine.abilities == {"generate"}
    with pytest.raises(ScoringError, match=r"of given tokens is not known: llama.cpp's and vLLM's"):
        engine.score_options([ScoringRequest("a", ("b",))], budget=1, skip=set(), done=None)


def test_completions_send_tokens(serve: Open) -> None:
    talker = Talker(software="llama.cpp")
    engine = serve(talker, "completions")
    (found,) = generated(engine, [GenerationRequest("four", 5, temperature=0.5, seed=2**40)])
    assert (found[0].text, found[0].tokens_in, found[0].tokens_out) == ("of 4", 4, 1)
    (body,) = [one.body for one in talker.requests if one.method == "POST"]
    assert body["prompt"] == list(b"four")
    assert body["samplers"] == ["temperature"]
    assert 0 <= body["seed"] < 2**31


@pytest.mark.parametrize("told", [None, [], [None, {}], [None, *[{"98": {"logprob": None}}] * 2]])
def test_likelihoods_that_a_server_drops_are_no_score(told: Any) -> None:
    def complete(_: Any) -> dict[str, Any]:
        return {"choices": [{"text": "", "prompt_logprobs": told}]}

    with pytest.raises(EndpointError):
        likelihoods.of_prompt(complete, [97], [98, 99])
    with pytest.raises(EndpointError, match="tells no log-probability of token 98"):
        likelihoods.token_by_token(complete, [97], [98])


def test_vllm_tells_of_the_tokens_that_are_wanted() -> None:
    asked: list[Any] = []

    def complete(fields: Any) -> dict[str, Any]:
        asked.append(fields)
        (token,) = fields["logprob_token_ids"]
        top = {"token_id:5": -0.1, f"token_id:{token}": -1.5 - len(fields["prompt"])}
        told = {"tokens": ["token_id:5"], "token_logprobs": [-0.1], "top_logprobs": [top]}
        return {"choices": [{"text": "", "finish_reason": "length", "logprobs": told}]}

    assert likelihoods.of_wanted(complete, [97], [98, 99]) == -6.0
    assert [one["prompt"] for one in asked] == [[97], [97, 98]]


def test_an_older_vllm_is_asked_for_its_prompt() -> None:
    def complete(fields: Any) -> dict[str, Any]:
        if "prompt_logprobs" not in fields:
            top = [{"a": -0.1}]
            told = {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": top}
            return {"choices": [{"text": "a", "finish_reason": "length", "logprobs": told}]}
        rows = [None, {"98": {"logprob": -1.0}}, {"99": {"logprob": -2.0}}]
        return {"choices": [{"text": "a", "prompt_logprobs": rows}]}

    assert likelihoods.of_wanted(complete, [97], [98, 99]) == -3.0


def test_what_a_server_is_goes_into_its_identity(serve: Open) -> None:
    talker = Talker(software="llama.cpp", told={"meta": {"size": 5, "n_ctx": 64}, "created": 7})
    engine = serve(talker, "completions")
    identity = engine._asking.identity
    assert identity == {
        "url": identity["url"],
        "model": "talker",
        "listed": {"owned_by": "llamacpp", "meta": {"size": 5, "n_ctx": 64}},
        "server": {"build_info": "b1-test", "file": "talker.gguf"},
    }
    assert json.loads(json.dumps(identity)) == identity
    assert (engine.window, engine.parameter_bytes()) == (64, 5)
    assert engine.environment() == {"threads": 0, "device": "server"}
    other = {**identity, "server": {"build_info": "b2"}}
    assert changes(identity, identity) == ""
    assert changes(identity, other) == (
        "server.build_info was b1-test, is b2; server.file was talker.gguf, is None"
    )


def test_a_name_that_a_server_does_not_have(serve: Open) -> None:
    with (
        scripted(Talker()) as url,
        pytest.raises(
            EndpointError,
            match="it serves no model 'talkre'; correct served_model: did you mean 'talker'",
        ),
    ):
        _ = Served(Address(url, "talkre")).identity


def test_a_page_in_place_of_a_server() -> None:
    page = Said(b"<html>Welcome</html>", 200, {"Content-Type": "text/html"})
    with (
        scripted(lambda _: page) as url,
        pytest.raises(
            EndpointError,
            match=r"models: it replies with an HTML page .<html>Welcome</html>.; url must",
        ),
    ):
        _ = Served(Address(url, "m")).identity
