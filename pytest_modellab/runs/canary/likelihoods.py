"""Are a server's log-probabilities those of its model? Judged by replies alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

from pytest_modellab.endpoints.replies import Reply, Token
from pytest_modellab.records.canary import Finding

TOLERANCE = 0.25
"""Nats that two ways to one likelihood may differ by: bfloat16 logits are a multiple of 1/8."""

EXCESS = 1e-3
"""How far a sum of probabilities may be from what it should be, by rounding."""

CHANCE = 1e-6
"""How unlikely a reply must be, by the server's own numbers, to be called wrong."""

_PART = "\ufffd"
"""Stands for a part of a character."""

SHIFTED = "shifted log-probabilities"
DROPPED = "dropped echo"
_NO_LIKELIHOODS = 'multiple choice cannot be scored here: set scoring = "generated", or '


def untold(reply: Reply | None) -> Finding:
    """Say that a server tells no log-probabilities.

    Args:
        reply: without them; None where the request is refused.
    """
    how = "is refused" if reply is None else "is answered without any"
    return Finding(
        "no log-probabilities",
        f"a request for completions with logprobs {how}",
        "the log-probability of each generated token",
        f"{_NO_LIKELIHOODS}use a server that tells them",
        "score",
    )


def untellable(why: str) -> Finding:
    """Say that the engine's way to likelihoods fails."""
    return Finding(
        "no likelihoods of given tokens",
        why,
        "the log-probability of each token that is asked for",
        f"{_NO_LIKELIHOODS}use a server that tells them",
        "score",
    )


def sums(reply: Reply) -> Finding | None:
    """Judge that the probabilities at each place sum to at most one.

    Args:
        reply: with its likeliest tokens.
    """
    for k, token in enumerate(reply.tokens or ()):
        total = math.fsum(_probabilities(_distinct(token.top)))
        if total > 1 + EXCESS:
            return Finding(
                "log-probabilities that are none",
                f"at token {k + 1} of a reply the {len(token.top)} likeliest tokens have "
                f"probabilities that sum to {total:.4g}",
                "at most 1",
                f"{_NO_LIKELIHOODS}ask whoever runs the server whether it returns logits or "
                "scaled scores as logprobs",
                "score",
            )
    return None


def spelled(reply: Reply) -> Finding | None:
    """Judge that the tokens told of are those of the reply, each with its own log-probability.

    Args:
        reply: decoded greedily, with its likeliest tokens.
    """
    told = reply.tokens or ()
    for k, token in enumerate(told):
        listed = [one.logprob for one in token.top if _same(one, token)]
        best = max((one.logprob for one in token.top), default=token.logprob)
        own = listed[0] if listed else best
        if abs(own - token.logprob) > TOLERANCE or best - token.logprob > TOLERANCE:
            return _shifted(
                f"token {k + 1} of a greedy reply, {token.text!r}, has log-probability "
                f"{token.logprob:.3f}, and the likeliest at its place {best:.3f}",
                "the same, since greedy decoding takes the likeliest",
            )
    return None


def echoed(prompt: str, reply: Reply) -> Finding | None:
    """Judge that ``echo`` gives the prompt's own tokens, all of them.

    Args:
        prompt: as it was sent.
        reply: to a request with ``echo`` and ``logprobs``.
    """
    covered = "".join(one.text for one in reply.tokens or ())
    if reply.text.startswith(prompt) and covered.startswith(prompt):
        return None
    told = f"{len(reply.tokens)} log-probabilities" if reply.tokens else "no log-probabilities"
    return Finding(
        DROPPED,
        f"a request with echo and logprobs got the text {reply.text[:60]!r} and {told}: what was "
        "generated only",
        f"the {len(prompt)} characters of the prompt first, and the log-probability of each token",
        f"{_NO_LIKELIHOODS}use a server that returns the prompt's log-probabilities, as vLLM does",
        "score",
    )


