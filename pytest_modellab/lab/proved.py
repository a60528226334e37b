"""A served model is asked a few requests, and judged by its replies, before it is scored."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from pytest_modellab.endpoints.client import Client
from pytest_modellab.endpoints.served import Served
from pytest_modellab.errors import EndpointError
from pytest_modellab.records.canary import UNUSED, Canary
from pytest_modellab.store import canaries, said
from pytest_modellab.variants.loading import Loadable


def examine(source: Loadable, engine: Any, cache: Path, served: Served) -> Canary:
    """Ask a server of a variant, and keep in the store what is found.

    Args:
        source: the variant.
        engine: opened from it.
        cache: the store's root.
        served: one of the plan's servers.

    Raises:
        ConfigError: the training data of an adapter cannot be read.
        EndpointError: the server does not answer, or has no such model.
        ModelError: an adapter's files, or the model or reference that vectors are compared with,
            cannot be read.
    """
    with contextlib.closing(Client(served.address)) as client:
        if served.api == "embeddings":
            from pytest_modellab.lab import referred
            from pytest_modellab.runs.canary import embedding

            found = embedding.examine(client, referred.declared(source, engine, cache))
        elif served.api == "rerank":
            from pytest_modellab.runs.canary import reranking

            found = reranking.examine(client)
        else:
            found = _words(source, engine, client, cache)
    canaries.write(cache, found)
    return found


def _words(source: Loadable, engine: Any, client: Client, cache: Path) -> Canary:
    """Ask a server that generates."""
    from pytest_modellab.lab import trained
    from pytest_modellab.runs.canary import canary
    from pytest_modellab.runs.canary.reference import Declared

    served = source.plan.served
    assert served is not None  # asked of served models alone
    completes = served.api == "completions"
    expected = canary.Expected(
        api=served.api,
        reference=Declared(engine) if completes else None,
        likelihoods=completes,
        trained=trained.found(source, cache),
        base=served.base,
        fleet=served.fleet,
    )
    return canary.examine(client, expected)


def believe(engine: Any, found: Canary) -> None:
    """Take away from an engine what its server does wrong.

    Args:
        engine: of a served model.
        found: of its server.

    Raises:
        EndpointError: no answer of the server can be believed; the message says what was found.
    """
    if wrong := [str(one) for one in found.findings if not one.takes]:
        raise EndpointError(f"the server does not do what it says: {'; '.join(wrong)}")
    for one in found.findings:
        if one.takes in UNUSED:
            said.say(f"the server does not do all that it says: {one}")
            continue
        # those for which options are scored, too
        engine.abilities -= {"score", "compare"} if one.takes == "score" else {one.takes}
        engine.lacks = str(one)
