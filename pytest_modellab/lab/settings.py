"""What the user asked of a session."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pytest_modellab.baselines.accepted import Baseline
    from pytest_modellab.baselines.committed import Committed

OnInconclusive = Literal["fail", "warn", "pass"]


ALPHA = 0.05
"""The risk of any false block in a run that nobody set."""


ON_INCONCLUSIVE: OnInconclusive = "warn"
"""What an inconclusive verdict does to its test unless something else is asked for."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the user asked of this session.

    Attributes:
        cache: root of the store.
        alpha: risk of any false block in the whole run, in (0, 1).
        limit: most samples of a task set that are asked, in place of the task sets' own, or None.
        margin: allowed drop that replaces the task sets' own, or None.
        on_inconclusive: what an inconclusive verdict does to its test.
        churn: run every variant a second time, to see what flips though nothing has changed.
        update: record missing baselines and accept this run.
        reuse: False to run anew whatever the store has.
        sequential: ask no more samples than a verdict needs.
        today: the day that an accepted run will be of, as ``2026-11-29``; one for all workers.
        rehash: read all files of models, whatever hashes are remembered of them; so does what is
            not to reuse.
        new_anchor: True where runs are accepted that begin a new chain.
        token_budget: most tokens in a batch; None for modellab.toml's, or what the engine says.
        compare_to: the commit whose accepted runs are compared with; None for the working tree's.
        said: of what was asked for, how: option → ``--modellab-margin``, for example.
    """

    cache: Path
    alpha: float = ALPHA
    margin: float | None = None
    limit: int | None = None
    on_inconclusive: OnInconclusive = ON_INCONCLUSIVE
    update: bool = False
    reuse: bool = True
    churn: bool = False
    sequential: bool = False
    today: str = dataclasses.field(default_factory=lambda: date.today().isoformat())  # noqa: DTZ011
    rehash: bool = False
    new_anchor: bool = False
    token_budget: int | None = None
    compare_to: Committed | None = None
    said: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def read(self, path: Path) -> Baseline | None:
        """Read an accepted run: the working tree's, or that of the commit to be compared with.

        Raises:
            BaselineInvalid: it is damaged.
        """
        if self.compare_to is not None:
            return self.compare_to.read(path)
        from pytest_modellab.baselines import file

        return file.read(path)
