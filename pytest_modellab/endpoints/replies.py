"""What servers reply, made records; nothing of it is believed unchecked."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.errors import EndpointError
from pytest_modellab.records.reading import shown

MOST = 1_000_000
"""Items of a list in a reply, at most."""


class Misread(EndpointError):
    """A reply that is something else than was asked for."""


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a server counted.

    Attributes:
        tokens_in: of the prompt.
        tokens_out: generated.
        cached: of the prompt, taken from its memory; None where it does not say.
    """

    tokens_in: int
    tokens_out: int
    cached: int | None = None


@dataclasses.dataclass(frozen=True)
class Token:
    """One token that a server tells of.

    Attributes:
        text: its text.
        logprob: natural logarithm of its probability; NaN where the server gives none.
        id: its number, or None where the server does not say.
        top: the likeliest at its place, as far as they were asked for.
    """

    text: str
    logprob: float
    id: int | None = None
    top: tuple[Token, ...] = ()


@dataclasses.dataclass(frozen=True)
class Reply:
    """One reply in words.

    Attributes:
        text: what was generated.
        finish: why it ended: ``stop``, ``length`` … as the server says; empty where it does not.
        model: the model's name, as the server says it; empty where it does not.
        system: the server's fingerprint of itself; empty where it says none.
        usage: what it counted, or None.
        tokens: those that it tells of, or None where it gives no log-probabilities.
        refused: why the model refused, in the server's field of that name; empty elsewhere.
    """

    text: str
    finish: str
    model: str
    system: str = ""
    usage: Usage | None = None
    tokens: tuple[Token, ...] | None = None
    refused: str = ""

    @property
    def cut(self) -> bool:
        """Whether it ended at a limit, not by itself."""
        return self.finish == "length"


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """An entry of ``/v1/models``.

    Attributes:
        id: the name that requests ask for.
        told: all that the server says of it but the time, which changes from start to start.
    """

    id: str
    told: Mapping[str, Any]


def chat(reply: Mapping[str, Any]) -> Reply:
    """Read what ``/chat/completions`` replies.

    Raises:
        EndpointError: it is no such reply; the message says where.
    """
    choice = _only_choice(reply)
    message = _table(choice, "message", "choices[0].")
    return Reply(
        text=_text(message, "content", "choices[0].message."),
        finish=_text(choice, "finish_reason", "choices[0]."),
        refused=_text(message, "refusal", "choices[0].message."),
        tokens=_tokens(choice),
        **_about(reply),
    )


def completion(reply: Mapping[str, Any]) -> Reply:
    """Read what ``/completions`` replies to one prompt.

    Raises:
        EndpointError: it is no such reply; the message says where.
    """
    choice = _only_choice(reply)
    if not isinstance(choice.get("text"), str):
        raise _wrong("choices[0].text", choice.get("text"), "a text")
    return Reply(
        text=choice["text"],
        finish=_text(choice, "finish_reason", "choices[0]."),
        tokens=_tokens(choice),
        **_about(reply),
    )


def prompt_logprobs(reply: Mapping[str, Any]) -> tuple[Mapping[int, float] | None, ...]:
    """Read the log-probabilities of a prompt's tokens, as vLLM tells them.

    Returns:
        One a token of the prompt, by token numbers; None for the first.

    Raises:
        EndpointError: there are none, or they are something else.
    """
    choice = _only_choice(reply)
    place = "choices[0].prompt_logprobs"
    found: list[Mapping[int, float] | None] = []
    for k, entry in enumerate(_list(choice.get("prompt_logprobs"), place)):
        if entry is None:
            found.append(None)
            continue
        if not isinstance(entry, dict):
            raise _wrong(f"{place}[{k}]", entry, "an object")
        row = {}
        for name in entry:
            if not (name.isascii() and name.isdigit() and len(name) < 10):
                raise _wrong(f"{place}[{k}]", name, "the number of a token as key")
            row[int(name)] = _logprob(_table(entry, name, f"{place}[{k}]."), f"{place}[{k}]")
        found.append(row)
    return tuple(found)


