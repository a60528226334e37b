"""How likely given tokens are after a prompt, of servers that tell it in different ways.

No server tells it by the route that OpenAI once had for it, ``echo``, and is believed: many take
the field and leave it. So there is a way for each server whose answer is known to be right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pytest_modellab.endpoints import replies
from pytest_modellab.endpoints.served import Software
from pytest_modellab.errors import EndpointError

LEAST = math.log(2.0**-149)
"""Servers compute a probability as a float32; this is the logarithm of the least above 0."""

BIAS = 1e6
"""Added to the logit of the token that is to be generated."""

WHOLE = 1 << 20
"""More tokens than a vocabulary has."""

Complete: TypeAlias = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Asks for a completion with the fields given, and returns the whole reply."""

Way: TypeAlias = Callable[[Complete, Sequence[int], Sequence[int]], float]
"""Takes what asks, a prompt and an option as token numbers; returns the option's log-likelihood."""


def way(software: Software) -> Way | None:
    """Return how a server's software tells likelihoods, or None where that is not known."""
    return {"llama.cpp": token_by_token, "vllm": of_wanted}.get(software)


def token_by_token(complete: Complete, context: Sequence[int], option: Sequence[int]) -> float:
    """Return an option's log-likelihood from llama.cpp's server, which tells of what it generates.

    Each token of the option is made the one that is generated, by a bias; what is told is its
    log-probability before the bias. Of a token that is part of a character nothing is told; such a
    one is looked up among the whole vocabulary.

    Raises:
        EndpointError: the server does not tell it.
    """
    return math.fsum(
        _of_token(complete, [*context, *option[:place]], token)
        for place, token in enumerate(option)
    )


def _of_token(complete: Complete, prompt: Sequence[int], token: int) -> float:
    asked = {
        "prompt": list(prompt),
        "max_tokens": 1,
        "temperature": 0.0,
        "samplers": ["temperature"],
    }
    for fields in (
        {"logit_bias": [[token, BIAS]], "n_probs": 1},
        {"n_probs": WHOLE},
    ):
        reply = replies.completion(complete({**asked, **fields}))
        for generated in reply.tokens or ():
            for told in (generated, *generated.top):
                if told.id == token:
                    return _bounded(told.logprob)
    raise EndpointError(
        f"the server tells no log-probability of token {token}: is it another vocabulary than the "
        "declared model's?"
    )


def of_wanted(complete: Complete, context: Sequence[int], option: Sequence[int]) -> float:
    """Return an option's log-likelihood from vLLM's server, which tells of tokens that are wanted.

    What stands before a token is a prompt of its own, found computed but for its end. Releases
    before 0.32 leave the field, and are asked for a prompt's tokens: with adapters that fails where
    several prompts are asked at once, and it computes each anew.

    Raises:
        EndpointError: the server does not tell it of every token.
    """
    told = []
    for place, token in enumerate(option):
        value = _wanted(complete, [*context, *option[:place]], token)
        if value is None:
            return of_prompt(complete, context, option)
        told.append(_bounded(value))
    return math.fsum(told)


def _wanted(complete: Complete, prompt: Sequence[int], token: int) -> float | None:
    asked = {
        "prompt": list(prompt),
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": 1,
        "logprob_token_ids": [token],
        "return_tokens_as_token_ids": True,  # several may have one text
    }
    reply = replies.completion(complete(asked))
    told = (one for first in reply.tokens or () for one in (first, *first.top))
    return next((one.logprob for one in told if one.id == token), None)


def of_prompt(complete: Complete, context: Sequence[int], option: Sequence[int]) -> float:
    """Return an option's log-likelihood from a vLLM server that tells of a prompt's tokens alone.

    Raises:
        EndpointError: the server does not tell it of every token.
    """
    prompt = [*context, *option]
    raw = complete({"prompt": prompt, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0})
    rows = replies.prompt_logprobs(raw)
    if len(rows) != len(prompt):
        raise EndpointError(
            f"the server tells log-probabilities of {len(rows)} tokens of a prompt of {len(prompt)}"
        )
    told = [
        (row or {}).get(token, math.nan)
        for row, token in zip(rows[len(context) :], option, strict=True)
    ]
    if any(map(math.isnan, told)):
        raise EndpointError("the server tells no log-probability of a token of its prompt")
    return math.fsum(map(_bounded, told))


def _bounded(value: float) -> float:
    return value if math.isnan(value) else max(value, LEAST)
