"""Asks a server that embeds a few requests, and gathers what they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_modellab.endpoints import replies, served
from pytest_modellab.endpoints.client import Client
from pytest_modellab.records.canary import Canary, Finding, Unchecked
from pytest_modellab.runs.canary import identity, repeats, vectors
from pytest_modellab.runs.canary.vectors import Declared, Vector

TIMES = 5
"""How often one text is embedded alone, and as often among others."""

TEXT, PREFIX = "A river is a natural stream of water.", "query: "

OTHERS = ("Bread is baked.", "The moon has no air, and nothing is heard on it.")

ENDS = ("a blue whale", "no tax at all")
"""By which two long texts differ."""

_FILL = "one two three four five six seven eight nine ten".split()


def long_text(words: int) -> str:
    """Return a text of so many short words, each a token of most models."""
    return " ".join(_FILL[k % len(_FILL)] for k in range(words))


def examine(client: Client, declared: Declared) -> Canary:
    """Ask a server that embeds, and judge its vectors.

    Args:
        client: asks it.
        declared: what the vectors should be.

    Raises:
        EndpointError: it does not answer, or has no such model.
    """
    before = served.identify(client)
    noise, unchecked = None, []
    found: list[tuple[str, Finding | None]]
    try:
        alone = [_documents(client, [TEXT], declared)[0] for _ in range(TIMES)]
        batch = [*OTHERS, TEXT]
        among = [
            _documents(client, batch[k % 3 :] + batch[: k % 3], declared)[2 - k % 3]
            for k in range(TIMES)
        ]
        noise = repeats.differing(alone, among)
        found = _judged(client, declared, alone, among)
    except replies.Misread as error:
        found = [("vectors", vectors.none(str(error)))]
    if declared.vector is None:
        unchecked.append(Unchecked("pooling, dimension and normalization", declared.unsaid))
    return identity.concluded(client, before, "embeddings", found, noise=noise, unchecked=unchecked)


def _judged(
    client: Client, declared: Declared, alone: Sequence[Vector], among: Sequence[Vector]
) -> list[tuple[str, Finding | None]]:
    first, prefix = alone[0], declared.prefix or PREFIX
    equal = vectors.equal(alone)
    bare, prefixed = (_raw(client, [text], declared)[0] for text in (TEXT, prefix + TEXT))
    filled = long_text(declared.words)
    one, other = (_documents(client, [f"{filled} {end}"], declared)[0] for end in ENDS)
    found = [
        ("batches", vectors.placed(first, among[0])),
        ("prefix", vectors.prefixed(bare, prefixed, prefix, equal)),
        ("truncation", vectors.truncated(one, other, declared.words, equal)),
    ]
    if len({*map(str, declared.fields.values())}) > 1:
        query, passage = (embed(client, [TEXT], fields)[0] for fields in declared.fields.values())
        found.append(("input type", vectors.told_apart(query, passage, equal)))
    if declared.vector is not None:
        found.append(("dimension and normalization", vectors.shaped(first, declared)))
        reference = _documents(client, [declared.text], declared)[0]
        found.append(("pooling", vectors.pooled(reference, declared)))
    return found


def _documents(client: Client, texts: Sequence[str], declared: Declared) -> Sequence[Vector]:
    """Return the vectors of texts as those of documents are asked for."""
    return _raw(client, [declared.prompt + text for text in texts], declared)


def _raw(client: Client, texts: Sequence[str], declared: Declared) -> Sequence[Vector]:
    return embed(client, texts, declared.fields.get("passage", {}))


def embed(
    client: Client, texts: Sequence[str], fields: Mapping[str, str] | None = None
) -> Sequence[Vector]:
    """Return the vectors of texts, as the server says them."""
    body = {"model": client.address.model, "input": list(texts), **(fields or {})}
    return replies.embeddings(client.post("/embeddings", body), len(texts))
