"""Each fault of a server that embeds or reranks is named; of an honest one nothing is said."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from embedding_server import Counter, vector
from scripted_server import Asked, Said, scripted

from pytest_modellab.endpoints.address import Address
from pytest_modellab.endpoints.client import Client
from pytest_modellab.runs.canary import embedding, reranking
from pytest_modellab.runs.canary.vectors import Declared

pytest.importorskip("httpx2")

TEXT = "a reference"

DECLARED = Declared(TEXT, tuple(vector(TEXT)), words=20)

Spoil = Callable[[Any, Asked], Any]


@contextlib.contextmanager
def client(counter: Counter) -> Iterator[Client]:
    with (
        scripted(counter) as url,
        contextlib.closing(Client(Address(url, counter.name, retries=0))) as found,
    ):
        yield found


def rows(change: Callable[[list[float]], list[float]]) -> Spoil:
    def spoil(reply: Any, _asked: Asked) -> Any:
        for one in reply["data"]:
            one["embedding"] = change(one["embedding"])
        return reply

    return spoil


def exchanged(reply: Any, _asked: Asked) -> Any:
    name = "data" if "data" in reply else "results"
    for one in reply[name]:
        one["index"] = len(reply[name]) - 1 - one["index"]
    return reply


def of_texts(change: Callable[[str], str]) -> Callable[[int, Asked], Said | None]:
    def fault(_number: int, asked: Asked) -> Said | None:
        if asked.body is not None and "input" in asked.body:
            asked.body["input"] = [*map(change, asked.body["input"])]
            asked.body.pop("input_type", None)
        return None

    return fault


def test_an_honest_server_is_believed() -> None:
    with client(Counter()) as asked:
        found = embedding.examine(asked, DECLARED)
    assert found.findings == ()
    assert found.unchecked == ()
    assert str(found.noise) == "0 of 10 repeated replies differ"
    assert found.checked == (
        "batches",
        "prefix",
        "truncation",
        "dimension and normalization",
        "pooling",
        "same model to the end",
        "repeatability",
    )


def test_what_is_not_declared_is_not_checked() -> None:
    with client(Counter()) as asked:
        found = embedding.examine(asked, Declared())
    assert [*map(str, found.unchecked)] == [
        "pooling, dimension and normalization: not checked: nothing says what vectors the server "
        "should give: name the model that it should have, or a reference"
    ]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("vectors of a batch exchanged", exchanged),
        ("unnormalized embeddings", rows(lambda row: [3 * one for one in row])),
        ("other dimension", rows(lambda row: row * 2)),
        ("other vectors", rows(lambda row: [*row[1:], row[0]])),
        ("no vectors", rows(lambda row: [*row[1:], float("nan")])),
    ],
)
def test_a_fault_of_replies_is_named(name: str, spoil: Spoil) -> None:
    with client(Counter(spoil=spoil)) as asked:
        found = embedding.examine(asked, DECLARED)
    assert [one.name for one in found.findings] == [name]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("prefix dropped", lambda text: text.removeprefix("query: ")),
        ("truncation", lambda text: " ".join(text.split()[:18])),
        ("other vectors", lambda text: f"a prefix of the server {text}"),
    ],
)
def test_a_fault_of_texts_is_named(name: str, change: Callable[[str], str]) -> None:
    with client(Counter(fault=of_texts(change))) as asked:
        found = embedding.examine(asked, DECLARED)
    assert [one.name for one in found.findings] == [name]


def test_a_server_with_noise_is_judged_beyond_its_noise() -> None:
    drawn = random.Random(0)

    def noisy(row: list[float]) -> list[float]:
        return [one + drawn.gauss(0, 1e-4) for one in row]

    with client(Counter(spoil=rows(noisy))) as asked:
        found = embedding.examine(asked, DECLARED)
    assert found.findings == ()
    assert str(found.noise) == "9 of 10 repeated replies differ, 4 of them asked alone"
    cut = of_texts(lambda text: " ".join(text.split()[:18]))
    with client(Counter(spoil=rows(noisy), fault=cut)) as asked:
        found = embedding.examine(asked, DECLARED)
    assert [one.name for one in found.findings] == ["truncation"]


def test_a_type_of_input_that_is_ignored_is_named() -> None:
    declared = Declared(fields={"query": {"input_type": "q"}, "passage": {"input_type": "p"}})
    with client(Counter()) as asked:
        found = embedding.examine(asked, declared)
    assert (found.findings, "input type" in found.checked) == ((), True)
    with client(Counter(fault=of_texts(str))) as asked:
        found = embedding.examine(asked, declared)
    assert [one.name for one in found.findings] == ["input type ignored"]


def test_another_model_at_the_end_is_named() -> None:
    counter = Counter(told={"root": "/models/1"})

    def fault(number: int, _asked: Asked) -> None:
        if number > 10:
            counter.told["root"] = "/models/2"

    counter.fault = fault
    with client(counter) as asked:
        found = embedding.examine(asked, DECLARED)
    assert [one.name for one in found.findings] == ["model swapped mid-run"]


def scores(change: Callable[[float], float]) -> Spoil:
    def spoil(reply: Any, _asked: Asked) -> Any:
        for one in reply["results"]:
            one["relevance_score"] = change(one["relevance_score"])
        return reply

    return spoil


@pytest.mark.parametrize(
    ("names", "spoil"),
    [
        ([], lambda reply, _: reply),
        (["scores of documents exchanged"], exchanged),
        (["no reranker"], scores(lambda one: -one)),
        (["no scores"], scores(lambda _: float("nan"))),
        (["no scores"], lambda reply, _: {**reply, "results": reply["results"][:2]}),
    ],
)
def test_a_fault_of_a_reranker_is_named(names: list[str], spoil: Spoil) -> None:
    with client(Counter(spoil=spoil)) as asked:
        found = reranking.examine(asked)
    assert [one.name for one in found.findings] == names
    assert all(one.seen and one.expected and one.mend for one in found.findings)
