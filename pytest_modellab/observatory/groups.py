"""Places that differ are put together to the sites that may be named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

Way = Literal["modules", "core", "hybrid"]
"""How the base's part is put back: its modules, its code around the candidate's projections in one
layer, or its code everywhere."""


@dataclasses.dataclass(frozen=True)
class Group:
    """A site that may be named, and what is exchanged to prove it.

    Attributes:
        site: as printed.
        paths: of the modules that are exchanged, in the base.
        fault: the class with its arguments.
        detail: one sentence: what was seen.
        nats: a token, that enter here; None where it was not shared out.
        way: how the base's part is put back.
        size: the largest relative error or change in it, which orders what nats do not.
        evidence: further figures.
    """

    site: str
    paths: tuple[str, ...]
    fault: str
    detail: str
    nats: float | None = None
    way: Way = "modules"
    size: float = 0.0
    evidence: Mapping[str, float | str] = dataclasses.field(default_factory=dict)


def ordered(groups: list[Group]) -> tuple[Group, ...]:
    """Groups in the order of what enters there."""
    return tuple(sorted(groups, key=lambda one: (-max(one.nats or 0.0, 0.0), -one.size, one.site)))
