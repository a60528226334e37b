"""Reranking by a server: a request has a query and its documents, a reply their relevance."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.endpoints import replies
from pytest_modellab.endpoints.asking import Asking
from pytest_modellab.endpoints.client import Client
from pytest_modellab.engines import servers
from pytest_modellab.engines.search.rerank import DECIMALS
from pytest_modellab.errors import EndpointError

VERSION = 1
"""Raised when scores may change: stored runs of another version are run again."""

TOGETHER = 100
"""Documents in a request, unless declared."""

_TRIED = ("Cats purr.", "Dogs bark.")


@dataclasses.dataclass(frozen=True)
class Route:
    """Where a server reranks, and what it calls the documents.

    Attributes:
        path: of the route.
        beside: whether it lies beside ``/v1``.
        documents: the field of a request that holds them.
    """

    path: str
    beside: bool
    documents: str

    def body(self, query: str, documents: Sequence[str]) -> Mapping[str, Any]:
        """Return a request without the model's name."""
        return {"query": query, self.documents: list(documents)}


ROUTES = (
    Route("/rerank", False, "documents"),  # Cohere, Jina, vLLM, llama.cpp
    Route("/rerank", True, "documents"),
    Route("/rerank", True, "texts"),  # text-embeddings-inference
)


def route(client: Client) -> Route:
    """Find where a server reranks.

    Raises:
        EndpointError: it has no such route, or does not answer.
    """
    for one in ROUTES:
        body = {"model": client.address.model, **one.body(_TRIED[0], _TRIED)}
        if client.optional(one.path, body, beside=one.beside) is not None:
            return one
    try:
        scores(client, ROUTES[0], _TRIED[0], _TRIED)
    except EndpointError as error:
        raise EndpointError(
            f"{error}; is the server started with a reranker, and is url its base URL?",
            status=error.status,
        ) from error
    return ROUTES[0]


def scores(client: Client, found: Route, query: str, documents: Sequence[str]) -> tuple[float, ...]:
    """Return a relevance a document, as the server says them."""
    body = {"model": client.address.model, **found.body(query, documents)}
    reply = client.post(found.path, body, beside=found.beside)
    return replies.rerank(reply, len(documents))


class ServedReranker(servers.Behind):
    """Scores documents by asking a server.

    Args:
        asking: the server.
        together: most documents in a request; 0 for :data:`TOGETHER`.
    """

    def __init__(self, asking: Asking, together: int = 0) -> None:
        super().__init__(asking)
        self._together = together or TOGETHER

    @functools.cached_property
    def _route(self) -> Route:
        return route(self.asking.client)

    def rerank_each(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Score the documents of each query (see :class:`.rerank.Reranking`).

        Raises:
            EndpointError: the server fails, or has changed.
        """
        if not asked:
            return []
        found = self._route
        parts = [
            (query, documents[start : start + self._together])
            for query, documents in asked
            for start in range(0, len(documents), self._together)
        ]

        def ask(part: tuple[str, Sequence[str]]) -> list[float]:
            reply = self.asking.post(found.path, found.body(*part), beside=found.beside)
            with self.reading(found.path):
                return [round(one, DECIMALS) for one in replies.rerank(reply, len(part[1]))]

        answers = iter(self.asking.each(parts, ask))
        return [
            [score for _ in range(0, len(documents), self._together) for score in next(answers)]
            for _, documents in asked
        ]
