"""Is a prompt what was written, and a reply what was generated? Judged by replies alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pytest_modellab.endpoints.replies import Reply
from pytest_modellab.records.canary import Finding


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many tokens a conversation is, as it should be and with faults.

    Attributes:
        right: by the declared tokenizer and template.
        faults: name of a fault → tokens with it, the likeliest fault first.
    """

    right: int
    faults: tuple[tuple[str, int], ...] = ()


DOUBLED, UNSAID, TWICE = (
    "doubled BOS",
    "template without the system prompt",
    "template applied twice",
)

_MENDS = {
    DOUBLED: "the template writes the token that begins a text and the tokenizer adds another: "
    "remove it from the server's template, or update the server",
    UNSAID: "give the server the model's own chat template (--chat-template)",
    TWICE: "send messages to the chat route and text to the completions route: something between "
    "here and the model renders what is rendered already",
}


def counted(expected: Sequence[Counts], seen: Sequence[int], way: str) -> Finding | None:
    """Judge how many tokens conversations are for a server; one fault must explain all.

    Args:
        expected: of each conversation.
        seen: what the server counts.
        way: what counted as expected, in words.
    """
    right = [one.right for one in expected]
    if list(seen) == right:
        return None
    told = (
        f"the prompts of {len(right)} conversations are {_row(seen)} tokens, where {way} gives "
        f"{_row(right)}"
    )
    for k, (name, _) in enumerate(expected[0].faults):
        if [one.faults[k][1] for one in expected] == list(seen):
            return Finding(name, told, "the same", _MENDS[name])
    return Finding(
        "other tokens",
        told,
        "the same",
        "compare the server's tokenizer and chat template with the declared model's (tokenizer in "
        "modellab.toml); a difference of a token changes every score",
    )


def swallowed(short: Reply, long: Reply, words: int) -> Finding | None:
    """Judge that a longer system prompt is a longer prompt.

    Args:
        short: reply to a conversation with a system prompt of one word.
        long: reply to the same with a long one.
        words: how many more it has.
    """
    if short.usage is None or long.usage is None:
        return None
    more = long.usage.tokens_in - short.usage.tokens_in
    if more >= words // 2:
        return None
    return Finding(
        UNSAID,
        f"a system prompt of {words} words more made the prompt {more} tokens longer",
        f"about {words} tokens or more",
        _MENDS[UNSAID],
    )


def stopped(free: Reply, held: Reply, stop: str) -> Finding | None:
    """Judge that a reply ends before a stop text.

    Args:
        free: without it.
        held: the same request with ``stop``.
        stop: a text within ``free``.
    """
    before = free.text.partition(stop)[0]
    if stop not in held.text:
        return None
    seen = f"with stop {stop!r} the reply was {held.text[:80]!r}"
    if held.text == before + stop:
        return Finding(
            "stop text kept",
            seen,
            f"it to end before the stop text: {before[:80]!r}",
            "whoever stops replies at a text gets it with them, as from no other server: update the"
            " server, or cut it off; samples are asked without one, so that scores are right",
            "stop",
        )
    return Finding(
        "stop text not respected",
        seen,
        f"it to end before the stop text: {before[:80]!r}",
        "find what drops stop from requests (a gateway?): replies go on into text that nobody "
        "asked for",
    )


def cut(reply: Reply, most: int) -> Finding | None:
    """Judge that a reply that was cut off is reported so.

    Args:
        reply: to a request that needs more than ``most`` tokens.
        most: tokens that were allowed.
    """
    out = reply.usage.tokens_out if reply.usage is not None else None
    if reply.cut or (out is not None and out < most):
        return None
    told = "" if out is None else f" of {out} tokens"
    return Finding(
        "cut replies reported as finished",
        f"a reply{told} to a request for at most {most} has finish_reason "
        f"{reply.finish or 'none'!r}: {reply.text[:80]!r}",
        "finish_reason 'length'",
        "update the server, or what stands before it: a reply that was cut off cannot be told from"
        " a whole one",
    )


def usage(reply: Reply, most: int) -> Finding | None:
    """Judge a server's own counts of tokens by what it sent.

    Args:
        reply: to a request for at most ``most`` tokens, with its log-probabilities if it tells.
        most: tokens that were allowed.
    """
    if reply.usage is None:
        return None
    out = reply.usage.tokens_out
    wrong = ""
    if out > most:
        wrong = f"{out} generated tokens of at most {most}"
    elif reply.tokens is not None and reply.cut and out != len(reply.tokens):
        wrong = f"{out} generated tokens, and the log-probabilities of {len(reply.tokens)}"
    elif reply.text and not out:
        wrong = f"no generated token for the text {reply.text[:40]!r}"
    elif not reply.usage.tokens_in:
        wrong = "no token of a prompt that has some"
    if not wrong:
        return None
    return Finding(
        "wrong usage",
        f"usage counts {wrong}",
        "the tokens of prompt and reply",
        "tokens and prices of this variant would be wrong: update the server, or what stands "
        "before it",
    )


def _row(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts))
