"""Which requests are longer than a model's window: told before anything is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.tokens import encode_all

_MARGIN = 8
"""Tokens that a tokenizer may make beside one a byte."""


def overlong(
    tokenizer: Any, most: int | None, requests: Sequence[ScoringRequest | GenerationRequest]
) -> dict[int, str]:
    """Find the requests whose prompt and answer together are more than a model can see.

    A token is a byte at least, so that only a text with more bytes than the window has tokens is
    encoded here; nearly always that is none.

    Args:
        tokenizer: of transformers.
        most: tokens that the model can see, or None for any number.
        requests: what is to be asked; all of an answer's tokens but the last are seen.

    Returns:
        What is wrong with each, by its index.
    """
    if most is None:
        return {}
    longest = [max(map(_bytes, _options(request)), default=_reply(request)) for request in requests]
    doubtful = [
        index
        for index, request in enumerate(requests)
        if _bytes(request.context) + longest[index] + _MARGIN > most
    ]
    found = {}
    prompts = encode_all(tokenizer, [requests[index].context for index in doubtful])
    for index, prompt in zip(doubtful, map(len, prompts), strict=True):
        if prompt + longest[index] + _MARGIN <= most:
            continue
        options, reply = _options(requests[index]), _reply(requests[index])
        answer = max(map(len, encode_all(tokenizer, options)), default=reply)
        if prompt + answer - 1 > most:
            what = "its reply may have" if reply else "its longest option has"
            found[index] = (
                f"its prompt has {prompt} tokens and {what} {answer}, together more than the "
                f"{most} that the model sees at once"
            )
    return found


def _options(request: ScoringRequest | GenerationRequest) -> tuple[str, ...]:
    return request.options if isinstance(request, ScoringRequest) else ()


def _reply(request: ScoringRequest | GenerationRequest) -> int:
    return request.max_tokens if isinstance(request, GenerationRequest) else 0


def _bytes(text: str) -> int:
    return len(text.encode(errors="replace"))
