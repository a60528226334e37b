"""Asks a server that embeds a few requests, and gathers what they show."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pytest_modellab.endpoints import replies, served
from pytest_modellab.endpoints.client import Client
from pytest_modellab.records.canary import Canary, Finding, Noise, Unchecked
from pytest_modellab.records.hashing import digest
from pytest_modellab.runs.canary import identity, vectors
from pytest_modellab.runs.canary.vectors import Declared, Vector

TIMES = 5
"""How often one text is embedded alone, and as often among others."""

TEXT, PREFIX = "A river is a natural stream of water.", "query: "

OTHERS = ("Bread is baked.", "The moon has no air, and nothing is heard on it.")

_FILL = "one two three four five six seven eight nine ten".split()


def examine(client: Client, declared: Declared) -> Canary:
    """Ask a server that embeds, and judge its vectors.

    Args:
        client: asks it.
        declared: what the vectors should be.

    Raises:
        EndpointError: it does not answer, or has no such model.
    """
    before = served.identify(client)
    alone = [embed(client, [TEXT])[0] for _ in range(TIMES)]
    batch = [*OTHERS, TEXT]
    among = [embed(client, batch[k % 3 :] + batch[: k % 3])[2 - k % 3] for k in range(TIMES)]
    prefixed = embed(client, [PREFIX + TEXT])[0]
    words = [_FILL[k % len(_FILL)] for k in range(declared.words)]
    one, other = (
        embed(client, [" ".join([*words, end])])[0] for end in ("a blue whale", "no tax at all")
    )
    first = alone[0]
    found: list[tuple[str, Finding | None]] = [
        ("dimension and length", vectors.shaped(first, declared)),
        ("batches", vectors.placed(first, among[0])),
        ("prefix", vectors.prefixed(first, prefixed, PREFIX)),
        ("truncation", vectors.truncated(one, other, declared.words)),
    ]
    unchecked = []
    if declared.vector is None:
        unchecked.append(
            Unchecked("pooling", "no reference vector is declared; vectors may be another model's")
        )
    else:
        found.append(("pooling", vectors.pooled(embed(client, [declared.text])[0], declared)))
    if declared.normalized is None:
        unchecked.append(Unchecked("normalization", "it is not declared"))
    found.append(
        (
            "same model to the end",
            identity.swapped((), served.changes(before, served.identify(client))),
        )
    )
    return Canary(
        server=digest(before)[:16],
        when=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        checked=(*(name for name, _ in found), "repeatability"),
        findings=tuple(one for _, one in found if one is not None),
        unchecked=tuple(unchecked),
        noise=_noise(alone, among),
    )


def _noise(alone: Sequence[Vector], among: Sequence[Vector]) -> Noise:
    """Count the vectors of one text that differ; they are no likelihoods, so without nats."""
    first = tuple(alone[0])
    return Noise(
        replies=len(alone) + len(among),
        flips=sum(tuple(one) != first for one in (*alone, *among)),
        alone=sum(tuple(one) != first for one in alone),
    )


def embed(client: Client, texts: Sequence[str]) -> Sequence[Vector]:
    """Return the vectors of texts, as the server says them."""
    body = {"model": client.address.model, "input": list(texts)}
    return replies.embeddings(client.post("/embeddings", body), len(texts))
