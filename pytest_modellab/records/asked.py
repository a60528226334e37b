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