def models(reply: Mapping[str, Any]) -> tuple[ServedModel, ...]:
    """Read what ``/models`` replies.

    Raises:
        EndpointError: it is no such reply; the message says where.
    """
    found = []
    for k, entry in enumerate(_list(reply.get("data"), "data")):
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            raise _wrong(f"data[{k}]", entry, "an object with a text as id")
        told = {key: one for key, one in entry.items() if key not in ("id", "created")}
        told.pop("permission", None)  # vLLM numbers it anew in every reply
        found.append(ServedModel(entry["id"], told))
    return tuple(found)


def embeddings(reply: Mapping[str, Any], count: int) -> tuple[tuple[float, ...], ...]:
    """Read what ``/embeddings`` replies.

    Args:
        reply: as parsed.
        count: how many texts were sent.

    Returns:
        A vector a text, in their order, all of one length.

    Raises:
        EndpointError: it is no such reply, or not one vector for each text.
    """
    found: dict[int, tuple[float, ...]] = {}
    for k, entry in enumerate(_list(reply.get("data"), "data")):
        index = _index(entry, f"data[{k}]", count, found)
        vector = _list(entry.get("embedding"), f"data[{k}].embedding")
        if not vector or not all(type(v) in (int, float) and math.isfinite(v) for v in vector):
            raise _wrong(f"data[{k}].embedding", vector, "a list of finite numbers")
        found[index] = tuple(map(float, vector))
    return tuple(_whole(found, count, "data"))


def embedded_tokens(reply: Mapping[str, Any]) -> int:
    """Read how many tokens a server counts in what it embedded; 0 where it counts none.

    Raises:
        EndpointError: it says something that is no count.
    """
    told = reply.get("usage")
    if isinstance(told, dict) and "prompt_tokens" not in told and "total_tokens" in told:
        told = {"prompt_tokens": told["total_tokens"]}  # all that some count
    usage = _usage(told)
    return 0 if usage is None else usage.tokens_in


def rerank(reply: Mapping[str, Any], count: int) -> tuple[float, ...]:
    """Read what ``/rerank`` replies, in any of its forms.

    Args:
        reply: as parsed.
        count: how many documents were sent.

    Returns:
        A relevance a document, in the order that they were sent in.

    Raises:
        EndpointError: it is no such reply, or not one relevance for each document.
    """
    place = "data" if "results" not in reply and "data" in reply else "results"
    found: dict[int, float] = {}
    for k, entry in enumerate(_list(reply.get(place), place)):
        index = _index(entry, f"{place}[{k}]", count, found)
        name = "score" if "relevance_score" not in entry and "score" in entry else "relevance_score"
        score = entry.get(name)
        if type(score) not in (int, float) or not math.isfinite(score):
            raise _wrong(f"{place}[{k}].{name}", score, "a finite number")
        found[index] = float(score)
    return tuple(_whole(found, count, place))


def tokenized(reply: Mapping[str, Any]) -> tuple[int, ...]:
    """Read the token numbers that ``/tokenize`` replies.

    Raises:
        EndpointError: it is no such reply.
    """
    found = _list(reply.get("tokens"), "tokens")
    if not all(type(one) is int and one >= 0 for one in found):
        raise _wrong("tokens", found, "a list of token numbers")
    return tuple(found)


def names(reply: Mapping[str, Any]) -> tuple[str, str]:
    """Read what a reply calls the model, and the server itself; empty where it does not.

    Raises:
        EndpointError: it calls them something that is no text.
    """
    return _text(reply, "model", ""), _text(reply, "system_fingerprint", "")


def _about(reply: Mapping[str, Any]) -> dict[str, Any]:
    model, system = names(reply)
    return {"model": model, "system": system, "usage": _usage(reply.get("usage"))}


def _usage(told: Any) -> Usage | None:
    if told is None:
        return None
    if not isinstance(told, dict):
        raise _wrong("usage", told, "an object")
    counts = [told.get("prompt_tokens"), told.get("completion_tokens", 0)]
    details = told.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    for count in (*counts, *([] if cached is None else [cached])):
        if type(count) is not int or not 0 <= count < MOST * 100:
            raise _wrong("usage", told, "counts of tokens")
    return Usage(counts[0], counts[1], cached)


