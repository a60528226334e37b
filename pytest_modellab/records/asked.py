"""What is allowed and what may be risked: of runs that are judged, and of runs that are planned."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Allowed:
    """The drops that are allowed on a task set.

    Attributes:
        mean: of the mean over all samples, in [0, 1).
        capability: of one capability's mean, or another bucket's, in [0, 1).
    """

    mean: float
    capability: float

    def of(self, capability: str | None) -> float:
        """Return the drop that is allowed of a capability, of all samples where it is None."""
        return self.mean if capability is None else self.capability


BY_TEST = "asked by the test"
"""Who set a rule that stands in a test."""


@dataclasses.dataclass(frozen=True)
class Override:
    """A rule that was set to something else than what the project declares, or the documentation.

    Attributes:
        rule: ``margin``, ``capability_margin``, ``floor``, or one of them of a metric,
            ``metrics.probability.margin``; ``limit``, ``samples``, ``alpha``,
            ``alpha share``, ``baselines`` or ``on-inconclusive``.
        used: what was judged by.
        declared: what would have been.
        by: who set it, in words.
        on: the task set whose rule it is; empty where the whole session's is.
    """

    rule: str
    used: float | str
    declared: float | str
    by: str
    on: str = ""

    @property
    def words(self) -> str:
        """``margin 0.9 instead of 0.02 on words``; the numbers as they were given."""
        on = f" on {self.on}" if self.on else ""
        return f"{self.rule} {_exact(self.used)} instead of {_exact(self.declared)}{on}"

    def __str__(self) -> str:
        return f"{self.words} ({self.by})"


def _exact(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.12g}"


@dataclasses.dataclass(frozen=True)
class Budget:
    """What one assertion may spend of the run's risk of a false block.

    Attributes:
        share: its part of alpha.
        alpha: the run's alpha; the level of every PASS (intersection–union).
    """

    share: float
    alpha: float

    @classmethod
    def shared(cls, alpha: float, assertions: int) -> Budget:
        """Return the budget of one of several assertions that share alpha equally."""
        return cls(alpha / max(assertions, 1), alpha)
