"""vLLM's server behind the kind ``endpoint``: believed by the canary, and equal to the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vllm_server import serving

from pytest_modellab.endpoints.address import Address
from pytest_modellab.endpoints.client import Client
from pytest_modellab.endpoints.served import Served
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import openai, vllm_engine
from pytest_modellab.engines.tokens import encode
from pytest_modellab.records.canary import Canary
from pytest_modellab.records.runs import Output
from pytest_modellab.runs.canary import canary
from pytest_modellab.runs.canary.adapters import Row, Trained
from pytest_modellab.runs.canary.reference import Declared

pytest.importorskip("httpx2")

KEY = "sk-0123456789abcdef"
ROWS = tuple(
    Row(({"role": "user", "content": text},)) for text in ("Name a colour.", "Count to ten.")
)


@pytest.fixture(scope="module")
def url(models: Path) -> Iterator[str]:
    """A server that calls its model by a second name, as if that were an adapter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVED_KEY", KEY)
        with serving(models / "tiny", ("tiny", "renamed"), models / "four", key=KEY) as found:
            yield found


@pytest.fixture(scope="module")
def engine(models: Path) -> Iterator[vllm_engine.VllmEngine]:
    with contextlib.closing(vllm_engine.load(models / "tiny")) as found:
        yield found


def address(url: str, name: str) -> Address:
    return Address(url, name, key_env="SERVED_KEY", concurrency=4, retries=0)


def answers(ask: Any, requests: list[Any]) -> list[Output]:
    found: dict[int, Output] = {}
    ask(requests, budget=512, skip=set(), done=found.update)
    return [found[k] for k in range(len(requests))]


def examined(url: str, engine: Any, name: str, **expected: Any) -> Canary:
    with contextlib.closing(Client(address(url, name))) as asked:
        declared = canary.Expected("completions", Declared(engine), **expected)
        return canary.examine(asked, declared)


@pytest.mark.parametrize("name", ["tiny", "four"])
def test_it_answers_as_the_engine_does(
    name: str, url: str, models: Path, engine: vllm_engine.VllmEngine
) -> None:
    here = engine if name == "tiny" else engine.beside(models / name)
    there = openai.load(Served(address(url, name), "completions"), models / "tiny")
    contexts = [here.render(row.messages) for row in ROWS]
    options = (" red", "blue and green", "é", "a")
    scored = [ScoringRequest(context, options) for context in contexts]
    mine, its = (answers(one.score_options, scored) for one in (here, there))
    tokens = [len(encode(engine.tokenizer, option)) for option in options]
    apart = max(
        abs(a - b) / count
        for one, other in zip(mine, its, strict=True)
        for a, b, count in zip(one.option_logprobs, other.option_logprobs, tokens, strict=True)
    )
    print(f"{name}: largest difference of likelihoods, a token: {apart:.2g}")
    assert apart <= 1e-5
    written = [GenerationRequest(context, max_tokens=12) for context in contexts]
    mine, its = (answers(one.generate, written) for one in (here, there))
    # the server leaves out a character that the limit has cut in two
    assert [one.text.rstrip("\ufffd") for one in mine] == [one.text for one in its]
    there.close()


@pytest.mark.parametrize("name", ["tiny", "four"])
def test_an_honest_server_is_believed(name: str, url: str, engine: vllm_engine.VllmEngine) -> None:
    trained = Trained(name, ROWS) if name == "four" else None
    found = examined(url, engine, name, trained=trained)
    assert [str(one) for one in found.findings] == []
    assert "logprob_token_ids" in found.ways
    assert ("adapter" in found.checked) == (name == "four")


def test_a_base_in_the_place_of_an_adapter_is_named(
    url: str, engine: vllm_engine.VllmEngine
) -> None:
    found = examined(url, engine, "renamed", trained=Trained("four", ROWS), base="tiny")
    assert [one.name for one in found.findings] == ["base served in place of the adapter"]
