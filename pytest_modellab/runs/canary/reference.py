"""What a conversation is in tokens, by the declared model or by the server's own routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pytest_modellab.endpoints import replies
from pytest_modellab.endpoints.client import Client
from pytest_modellab.engines.tokens import encode
from pytest_modellab.runs.canary.texts import DOUBLED, TWICE, UNSAID, Counts

Messages = Sequence[Mapping[str, str]]


class Reference(Protocol):
    """A tokenizer with its chat template."""

    @property
    def way(self) -> str:
        """Whose it is, in words."""

    def count(self, messages: Messages) -> int:
        """Return the tokens of a conversation, ready for its reply."""

    def render(self, messages: Messages) -> str | None:
        """Return a conversation in the template; None where that is not told."""

    def ids(self, text: str) -> Sequence[int]:
        """Return the tokens of a text."""

    def of(self, messages: Messages) -> Sequence[int]:
        """Return the tokens of a conversation, as they are sent."""


class Rendering(Protocol):
    """An engine that has a tokenizer and a template."""

    tokenizer: Any

    def render(self, messages: Messages) -> str:
        """Put chat messages into the model's template, ready for its reply."""


class Declared:
    """The tokenizer and template of a declared model.

    Args:
        engine: that has them.
    """

    way = "the declared tokenizer and template"

    def __init__(self, engine: Rendering) -> None:
        self._engine = engine

    def count(self, messages: Messages) -> int:
        """Return the tokens of a conversation."""
        return len(self.of(messages))

    def of(self, messages: Messages) -> Sequence[int]:
        """Return the tokens of a conversation."""
        return self.ids(self.render(messages))

    def ids(self, text: str) -> Sequence[int]:
        """Return the tokens of a text."""
        return encode(self._engine.tokenizer, text)

    def render(self, messages: Messages) -> str:
        """Return a conversation in the template."""
        return self._engine.render(messages)


class Own:
    """The server's own routes, ``/apply-template`` and ``/tokenize``.

    Args:
        client: asks it.
    """

    way = "the server's own /tokenize"

    def __init__(self, client: Client) -> None:
        self._client = client

    def count(self, messages: Messages) -> int:
        """Return the tokens of a conversation."""
        rendered = self.render(messages)
        if rendered is not None:
            return len(self.ids(rendered))
        return len(self._tokens({"messages": list(map(dict, messages))}))

    def of(self, messages: Messages) -> tuple[int, ...]:
        """Return the tokens of a conversation; only chats are asked by the server's own routes."""
        rendered = self.render(messages)
        return self.ids(rendered if rendered is not None else messages[-1]["content"])

    def ids(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text."""
        return self._tokens({"content": text, "prompt": text, "add_special": True})

    def render(self, messages: Messages) -> str | None:
        """Return a conversation in the template; None where the server has no route for it."""
        body = {"messages": list(map(dict, messages))}
        reply = self._client.optional("/apply-template", body, beside=True) or {}
        prompt = reply.get("prompt")
        return prompt if isinstance(prompt, str) else None

    def _tokens(self, body: Mapping[str, Any]) -> tuple[int, ...]:
        body = {"model": self._client.address.model, **body}
        return replies.tokenized(self._client.post("/tokenize", body, beside=True))


def own(client: Client) -> Own | None:
    """Return the server's own routes, or None where it has none."""
    body = {"model": client.address.model, "content": "a", "prompt": "a"}
    return None if client.optional("/tokenize", body, beside=True) is None else Own(client)


def counts(reference: Reference, messages: Messages) -> Counts:
    """Count a conversation as it should be, and with the faults that servers have."""
    right = reference.count(messages)
    said = [one for one in messages if one["role"] != "system"]
    faults = [(UNSAID, reference.count(said)), (DOUBLED, right + 1)]
    rendered = reference.render(messages)
    if rendered is not None:
        faults.append((TWICE, reference.count([{"role": "user", "content": rendered}])))
    return Counts(right, tuple(faults))
