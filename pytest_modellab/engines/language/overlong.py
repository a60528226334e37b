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
    found = {}
    for index, request in enumerate(requests):
        options = () if isinstance(request, GenerationRequest) else request.options
        reply = request.max_tokens if isinstance(request, GenerationRequest) else 0
        longest = max((len(option.encode(errors="replace")) for option in options), default=reply)
        if len(request.context.encode(errors="replace")) + longest + _MARGIN <= most:
            continue
        prompt, *answers = map(len, encode_all(tokenizer, [request.context, *options]))
        answer = max(answers, default=reply)
        if prompt + answer - 1 > most:
            what = "its reply may have" if reply else "its longest option has"
            found[index] = (
                f"its prompt has {prompt} tokens and {what} {answer}, together more than the "
                f"{most} that the model sees at once"
            )
    return found
