"""Text to token ids, the same in every engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_modellab.engines.batching import common_prefix
from pytest_modellab.engines.interface import ScoringRequest, Texts
from pytest_modellab.errors import ScoringError


def encode(tokenizer: Any, text: str) -> list[int]:
    """Return a text's token ids; it is in the chat template already, so none are added."""
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def encode_requests(
    tokenizer: Any, requests: Sequence[ScoringRequest]
) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Return the token ids of every request's context, and of each of its options.

    Raises:
        ScoringError: an option has no token.
    """
    contexts = [encode(tokenizer, request.context) for request in requests]
    options = [[encode(tokenizer, option) for option in request.options] for request in requests]
    for request, row in zip(requests, options, strict=True):
        if not all(row):
            empty = request.options[row.index([])]
            raise ScoringError(f"the tokenizer makes no token of the option {empty!r}")
    return contexts, options


def encode_texts(tokenizer: Any, requests: Sequence[ScoringRequest]) -> Texts:
    """Return every request's context with its option behind it, as one text.

    Args:
        tokenizer: of transformers.
        requests: each with one option, or with none.

    Raises:
        ScoringError: an option has no token, or a text has fewer than two.
    """
    contexts, options = encode_requests(tokenizer, requests)
    ids = tuple(
        tuple(context + [token for tokens in row for token in tokens])
        for context, row in zip(contexts, options, strict=True)
    )
    for request, text in zip(requests, ids, strict=True):
        if len(text) < 2:
            raise ScoringError(f"of {request.context!r} there is no token that could be predicted")
    # what all share is left out, but each keeps a token that is predicted
    prefix = min([common_prefix(contexts), *(len(text) - 2 for text in ids)])
    # what the shared tokens are followed by is the same question in every text: it counts nowhere
    return Texts(ids, tuple(len(text) - 1 - prefix for text in ids), prefix)
