"""Searches are diagnosed by their encoders: what can be examined, and what else differs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import DiagnosisError

if TYPE_CHECKING:
    from pytest_modellab.lab.resolved import Resolved


def check(base: Resolved, candidate: Resolved) -> None:
    """Refuse searches without an encoder in this process.

    Raises:
        DiagnosisError: one of the two has none.
    """
    for one in (base, candidate):
        search = one.plan.search
        if search is None:
            raise DiagnosisError(
                f"{one.name} answers in words, and the other ranks documents: compare two of a kind"
            )
        if search.embedding is None:
            raise DiagnosisError(
                f"{one.name} ranks documents by their words: there is no model to be examined"
            )
        if one.plan.served is not None:
            raise DiagnosisError(
                f"a server has the model of {one.name}, out of reach: examine the model that it "
                "serves in this process, declared with model"
            )


def notes(base: Resolved, candidate: Resolved) -> list[str]:
    """Say what differs in two searches beside their encoders' weights, which was not examined."""
    ours, theirs = base.plan.search, candidate.plan.search
    if ours is None or theirs is None:
        return []
    found = _differing(ours, theirs, ("embedding",)) + _differing(ours.embedding, theirs.embedding)
    if not found:
        return []
    return [f"encoders were compared; the searches differ beside them: {', '.join(found)}"]


def _differing(ours: Any, theirs: Any, without: tuple[str, ...] = ()) -> list[str]:
    return [
        field.name
        for field in dataclasses.fields(ours)
        if field.name not in without and getattr(ours, field.name) != getattr(theirs, field.name)
    ]
