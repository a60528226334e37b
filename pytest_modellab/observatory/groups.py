"""Places that differ are put together to the sites that may be named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

Way = Literal["modules", "core", "hybrid"]
"""How the base's part is put back: its modules, its attention's code, or all its code."""


@dataclasses.dataclass(frozen=True)
class Group:
    """A site that may be named, and what is exchanged to prove it.

    Attributes:
        site: as printed.
        paths: of the modules that are exchanged, in the base.
        fault: the class with its arguments.
        detail: one sentence: what was seen.
        nats: a token, that enter here.
        way: how the base's part is put back.
        evidence: further figures.
    """

    site: str
    paths: tuple[str, ...]
    fault: str
    detail: str
    nats: float | None = None
    way: Way = "modules"
    evidence: Mapping[str, float | str] = dataclasses.field(default_factory=dict)
