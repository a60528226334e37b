"""What is more than a model can see is named before anything is run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines import interface
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language.base import ChatEngine
from pytest_modellab.engines.language.overlong import overlong
from pytest_modellab.engines.language.reasoning import Reasoning, Thinking
from pytest_modellab.engines.language.rolling import most_seen

Requests = list[ScoringRequest | GenerationRequest]


class Words:
    """A tokenizer of words: each is a token."""

    model_max_length = 1 << 60

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        self.asked += 1
        return SimpleNamespace(input_ids=text.split())


def config(**values: Any) -> Any:
    made = SimpleNamespace(**{"model_type": "llama", **values})
    made.get_text_config = lambda: made
    return made


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"max_position_embeddings": 512}, 512),
        ({"n_positions": 64}, 64),
        ({}, None),
        ({"max_position_embeddings": 512, "model_type": "bloom"}, None),
        ({"max_position_embeddings": 512, "alibi": True}, None),
        ({"max_position_embeddings": 512, "rope_parameters": {"rope_type": "default"}}, 512),
        (
            {
                "max_position_embeddings": 131_072,
                "rope_parameters": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "original_max_position_embeddings": 8192,
                },
            },
            131_072,
        ),
        (
            {
                "max_position_embeddings": 32_768,
                "rope_scaling": {
                    "type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 32_768,
                },
            },
            131_072,
        ),
        ({"max_position_embeddings": 512, "rope_scaling": {"type": "linear", "factor": 2}}, 1024),
        ({"max_position_embeddings": 512, "rope_scaling": {"type": "dynamic", "factor": 2}}, None),
        (
            {
                "max_position_embeddings": 512,
                "rope_parameters": {
                    "sliding_attention": {"rope_type": "default"},
                    "full_attention": {"rope_type": "linear", "factor": 8.0},
                },
            },
            4096,
        ),
    ],
)
def test_the_window_is_what_the_configuration_says(
    values: dict[str, Any], found: int | None
) -> None:
    assert most_seen(config(**values), Words()) == found


def test_prompt_and_answer_count_together() -> None:
    fits = ScoringRequest("a " * 7, ("b", "b b b b"))
    large = ScoringRequest("a " * 8, ("b", "b b b b"))
    asked: Requests = [fits, large, GenerationRequest("a " * 8, 3), GenerationRequest("a " * 8, 4)]
    assert overlong(Words(), 10, asked) == {
        1: "its prompt has 8 tokens and its longest option has 4, together more than the 10 that "
        "the model sees at once",
        3: "its prompt has 8 tokens and its reply may have 4, together more than the 10 that the "
        "model sees at once",
    }
    assert overlong(Words(), None, asked) == {}


def test_what_has_fewer_bytes_than_the_window_tokens_is_not_encoded() -> None:
    words = Words()
    asked: Requests = [ScoringRequest("a " * 100, ("b",)), GenerationRequest("", 9)]
    assert overlong(words, 1000, asked) == {}
    assert words.asked == 0


@given(st.integers(0, 40), st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(1, 40))
def test_the_short_cut_leaves_none_out(prompt: int, options: list[int], most: int) -> None:
    asked = ScoringRequest("a " * prompt, tuple("b " * n for n in options))
    assert bool(overlong(Words(), most, [asked])) == (prompt + max(options) - 1 > most)


class Small(ChatEngine):
    """Sees ten tokens."""

    window = 10


def test_a_chain_of_thought_counts() -> None:
    engine: Any = Small(Words())
    one = [GenerationRequest("a " * 6, 2)]
    assert interface.overlong(engine, one) == {}
    thinking: Any = Reasoning(engine, Thinking(tokens=2, cue=" =>"))
    assert list(interface.overlong(thinking, one)) == [0]
    assert interface.overlong(Reasoning(engine, Thinking(tokens=1, cue=" =")), one) == {}


def test_an_engine_that_does_not_know_is_asked_whatever_there_is() -> None:
    assert interface.overlong(object(), [GenerationRequest("a " * 99, 2)]) == {}
    plain: Any = ChatEngine(Words())
    assert interface.overlong(plain, [GenerationRequest("a " * 99, 2)]) == {}
