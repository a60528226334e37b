"""Text to token ids, the same in every engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_modellab.engines.batching import common_prefix
from pytest_modellab.engines.interface import ScoringRequest, Texts
from pytest_modellab.errors import ScoringError

WORTH_A_CUT = 64
"""Characters that all texts share, from which on they are encoded once."""


def encode(tokenizer: Any, text: str) -> list[int]:
    """Return a text's token ids; it is in the chat template already, so none are added."""
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def encode_all(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of every text, as :func:`encode` does of one."""
    shared, rests = encode_shared(tokenizer, texts)
    return [shared + rest for rest in rests]


def encode_shared(tokenizer: Any, texts: Sequence[str]) -> tuple[list[int], list[list[int]]]:
    """Encode texts in one call, and what all begin with once, where that is sure to be the same.

    A tokenizer of the tokenizers library first cuts a text at its added tokens, as ``<|im_start|>``
    is one, and encodes what lies between them by itself. So the texts are cut in front of such a
    token, the last one that they share.

    Args:
        tokenizer: of transformers.
        texts: any.

    Returns:
        Token ids that all texts begin with, perhaps none, and what follows them in each.
    """
    if not texts:
        return [], []
    first = encode(tokenizer, texts[0])  # sets truncation and padding off, too
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not _plain(tokenizer):
        return [], [first, *(encode(tokenizer, text) for text in texts[1:])]
    shared, cut = _seam(backend, texts)
    found = _batch(backend, [text[cut:] for text in texts])
    if shared + found[0] != first:  # a tokenizer with ways of its own
        return [], [first, *(encode(tokenizer, text) for text in texts[1:])]
    return shared, found


def _plain(tokenizer: Any) -> bool:
    """Whether a tokenizer does no more than its backend, as CodeLlama's does with what to fill."""
    from transformers import PreTrainedTokenizerFast

    return all(
        getattr(type(tokenizer), name, None) is getattr(PreTrainedTokenizerFast, name, None)
        for name in ("__call__", "_encode_plus")
    )


def _batch(backend: Any, texts: Sequence[str]) -> list[list[int]]:
    encode_batch = getattr(backend, "encode_batch_fast", backend.encode_batch)
    return [one.ids for one in encode_batch(list(texts), add_special_tokens=False)]


def _seam(backend: Any, texts: Sequence[str]) -> tuple[list[int], int]:
    """Return the tokens before the last cut that all texts share, and its place; 0 for none.

    What is matched up to a place is sure once as many characters follow as the longest added token
    has. A token that takes up spaces before it, or only counts as a whole word, or is looked for in
    the normalized text, is no seam.
    """
    first, last = min(texts), max(texts)  # by value: what these two share, all share
    pairs = enumerate(zip(first, last, strict=False))
    common = first[: next((place for place, (a, b) in pairs if a != b), len(first))]
    added = backend.get_added_tokens_decoder() if len(texts) > 1 else {}
    if len(common) < WORTH_A_CUT or not added or backend.encode_special_tokens:
        return [], 0
    seams = {
        number
        for number, token in added.items()
        if not (token.normalized or token.lstrip or token.single_word)
    }
    sure = len(common) - 1 - max(len(token.content) for token in added.values())
    told = backend.encode(common, add_special_tokens=False)
    for place in range(len(told.ids) - 1, 0, -1):
        begin = told.offsets[place][0]
        if told.ids[place] in seams and 0 < begin <= sure:
            content = added[told.ids[place]].content
            if common.startswith(content, begin):
                return list(told.ids[:place]), begin
    return [], 0


def encode_requests(
    tokenizer: Any, requests: Sequence[ScoringRequest]
) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Return the token ids of every request's context, and of each of its options.

    Raises:
        ScoringError: an option has no token.
    """
    return encode_all(tokenizer, [r.context for r in requests]), encode_options(tokenizer, requests)


def encode_options(tokenizer: Any, requests: Sequence[ScoringRequest]) -> list[list[list[int]]]:
    """Return the token ids of each option of every request.

    Raises:
        ScoringError: an option has no token.
    """
    distinct = list(dict.fromkeys(option for request in requests for option in request.options))
    ids = dict(zip(distinct, encode_all(tokenizer, distinct), strict=True))
    for option, tokens in ids.items():
        if not tokens:
            raise ScoringError(f"the tokenizer makes no token of the option {option!r}")
    return [[ids[option] for option in request.options] for request in requests]


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
