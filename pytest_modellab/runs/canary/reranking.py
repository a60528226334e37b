"""Asks a server that reranks a few requests, and judges its scores."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_modellab.endpoints import replies, served
from pytest_modellab.endpoints.client import Client
from pytest_modellab.engines.search import served_rerank
from pytest_modellab.records.canary import Canary, Finding
from pytest_modellab.runs.canary import identity, repeats

TIMES = 5
"""How often the documents are scored in one order, and as often in others."""

CLOSE = 0.05
"""How far a document's score may move with its place, as a share of the range of all scores."""

ROUNDED = 1e-4
"""What rounding may move a score by, where all are nearly equal."""

QUERY = "What is the capital of France?"

RELEVANT = "The capital of France is Paris, a city on the river Seine."

OTHERS = (
    "Bread is baked from flour, water, salt and yeast.",
    "The moon has no air, and nothing is heard on it.",
    "A sonnet is a poem of fourteen lines.",
)


def examine(client: Client) -> Canary:
    """Ask a server that reranks, and judge its scores.

    Args:
        client: asks it.

    Raises:
        EndpointError: it does not answer, has no such model, or does not rerank.
    """
    before = served.identify(client)
    route = served_rerank.route(client)
    documents = [RELEVANT, *OTHERS]

    def scored(first: int) -> list[float]:
        """Return the scores of the documents, asked for from another one on."""
        turned = documents[first:] + documents[:first]
        found = served_rerank.scores(client, route, QUERY, turned)
        return [*found[len(turned) - first :], *found[: len(turned) - first]]

    noise = None
    found: list[tuple[str, Finding | None]]
    try:
        alone = [scored(0) for _ in range(TIMES)]
        among = [scored(1 + k % (len(documents) - 1)) for k in range(TIMES)]
    except replies.Misread as error:
        found = [("scores", none(str(error)))]
    else:
        exchanged = moved(alone[0], among)
        found = [("order", exchanged)]
        if exchanged is None:
            found.append(("relevance", relevant(alone[0])))
        noise = repeats.differing(alone, among)
    return identity.concluded(client, before, "rerank", found, noise=noise)


def moved(first: Sequence[float], others: Sequence[Sequence[float]]) -> Finding | None:
    """Judge that a document's score is its own, wherever it stands.

    Args:
        first: a score a document.
        others: the same, where the documents were sent in other orders.
    """
    spread = max(first) - min(first)
    apart = max(abs(a - b) for one in others for a, b in zip(first, one, strict=True))
    if apart <= max(CLOSE * spread, ROUNDED):
        return None
    return Finding(
        "scores of documents exchanged",
        f"a document's score differs by {apart:.4g} with its place, where all scores lie within "
        f"{spread:.4g}",
        "the same score wherever it stands",
        "update the server: scores belong to other documents than they say",
    )


def relevant(scores: Sequence[float]) -> Finding | None:
    """Judge that the relevant document, the first one, comes first."""
    if scores[0] > max(scores[1:]):
        return None
    return Finding(
        "no reranker",
        f"{RELEVANT!r} scores {scores[0]:.4g} for {QUERY!r}, and a document that has nothing to do "
        f"with it {max(scores[1:]):.4g}",
        "a higher score for the first",
        "serve a cross-encoder that was trained to rank: of any other model scores mean nothing, "
        "and a server may turn their order round",
    )


def none(why: str) -> Finding:
    """Name what came in the place of scores: NaN, too few of them, something else."""
    return Finding(
        "no scores",
        why,
        "a finite score for every document",
        "see the server's log: weights may be damaged, or their numbers too large for its dtype",
    )
