"""A server that embeds or reranks is asked in bounded batches, watched, and believed in nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from embedding_server import DIMENSION, Counter, shared, vector
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import Asked, Said, scripted

from pytest_modellab.endpoints import waiting
from pytest_modellab.endpoints.address import Address
from pytest_modellab.endpoints.asking import Asking
from pytest_modellab.endpoints.served import Served
from pytest_modellab.engines.encoders import served as encoders
from pytest_modellab.engines.encoders.served import ServedEncoder
from pytest_modellab.engines.search.served_rerank import ServedReranker
from pytest_modellab.errors import EndpointError

pytest.importorskip("httpx2")
np = pytest.importorskip("numpy")

Open = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST", 0.0)


@pytest.fixture
def asking() -> Iterator[Callable[..., Asking]]:
    """Begin to ask a server."""
    with ExitStack() as stack:

        def begun(counter: Counter, api: str = "embeddings", **options: Any) -> Asking:
            url = stack.enter_context(scripted(counter))
            found = Asking(Served(Address(url, counter.name, **options), api))  # type: ignore[arg-type]
            stack.callback(found.client.close)
            return found

        yield begun


def encoder(asking: Asking, **options: Any) -> ServedEncoder:
    given = {"prompts": {"query": "q: ", "passage": ""}, "input_types": {}, **options}
    return ServedEncoder(asking, key="0" * 16, **given)


def bodies(counter: Counter, path: str = "/v1/embeddings") -> list[dict[str, Any]]:
    return [one.body for one in counter.requests if one.path == path]


def test_vectors_stand_in_the_order_of_their_texts(asking: Open) -> None:
    counter = Counter()
    found = encoder(asking(counter), together=2).encode(["a b", "c", "a b", "dd e f"], "passage")
    assert found.dtype == np.float32
    assert found.tolist() == np.array([*map(vector, ["a b", "c", "a b", "dd e f"])], "f4").tolist()
    # equal texts once, of like length together; one text told the dimension
    assert sorted(len(one["input"]) for one in bodies(counter)) == [1, 1, 2]
    assert sorted(counter.texts) == ["a", "a b", "c", "dd e f"]


def test_prompts_and_types_of_input_are_those_of_the_role(asking: Open) -> None:
    counter = Counter()
    types = {"query": "search_query", "passage": "search_document"}
    engine = encoder(asking(counter), input_types=types)
    engine.encode(["x", ""], "query")
    engine.encode(["", "x"], "passage")
    _, first, second = sorted(bodies(counter), key=lambda one: (one["input"] != ["a"], str(one)))
    asked = {"model": "counter"}
    assert {str(first), str(second)} == {
        str({**asked, "input": ["q: x", "q: "], "input_type": "search_query"}),
        str({**asked, "input": ["x", " "], "input_type": "search_document"}),
    }
    assert "dimensions" not in first  # which some servers ignore, and some refuse


def test_a_request_has_so_many_characters(asking: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "CHARACTERS", 10)
    counter = Counter()
    encoder(asking(counter)).encode(["a" * 30, "b" * 6, "c" * 4, "d" * 3], "passage")
    sizes = {tuple(map(len, one["input"])) for one in bodies(counter)}
    assert sizes == {(30,), (6, 4), (3,), (1,)}


@given(st.integers(0, 10_000), st.lists(st.integers(0, 500), min_size=1, max_size=20))
def test_shares_of_tokens_sum_to_the_count(count: int, lengths: list[int]) -> None:
    shares = encoders._shared(count, lengths)
    assert all(one >= 0 for one in shares)
    assert sum(shares) == (count if sum(lengths) else 0)


@pytest.mark.parametrize(("usage", "expected"), [("total_tokens", [2, 1]), ("", [0, 0])])
def test_tokens_are_those_that_the_server_counts(
    asking: Open, usage: str, expected: list[int]
) -> None:
    engine = encoder(asking(Counter(usage=usage)), prompts={"query": "", "passage": ""})
    engine.encode(["aaa bbb", "ccc"], "query")
    assert engine.count_tokens(["aaa bbb", "ccc"], "query") == expected
    assert engine.count_tokens(["never embedded"], "query") == [0]


def spoilt(**entry: Any) -> Callable[[Any, Asked], Any]:
    def spoil(reply: Any, asked: Asked) -> Any:
        if asked.body["input"] != ["a"]:
            reply["data"][0] |= entry
        return reply

    return spoil


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (
            {"embedding": [float("nan")] * DIMENSION},
            r"data\[0\].embedding: expected a list of finite numbers, but it is \[nan, .*; asked "
            r"for 2 texts, the longest of 2 characters: 'yy'",
        ),
        ({"embedding": "AAAA"}, r"data\[0\].embedding: expected a list, but it is 'AAAA'"),
        ({"embedding": [1.0]}, "data: the reply has vectors of 1 and of 16"),
        ({"embedding": [1e300] * DIMENSION}, "a vector holds a number too large for float32"),
        ({"index": 1}, r"data\[1\].index: expected a number below 2 that comes once"),
    ],
)
def test_what_is_no_vector_is_an_error(asking: Open, entry: dict[str, Any], told: str) -> None:
    engine = encoder(asking(Counter(spoil=spoilt(**entry)), retries=0))
    with pytest.raises(EndpointError, match=told), np.errstate(over="ignore"):
        engine.encode(["x", "yy"], "passage")


def test_vectors_of_another_length_are_another_models(asking: Open) -> None:
    def spoil(reply: Any, asked: Asked) -> Any:
        if asked.body["input"] == ["b"]:
            reply["data"][0]["embedding"] = [1.0, 0.0]
        return reply

    engine = encoder(asking(Counter(spoil=spoil)))
    engine.encode(["c"], "query")
    with pytest.raises(EndpointError, match="a vector has 2 numbers, where others have 16: the se"):
        engine.encode(["b"], "passage")


def test_a_model_that_is_exchanged_ends_the_run(asking: Open) -> None:
    counter = Counter(told={"root": "/models/1"})
    engine = encoder(asking(counter, concurrency=1))
    engine.encode(["x"], "passage")
    counter.told["root"] = "/models/2"
    with pytest.raises(EndpointError, match=r"changed since the run began: listed.root was /mod"):
        engine.encode([str(k) for k in range(100)], "passage")
    counter.name = "another"
    with pytest.raises(EndpointError, match="the model called itself 'counter', and now 'another'"):
        engine.encode(["y"], "passage")


FAULTS = (
    Said({"error": "busy"}, 503),
    Said({"error": "slow down"}, 429, {"Retry-After": "0"}),
    Said(reset=True),
    Said({"data": []}, half=True),
    Said(b'{"data": [{"index": 0, "embed'),
    Said(b"<html>login</html>"),
    Said(b"<html>", 502),
)


def test_faults_of_the_network_lose_and_double_nothing(asking: Open) -> None:
    drawn = random.Random(0)

    def fault(_number: int, asked: Asked) -> Said | None:
        hit = asked.path == "/v1/embeddings" and drawn.random() < 0.4
        return drawn.choice(FAULTS) if hit else None

    counter = Counter()
    engine = encoder(asking(counter, retries=20), together=2)
    counter.fault = fault
    for run in range(50):
        texts = [f"text {k} of {run}" for k in range(8)]
        expected = np.array([*map(vector, texts)], "f4")
        assert (engine.encode(texts, "passage") == expected).all()


def test_words_of_the_server_stand_in_the_error(asking: Open) -> None:
    def fault(_number: int, asked: Asked) -> Said | None:
        if asked.path != "/v1/embeddings" or len(asked.body["input"][0]) < 50:
            return None
        return Said({"error": {"message": "maximum context length is 8192 tokens"}}, 400)

    engine = encoder(asking(Counter(fault=fault)))
    told = "HTTP 400 Bad Request: maximum context length is 8192 tokens; asked for 2 texts, the lo"
    with pytest.raises(EndpointError, match=told) as caught:
        engine.encode(["x" * 2000, "y"], "passage")
    assert "longest of 2,000 characters: 'xxxxxxx" in str(caught.value)
    assert caught.value.status == 400


# --- reranking -----------------------------------------------------------------------------------

QUERY, DOCUMENTS = "red cats", ["blue dogs", "red cats purr", "a red door"]


@pytest.mark.parametrize(
    ("path", "documents"),
    [("/v1/rerank", "documents"), ("/rerank", "documents"), ("/rerank", "texts")],
)
def test_a_server_reranks_in_any_known_way(asking: Open, path: str, documents: str) -> None:
    counter = Counter(path=path, documents=documents)
    reranker = ServedReranker(asking(counter, "rerank"), together=2)
    expected = [shared(QUERY, one) for one in DOCUMENTS]
    found = reranker.rerank_each([(QUERY, DOCUMENTS), ("none", []), ("blue", DOCUMENTS[:1])])
    assert found == [expected, [], [1.0]]
    sizes = [len(one[documents]) for one in bodies(counter, path) if documents in one]
    assert sorted(sizes) == [1, 1, 2, 2]  # one of two asked whether it can


def test_no_route_and_no_score_are_told(asking: Open) -> None:
    reranker = ServedReranker(asking(Counter(path=""), "rerank", retries=0))
    with pytest.raises(EndpointError, match=r"Not Found.*; is the server started with a reranker"):
        reranker.rerank_each([(QUERY, DOCUMENTS)])
    cut = Counter(spoil=lambda reply, _: {**reply, "results": reply["results"][:2]})
    with pytest.raises(
        EndpointError, match=r"^127.0.0.1:\d+/rerank: results: the reply has 2 entries for 3 texts"
    ):
        ServedReranker(asking(cut, "rerank")).rerank_each([(QUERY, DOCUMENTS)])
    twice = Counter(
        spoil=lambda reply, _: {
            **reply,
            "results": [{**one, "index": 0} for one in reply["results"]],
        }
    )
    with pytest.raises(EndpointError, match=r"results\[1\].index: expected a number below 3 that"):
        ServedReranker(asking(twice, "rerank")).rerank_each([(QUERY, DOCUMENTS)])
