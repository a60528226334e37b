"""A proxy in front of a real server that lies as servers do, one fault at a time.

Without a fault it hands on what is asked and answered, and it knows ``echo``, which the real server
drops: so that there is something to be dropped. A faulty reply is made of the real one's numbers.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any

from scripted_server import Asked, Said, scripted

BOS = 1
"""The token that begins a text."""

FAULTS = (
    "echo dropped",
    "echo shifted",
    "logprobs shifted",
    "logprobs too small",
    "logprobs not normalized",
    "BOS doubled",
    "system prompt dropped",
    "template twice",
    "stop ignored",
    "stop kept",
    "top-k of one",
    "seed ignored",
    "cut called finished",
    "model renamed mid-run",
    "model swapped mid-run",
    "usage wrong",
    "base for adapter",
    "other pooling",
    "not normalized",
    "prefix dropped",
    "truncated",
    "batch exchanged",
    "other dimension",
    "other prefix",
    "NaN",
)

LATER = 12
"""Chats after which the model is another one."""


@dataclasses.dataclass
class Real:
    """The servers in front of which one lies.

    Attributes:
        chat: URL of one that generates, with an adapter.
        embeddings: URL of one that embeds.
        pooled: URL of the same with another pooling.
        known: replies by request, of those that are always the same; None to ask each time.
    """

    chat: str
    embeddings: str = ""
    pooled: str = ""
    known: dict[str, Any] | None = dataclasses.field(default_factory=dict)


class Liar:
    """Answers requests.

    Args:
        real: whom it asks.
        fault: one of :data:`FAULTS`; empty to be honest.
    """

    def __init__(self, real: Real, fault: str = "") -> None:
        assert fault in ("", *FAULTS)
        self.real, self.fault = real, fault
        self.chats = 0

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Return status and reply."""
        if path == "/v1/chat/completions":
            return self._chat(body)
        if path == "/v1/completions":
            return self._completion(body)
        if path == "/v1/embeddings":
            return self._embeddings(body)
        status, reply = self._ask(self.real.chat, method, path, body)
        if path == "/v1/models":  # as vLLM lists an adapter
            (base,) = reply["data"]
            reply["data"].append({**base, "id": "adapter", "aliases": [], "parent": base["id"]})
        return status, reply

    def _chat(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.chats += 1
        body = self._asked(body)
        messages = body["messages"]
        if self.fault == "system prompt dropped":
            body["messages"] = [one for one in messages if one["role"] != "system"]
        if self.fault == "template twice":
            body["messages"] = [{"role": "user", "content": self._rendered(messages)}]
        if self.fault == "BOS doubled":
            return self._doubled(body)
        status, reply = self._forward("/v1/chat/completions", body)
        return status, self._replied(reply) if status == 200 else reply

    def _doubled(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Ask for the completion of a chat that begins twice."""
        ids = self._ids(self._rendered(body.pop("messages")))
        told = body.pop("top_logprobs", None)
        body |= {"prompt": [BOS, *ids], "logprobs": told}
        status, reply = self._forward("/v1/completions", body)
        for choice in reply.get("choices", ()):
            choice["message"] = {"role": "assistant", "content": choice.pop("text")}
        return status, reply

    def _completion(self, body: dict[str, Any]) -> tuple[int, Any]:
        body = self._asked(body)
        status, reply = self._forward("/v1/completions", body)
        if status != 200:
            return status, reply
        if body.get("echo") and self.fault != "echo dropped":
            self._echo(body, reply)
        return status, self._replied(reply)

    def _echo(self, body: Mapping[str, Any], reply: dict[str, Any]) -> None:
        """Put the prompt before a reply, each token with its log-probability, as vLLM does."""
        prompt = body["prompt"]
        ids = self._ids(prompt)
        pieces, values = [], []
        for place, token in enumerate(ids):
            forced = {
                "prompt": ids[:place],
                "max_tokens": 1,
                "temperature": 0,
                "samplers": ["temperature"],
                "n_probs": 1,
                "logit_bias": [[token, 1e6]],
                "lora": body["lora"],
            }
            told = (
                self._ask(self.real.chat, "POST", "/v1/completions", forced)[1] if place else None
            )
            piece = self._ask(self.real.chat, "POST", "/detokenize", {"tokens": [token]})[1]
            pieces.append(piece["content"])
            values.append(_content(told)[0]["logprob"] if told else None)
        if self.fault == "echo shifted":
            values = [None, *values[2:], values[1]]
        for one in _content(reply):
            pieces.append(one["token"])
            values.append(one["logprob"])
        choice = reply["choices"][0]
        choice["text"] = prompt + choice["text"]
        choice["logprobs"] = {"tokens": pieces, "token_logprobs": values, "top_logprobs": None}

    def _asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return what is asked of the real server."""
        body = copy.deepcopy(body)
        adapter = body.pop("model") == "adapter" and self.fault != "base for adapter"
        if self.fault == "model swapped mid-run" and self.chats > LATER:
            adapter = True
        body["lora"] = [{"id": 0, "scale": 1.0 if adapter else 0.0}]
        if self.fault == "stop ignored":
            body.pop("stop", None)
        if self.fault == "seed ignored":
            body.pop("seed", None)
        if self.fault == "top-k of one" and body.get("temperature"):
            body.pop("samplers", None)
            body["top_k"] = 1
        return body

    def _replied(self, reply: dict[str, Any]) -> dict[str, Any]:
        """Return what is told of the real server's reply."""
        choice, rows = reply["choices"][0], _content(reply)
        if self.fault == "stop kept" and choice["finish_reason"] == "stop":
            choice["message"]["content"] += self._stop
        if self.fault == "logprobs shifted":
            values = [one["logprob"] for one in rows]
            for one, value in zip(rows, [*values[1:], *values[:1]], strict=True):
                one["logprob"] = value
        for one in [top for row in rows for top in (row, *row.get("top_logprobs", ()))]:
            if self.fault == "logprobs too small":
                one["logprob"] -= 1.0
            if self.fault == "logprobs not normalized":
                one["logprob"] /= 2.0
        if self.fault == "cut called finished":
            choice["finish_reason"] = "stop"
        if self.fault == "model renamed mid-run" and self.chats > LATER:
            reply["model"] = "another"
        if self.fault == "usage wrong":
            reply["usage"] = {name: 3 * n for name, n in reply["usage"].items() if type(n) is int}
        return reply

    def _embeddings(self, body: dict[str, Any]) -> tuple[int, Any]:
        body = copy.deepcopy(body)
        if self.fault == "prefix dropped":
            body["input"] = [text.removeprefix("query: ") for text in body["input"]]
        if self.fault == "truncated":
            body["input"] = [" ".join(text.split()[:32]) for text in body["input"]]
        if self.fault == "other prefix":
            body["input"] = [f"Represent this for search: {text}" for text in body["input"]]
        other = self.fault == "other pooling"
        url = self.real.pooled if other else self.real.embeddings
        status, reply = self._ask(url, "POST", "/v1/embeddings", body)
        if self.fault == "batch exchanged":
            for one in reply["data"]:
                one["index"] = len(reply["data"]) - 1 - one["index"]
        for one in reply["data"]:
            if self.fault == "other dimension":
                one["embedding"] = one["embedding"][: len(one["embedding"]) // 2]
            if self.fault == "NaN":
                one["embedding"][7] = float("nan")
            if self.fault == "not normalized":
                one["embedding"] = [3 * value for value in one["embedding"]]
        return status, reply

    def _rendered(self, messages: Any) -> str:
        body = {"messages": messages}
        prompt: str = self._ask(self.real.chat, "POST", "/apply-template", body)[1]["prompt"]
        return prompt

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._ask(self.real.chat, "POST", "/tokenize", {"content": text})[1][
            "tokens"
        ]
        return ids

    def _forward(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        self._stop = (body.get("stop") or [""])[0]
        return self._ask(self.real.chat, "POST", path, body)

    def _ask(self, url: str, method: str, path: str, body: Any) -> tuple[int, Any]:
        known = self.real.known
        chance = isinstance(body, dict) and body.get("temperature") and "seed" not in body
        key = json.dumps([url, path, body], sort_keys=True)
        if known is not None and key in known and not chance:
            return 200, copy.deepcopy(known[key])
        data = None if method == "GET" else json.dumps(body).encode()
        real = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        with contextlib.closing(real):
            real.request(method, path, data, {"Content-Type": "application/json"})
            response = real.getresponse()
            status, reply = response.status, json.loads(response.read())
        if status != 200:
            return status, reply
        if known is not None:
            known[key] = copy.deepcopy(reply)
        return status, reply


def _content(reply: Any) -> list[dict[str, Any]]:
    told = reply["choices"][0].get("logprobs")
    return (told or {}).get("content") or []


@contextlib.contextmanager
def lying(real: Real, fault: str = "") -> Iterator[str]:
    """Serve on a free local port, and yield the base URL.

    Args:
        real: whom it asks.
        fault: one of :data:`FAULTS`; empty to be honest.
    """
    liar = Liar(real, fault)

    def answer(asked: Asked) -> Said:
        status, reply = liar.answer(asked.method, asked.path, asked.body)
        return Said(reply, status)

    with scripted(answer) as url:
        yield url
