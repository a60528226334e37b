"""What the user asked of a session."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

OnInconclusive = Literal["fail", "warn", "pass"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the user asked of this session.

    Attributes:
        cache: root of the store.
        alpha: risk of any false block in the whole run, in (0, 1).
        margin: allowed drop that replaces the task sets' own, or None.
        on_inconclusive: what an inconclusive verdict does to its test.
        churn: run every variant a second time, to see what flips though nothing has changed.
        update: record missing baselines and accept this run.
        reuse: False to run anew whatever the store has.
        sequential: ask no more samples than a verdict needs.
    """

    cache: Path
    alpha: float = 0.05
    margin: float | None = None
    on_inconclusive: OnInconclusive = "warn"
    update: bool = False
    reuse: bool = True
    churn: bool = False
    sequential: bool = False
