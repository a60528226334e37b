"""A small server that embeds by counting words, and reranks by the words that two texts share."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Callable
from typing import Any

from scripted_server import Asked, Guarded, Said

DIMENSION = 16


def vector(text: str) -> list[float]:
    """Return the vector of a text: counts of its words, of length 1."""
    found = [0.0] * DIMENSION
    for word in text.lower().split():
        found[zlib.crc32(word.encode()) % DIMENSION] += 1.0
    size = math.hypot(*found) or 1.0
    return [one / size for one in found]


@dataclasses.dataclass
class Counter(Guarded):
    """Answers ``/embeddings`` and ``/rerank``.

    Attributes:
        name: of the model.
        path: where it reranks; empty for nowhere.
        documents: the field of a request to rerank that holds them.
        usage: the key of its counts of tokens; empty for none.
        embed: makes a vector of a text; the words counted, unless said.
        spoil: takes a reply and returns what is said in its place.
    """

    name: str = "counter"
    path: str = "/v1/rerank"
    documents: str = "documents"
    usage: str = "prompt_tokens"
    embed: Callable[[str], list[float]] = vector
    spoil: Callable[[Any, Asked], Any] = lambda reply, _asked: reply

    def refused(self, given: str | None) -> Said:
        return Said({"error": {"message": f"{given} is wrong"}}, 401)

    def answer(self, asked: Asked) -> Said:
        if asked.path == "/v1/models":
            return Said({"data": [{"id": self.name, **self.told}]})
        if asked.path == "/v1/embeddings":
            return Said(self.spoil(self._embedded(asked.body), asked))
        if asked.path == self.path:
            if self.documents not in asked.body:
                return Said({"error": f"missing field {self.documents}"}, 422)
            return Said(self.spoil(self._reranked(asked.body), asked))
        return Said({"detail": "Not Found"}, 404)

    @property
    def texts(self) -> list[str]:
        """All texts that were to be embedded."""
        return [text for one in self.requests if one.path == "/v1/embeddings" for text in _in(one)]

    def _embedded(self, body: dict[str, Any]) -> dict[str, Any]:
        kind = body.get("input_type", "")
        rows = [
            {"object": "embedding", "index": k, "embedding": self.embed(f"{kind} {text}".lstrip())}
            for k, text in enumerate(body["input"])
        ]
        tokens = sum(len(text.split()) for text in body["input"])
        usage = {"usage": {self.usage: tokens}} if self.usage else {}
        return {"object": "list", "data": rows, "model": self.name, **usage}

    def _reranked(self, body: dict[str, Any]) -> Any:
        scores = [shared(body["query"], one) for one in body[self.documents]]
        best = sorted(range(len(scores)), key=lambda k: -scores[k])
        if self.documents == "texts":  # as text-embeddings-inference replies
            return [{"index": k, "score": scores[k]} for k in best]
        rows = [{"index": k, "relevance_score": scores[k]} for k in best]
        return {"model": self.name, "results": rows}


def shared(query: str, document: str) -> float:
    """Return the share of a query's words that a document has."""
    words = {*query.lower().strip("?").split()}
    return len(words & {*document.lower().split()}) / (len(words) or 1)


def _in(asked: Asked) -> list[str]:
    found: list[str] = asked.body["input"]
    return found
