"""What outputs are compared by: predictions of a language model, vectors of an encoder."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from pytest_modellab.records.diagnosis import Measure


class Outcome(Protocol):
    """How far two outputs are apart, position by position; an encoder has one position a text."""

    @property
    def measure(self) -> Measure:
        """What a distance is counted in."""

    def read(self, logits: Any) -> Any:
        """What of a model's outputs is compared."""

    def apart(self, base: Any, other: Any) -> Any:
        """The distance of what was read of two models."""

    def distances(self, base: Any, other: Any) -> tuple[Any, Any]:
        """The distance, and there and back."""

    def towards(self, base: Any, other: Any, logits: Any) -> Any:
        """The base's outputs times the difference, whose gradient shares the distance out."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Next tokens: ``KL(base || other)`` in nats."""

    measure: Measure = "nats"

    def read(self, logits: Any) -> Any:
        """Log-probabilities."""
        import torch

        return torch.log_softmax(logits, dim=-1)

    def apart(self, base: Any, other: Any) -> Any:
        """``KL(base || other)``."""
        return (base.exp() * (base - other)).sum(-1)

    def distances(self, base: Any, other: Any) -> tuple[Any, Any]:
        """``KL(base || other)``, and ``KL(base || other) + KL(other || base)``."""
        p, apart = base.exp(), base - other
        return (p * apart).sum(-1), ((p - other.exp()) * apart).sum(-1)

    def towards(self, base: Any, other: Any, logits: Any) -> Any:
        """``(q - p) · logits``: the KL's own gradient is zero at the base."""
        return (other.exp() - base.exp()).detach() * logits


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Vectors of texts: half their squared distance, which is 1 - cos of vectors of length one.

    Attributes:
        lengths: whether lengths count, since the base gives vectors of length one; else both are
            brought to length one first.
    """

    lengths: bool = False
    measure: Measure = "cosine"

    def read(self, logits: Any) -> Any:
        """The vectors."""
        import torch

        return logits if self.lengths else torch.nn.functional.normalize(logits, dim=-1)

    def apart(self, base: Any, other: Any) -> Any:
        """Half the squared distance."""
        return (other - base).square().sum(-1) / 2

    def distances(self, base: Any, other: Any) -> tuple[Any, Any]:
        """Half the squared distance, and the squared distance."""
        apart = self.apart(base, other)
        return apart, 2 * apart

    def towards(self, base: Any, other: Any, logits: Any) -> Any:
        """The difference times the base's vectors: 1 - cos has no gradient at the base."""
        return (other - base).detach() * self.read(logits)


PREDICTIONS = Predictions()


def of(model: Any) -> Outcome:
    """Return how a model's outputs are compared, as it says itself or as a language model's."""
    found: Outcome = getattr(model, "outcome", PREDICTIONS)
    return found
