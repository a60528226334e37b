"""What servers reply becomes records, or an error that names the place."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.endpoints import replies
from pytest_modellab.endpoints.replies import Token, Usage
from pytest_modellab.errors import EndpointError

CHAT: dict[str, Any] = {
    "model": "smol",
    "system_fingerprint": "b0",
    "choices": [
        {
            "index": 0,
            "finish_reason": "length",
            "message": {"role": "assistant", "content": "No."},
            "logprobs": {
                "content": [
                    {
                        "id": 5230,
                        "token": "No",
                        "bytes": [78, 111],
                        "logprob": -1.0,
                        "top_logprobs": [{"id": 5230, "token": "No", "logprob": -1.0}],
                    },
                    {"token": ".", "logprob": None},
                ]
            },
        }
    ],
    "usage": {
        "completion_tokens": 2,
        "prompt_tokens": 40,
        "prompt_tokens_details": {"cached_tokens": 3},
    },
}

LEGACY: dict[str, Any] = {
    "choices": [
        {
            "text": "The cat",
            "finish_reason": None,
            "logprobs": {
                "tokens": ["The", " cat"],
                "token_logprobs": [None, -2.5],
                "top_logprobs": [None, {" cat": -2.5, " dog": -3}],
                "text_offset": [0, 3],
            },
        }
    ]
}


def test_a_chat_reply() -> None:
    found = replies.chat(CHAT)
    assert (found.text, found.cut, found.model, found.system) == ("No.", True, "smol", "b0")
    assert found.usage == Usage(40, 2, 3)
    assert found.tokens is not None
    assert found.tokens[0] == Token("No", -1.0, 5230, (Token("No", -1.0, 5230),))
    assert math.isnan(found.tokens[1].logprob)


def test_a_completion_in_the_older_form() -> None:
    found = replies.completion(LEGACY)
    assert (found.text, found.finish, found.usage, found.model) == ("The cat", "", None, "")
    assert found.tokens is not None
    assert found.tokens[1] == Token(" cat", -2.5, top=(Token(" cat", -2.5), Token(" dog", -3.0)))


def test_no_log_probabilities_are_none() -> None:
    for told in (None, {}, {"content": None}):
        reply = {"choices": [{"text": "", "logprobs": told}]}
        assert replies.completion(reply).tokens is None


def test_prompt_log_probabilities() -> None:
    entry = {"3575": {"logprob": -11.5, "rank": 2923}, "28": {"logprob": -0.5}}
    reply = {"choices": [{"text": "", "prompt_logprobs": [None, entry]}]}
    assert replies.prompt_logprobs(reply) == (None, {3575: -11.5, 28: -0.5})


def test_models_without_what_changes_by_itself() -> None:
    reply = {"data": [{"id": "smol", "created": 5, "owned_by": "me", "permission": [{"id": "x"}]}]}
    (found,) = replies.models(reply)
    assert (found.id, found.told) == ("smol", {"owned_by": "me"})


def test_vectors_in_the_order_of_their_texts() -> None:
    reply = {"data": [{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1, 2]}]}
    assert replies.embeddings(reply, 2) == ((1.0, 2.0), (3.0, 4.5))
    with pytest.raises(EndpointError, match="data: the reply has 2 entries for 3 texts"):
        replies.embeddings(reply, 3)
    reply["data"][0]["embedding"] = [1]
    with pytest.raises(EndpointError, match="data: the reply has vectors of 1 and of 2"):
        replies.embeddings(reply, 2)


def test_relevances_in_the_order_of_their_documents() -> None:
    reply = {"results": [{"index": 1, "relevance_score": -1}, {"index": 0, "relevance_score": 2}]}
    assert replies.rerank(reply, 2) == (2.0, -1.0)
    listed = {"data": [{"index": 1, "score": -1}, {"index": 0, "score": 2}]}
    assert replies.rerank(listed, 2) == (2.0, -1.0)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [({"prompt_tokens": 3, "total_tokens": 4}, 3), ({"total_tokens": 4}, 4), (None, 0)],
)
def test_tokens_of_what_was_embedded(usage: Any, tokens: int) -> None:
    assert replies.embedded_tokens({"usage": usage}) == tokens


@pytest.mark.parametrize(
    ("read", "reply", "told"),
    [
        (replies.chat, {}, "choices: expected a list, but it is missing; the server's reply"),
        (replies.chat, {"choices": []}, r"choices: expected a list of one object, but it is \[\]"),
        (replies.chat, {"choices": [{}]}, r"choices\[0\].message: expected an object"),
        (replies.chat, {"choices": [{"message": {"content": 5}}]}, r"content: expected a text"),
        (replies.completion, {"choices": [{}]}, r"choices\[0\].text: expected a text"),
        (
            replies.completion,
            {"choices": [{"text": "", "logprobs": {"content": [{"token": "a", "logprob": 2}]}}]},
            r"choices\[0\].logprobs.content\[0\].logprob: expected a log-probability, but it is 2",
        ),
        (
            replies.completion,
            {"choices": [{"text": "", "logprobs": {"tokens": ["a"], "token_logprobs": []}}]},
            "expected lists of one length",
        ),
        (replies.completion, {"choices": [{"text": ""}], "usage": {}}, "usage: expected counts"),
        (replies.tokenized, {"tokens": [1, True]}, "tokens: expected a list of token numbers"),
        (replies.models, {"data": [{"id": 1}]}, r"data\[0\]: expected an object with a text as id"),
        (
            lambda reply: replies.embeddings(reply, 2),
            {"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]},
            r"data\[1\].index: expected a number below 2 that comes once, but it is 0",
        ),
        (
            lambda reply: replies.embeddings(reply, 1),
            {"data": [{"index": 0, "embedding": [math.nan]}]},
            r"data\[0\].embedding: expected a list of finite numbers",
        ),
        (
            replies.prompt_logprobs,
            {"choices": [{"prompt_logprobs": [{"a": {"logprob": -1}}]}]},
            "expected the number of a token as key",
        ),
    ],
)
def test_anything_else_is_an_error_with_its_place(
    read: Callable[[Any], Any], reply: dict[str, Any], told: str
) -> None:
    with pytest.raises(EndpointError, match=told):
        read(reply)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            found += _places(one, (*path, key))
    return found


EMBEDDED = {
    "data": [{"index": k, "embedding": [0.5, k]} for k in (1, 0)],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}

RERANKED = {"results": [{"index": k, "relevance_score": k} for k in (1, 0)]}

READ: list[tuple[Callable[[Any], Any], Any]] = [
    (replies.chat, CHAT),
    (replies.completion, LEGACY),
    (lambda reply: (replies.embeddings(reply, 2), replies.embedded_tokens(reply)), EMBEDDED),
    (lambda reply: replies.rerank(reply, 2), RERANKED),
    (lambda reply: replies.rerank(reply, 1), {"data": [{"index": 0, "score": 0.5}]}),
]


@given(st.data())
def test_a_reply_that_is_changed_anywhere_is_read_or_told(data: st.DataObject) -> None:
    read, whole = data.draw(st.sampled_from(READ))
    changed = copy.deepcopy(whole)
    *outer, last = data.draw(st.sampled_from(_places(whole)))
    inner: Any = changed
    for key in outer:
        inner = inner[key]
    inner[last] = data.draw(_JSON)
    try:
        read(changed)
    except EndpointError as error:
        assert len(str(error)) < 400  # noqa: PT017 -- either outcome is right
