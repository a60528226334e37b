"""How far a model's distributions lie from those of the model that it was made from."""

from __future__ import annotations

import dataclasses

from pytest_modellab.records.reading import Amount, Count, Share


@dataclasses.dataclass(frozen=True)
class Moved:
    """What one sample's tokens show.

    Attributes:
        tokens: how many were predicted.
        nats: sum of their divergences KL(base‖candidate); a lower bound, see :class:`Divergence`.
        same: of how many both models have the same first choice.
        largest: the largest divergence of one of them.
        failed: why the sample says nothing, else empty; the figures are 0 then.
    """

    tokens: Count
    nats: Amount
    same: Count
    largest: Amount
    failed: str = ""


@dataclasses.dataclass(frozen=True)
class Divergence:
    """A candidate beside its base on a task set's own tokens.

    Attributes:
        samples: one for each sample, in the task set's order.
        median: of the divergences of single tokens, in nats.
        percentile_99: of the same.
        kept: how many of the base's largest probabilities were compared one by one; the others
            are one cell, which bounds the divergence from below.
        rest: the base's mean probability of that cell.
        fewer: what half as many would have shown of the mean divergence, in nats.
    """

    samples: tuple[Moved, ...]
    median: Amount
    percentile_99: Amount
    kept: Count
    rest: Share
    fewer: Amount