def agrees(way: str, tokens: Sequence[Token], again: Sequence[float]) -> Finding | None:
    """Judge that a generated token has one log-probability, whichever way it is asked for.

    Args:
        way: the second one, in words.
        tokens: as they were generated.
        again: their log-probabilities in the second way.
    """
    for k, (token, value) in enumerate(zip(tokens, again, strict=True)):
        if not abs(token.logprob - value) <= TOLERANCE:
            return _shifted(
                f"{token.text!r}, token {k + 1} of a reply, had log-probability "
                f"{token.logprob:.3f} when it was generated, and {value:.3f} by {way}",
                f"the same within {TOLERANCE:g}",
            )
    return None


def drawn(draws: Sequence[Reply], most: int) -> Finding | None:
    """Judge replies drawn at temperature 1 by the server's own log-probabilities.

    Tokens that are the likeliest, or among those told of, more often than is possible by the
    numbers prove that the draws are cut off or the numbers too small. Nothing is proved where
    tokens without numbers have texts that several tokens share, parts of characters.

    Args:
        draws: each with its likeliest tokens.
        most: how many of those were asked for. OpenAI and vLLM tell of the drawn one beside them.
    """
    tokens = [one for draw in draws for one in draw.tokens or () if one.top]
    told = [one for token in tokens for one in (token, *token.top)]
    if not tokens or any(one.id is None and _PART in one.text for one in told):
        return None
    tokens = [dataclasses.replace(one, top=_first(one.top, most)) for one in tokens]
    likeliest = [math.exp(min(max(one.logprob for one in token.top), 0.0)) for token in tokens]
    if all(map(_likeliest, tokens)):
        chance = at_least(len(tokens), likeliest)
        if chance < CHANCE:
            return Finding(
                "top-k of one",
                f"all {len(tokens)} tokens drawn at temperature 1 are the likeliest at their place,"
                f" which by the server's own log-probabilities happens with chance {chance:.1g}",
                "draws from the model's distribution",
                "remove the server's own top_k, top_p or temperature, which stand above the "
                "request's; samples with a temperature would all get the greedy reply",
            )
        return None
    within = sum(any(_same(one, token) for one in token.top) for token in tokens)
    chance = at_least(
        within, [min(1.0, math.fsum(_probabilities(_distinct(one.top)))) for one in tokens]
    )
    if chance < CHANCE:
        return _shifted(
            f"{within} of {len(tokens)} tokens drawn at temperature 1 are among the likeliest that"
            f" are told of, whose log-probabilities give that a chance of {chance:.1g}",
            "log-probabilities as large as the model's",
        )
    return None


def at_least(count: int, chances: Sequence[float]) -> float:
    """Return the probability that of independent events at least ``count`` happen.

    Args:
        count: how many.
        chances: the probability of each.
    """
    row = [1.0]  # by how many have happened
    for chance in chances:
        row = [
            (row[k] * (1 - chance) if k < len(row) else 0.0) + (row[k - 1] * chance if k else 0.0)
            for k in range(len(row) + 1)
        ]
    return math.fsum(row[count:])


def _first(tokens: Sequence[Token], most: int) -> tuple[Token, ...]:
    return tuple(sorted(tokens, key=lambda one: -one.logprob)[:most])


def _likeliest(token: Token) -> bool:
    return token.logprob >= max(one.logprob for one in token.top) - 1e-4


def _probabilities(tokens: Sequence[Token]) -> Iterator[float]:
    return (math.exp(min(one.logprob, 0.0)) for one in tokens if not math.isnan(one.logprob))


def _distinct(tokens: Sequence[Token]) -> Sequence[Token]:
    """Tokens, each once: servers without numbers tell some text twice."""
    return list({(one.id, one.text): one for one in tokens}.values())


def _same(one: Token, other: Token) -> bool:
    return one.id == other.id if None not in (one.id, other.id) else one.text == other.text


def _shifted(seen: str, expected: str) -> Finding:
    return Finding(
        SHIFTED,
        seen,
        expected,
        f"{_NO_LIKELIHOODS}update the server: its log-probabilities are not those of the tokens "
        "that they stand at",
        "score",
    )
