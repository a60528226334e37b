"""Who answers? Judged by what a server says of itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.endpoints import served
from pytest_modellab.endpoints.client import Client
from pytest_modellab.endpoints.replies import Reply
from pytest_modellab.records.canary import Canary, Finding, Noise, Unchecked
from pytest_modellab.records.hashing import digest
from pytest_modellab.visible import line

_NAMES, _LONG = 5, 80
"""Names of models that a message lists, and characters of each."""


def named(asked: str, reply: Reply) -> Finding | None:
    """Judge that the model that was asked for answers, where the server lists none.

    Args:
        asked: its name.
        reply: any.
    """
    if not reply.model or reply.model.startswith(asked):  # hosted ones add a date to the name
        return None
    return Finding(
        "another model answers",
        f"{asked!r} was asked for, and {line(reply.model, _LONG)!r} answers",
        f"the model {asked!r}",
        "correct served_model, or start the server with that name",
    )


def swapped(replies: Sequence[Reply], changes: str, *, fleet: bool = False) -> Finding | None:
    """Judge that nobody exchanged the model meanwhile.

    Args:
        replies: in any order.
        changes: of what the server says of itself, in words; empty without any.
        fleet: whether its system_fingerprint may differ from reply to reply.
    """
    names = sorted({one.model for one in replies if one.model})
    systems = sorted({one.system for one in replies if one.system})
    seen = ""
    if len(names) > 1:
        seen = f"replies come from {_list(names)}"
    elif len(systems) > 1 and not fleet:
        seen = f"system_fingerprint is {_list(systems)}"
    elif changes:
        seen = f"what the server says of itself has changed: {changes}"
    if not seen:
        return None
    return Finding(
        "model swapped mid-run",
        seen,
        "one model behind the address all the time",
        "pin the server to one model, adapter and replica while it is judged, or, where only "
        "system_fingerprint differs and may, set fleet = true",
    )


def _list(names: Sequence[str]) -> str:
    return " and ".join(repr(line(name, _LONG)) for name in names[:_NAMES])


def concluded(
    client: Client,
    before: Mapping[str, Any],
    what: str,
    found: Sequence[tuple[str, Finding | None]],
    *,
    noise: Noise | None,
    unchecked: Sequence[Unchecked] = (),
) -> Canary:
    """Ask a server once more who it is, and gather what was found of what it embeds or reranks.

    Args:
        client: asks it.
        before: what it said of itself at first.
        what: it was asked to do.
        found: each check, and what it found.
        noise: of repeated requests; None where none could be compared.
        unchecked: what could not be told.

    Raises:
        EndpointError: it does not answer.
    """
    same = swapped((), served.changes(before, served.identify(client)))
    all_ = [*found, ("same model to the end", same)]
    return Canary(
        server=digest([before, what])[:16],
        when=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        checked=(*(name for name, _ in all_), *(["repeatability"] if noise is not None else [])),
        findings=tuple(one for _, one in all_ if one is not None),
        unchecked=tuple(unchecked),
        noise=noise,
    )