def _tokens(choice: Mapping[str, Any]) -> tuple[Token, ...] | None:
    """Return the tokens that a choice tells of, in the form of chats or in that of completions."""
    told = choice.get("logprobs")
    if told is None:
        return None
    place = "choices[0].logprobs"
    if not isinstance(told, dict):
        raise _wrong(place, told, "an object")
    if told.get("content") is not None:
        entries = _list(told["content"], f"{place}.content")
        return tuple(_token(one, f"{place}.content[{k}]") for k, one in enumerate(entries))
    if "token_logprobs" not in told:
        return None
    texts = _list(told.get("tokens"), f"{place}.tokens")
    values = _list(told["token_logprobs"], f"{place}.token_logprobs")
    tops = told.get("top_logprobs")
    tops = [None] * len(texts) if tops is None else _list(tops, f"{place}.top_logprobs")
    if not len(texts) == len(values) == len(tops):
        raise _wrong(place, [len(texts), len(values), len(tops)], "lists of one length")
    found = []
    for k, (text, value, top) in enumerate(zip(texts, values, tops, strict=True)):
        if not isinstance(text, str) or not isinstance(top, dict | None):
            raise _wrong(f"{place}.tokens[{k}]", text, "a text")
        likeliest = tuple(
            Token(name, _number(one, f"{place}.top_logprobs[{k}]"), _id(name))
            for name, one in (top or {}).items()
        )
        own = _number(value, f"{place}.token_logprobs[{k}]")
        found.append(Token(text, own, _id(text), likeliest))
    return tuple(found)


def _id(text: str) -> int | None:
    """A token's number where it stands in the place of its text, as vLLM can be asked for."""
    found = re.fullmatch(r"token_id:([0-9]{1,9})", text)
    return int(found[1]) if found else None


def _token(entry: Any, place: str, *, inner: bool = False) -> Token:
    if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
        raise _wrong(place, entry, "an object with a text as token")
    number = entry.get("id", _id(entry["token"]))
    if number is not None and (type(number) is not int or number < 0):
        raise _wrong(f"{place}.id", number, "the number of a token")
    tops = () if inner else _list(entry.get("top_logprobs") or [], f"{place}.top_logprobs")
    return Token(
        entry["token"],
        _logprob(entry, place),
        number,
        tuple(_token(one, f"{place}.top_logprobs[{k}]", inner=True) for k, one in enumerate(tops)),
    )


def _logprob(entry: Mapping[str, Any], place: str) -> float:
    return _number(entry.get("logprob"), f"{place}.logprob")


def _number(value: Any, place: str) -> float:
    """Return a log-probability; NaN where there is none, since JSON has no NaN."""
    if value is None:
        return math.nan
    if type(value) not in (int, float) or value > 1e-3:  # rounding may leave a little above 0
        raise _wrong(place, value, "a log-probability")
    return float(value)


def _only_choice(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = _list(reply.get("choices"), "choices")
    if len(choices) != 1 or not isinstance(choices[0], dict):
        raise _wrong("choices", choices, "a list of one object")
    return choices[0]


def _index(entry: Any, place: str, count: int, found: Mapping[int, Any]) -> int:
    if not isinstance(entry, dict):
        raise _wrong(place, entry, "an object")
    index = entry.get("index")
    if type(index) is not int or not 0 <= index < count or index in found:
        raise _wrong(f"{place}.index", index, f"a number below {count} that comes once")
    return index


def _whole(found: Mapping[int, Any], count: int, place: str) -> Sequence[Any]:
    if len(found) != count:
        raise Misread(f"{place}: the reply has {len(found)} entries for {count} texts")
    lengths = sorted({len(one) for one in found.values() if isinstance(one, tuple)})
    if len(lengths) > 1:
        raise Misread(f"{place}: the reply has vectors of {lengths[0]} and of {lengths[-1]}")
    return [found[k] for k in range(count)]


def _table(outer: Mapping[str, Any], key: str, place: str) -> Mapping[str, Any]:
    value = outer.get(key)
    if not isinstance(value, dict):
        raise _wrong(f"{place}{key}", value, "an object")
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MOST:
        raise _wrong(place, value, "a list")
    return value


def _text(outer: Mapping[str, Any], key: str, place: str) -> str:
    """Return a text; empty where it is absent or null."""
    value = outer.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(f"{place}{key}", value, "a text")
    return value


def _wrong(place: str, value: Any, expected: str) -> Misread:
    seen = "it is missing" if value is None else f"it is {shown(value)}"
    return Misread(
        f"{place}: expected {expected}, but {seen}; the server's reply is not that of an "
        "OpenAI-compatible one"
    )
