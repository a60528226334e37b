"""Populations of paired scores whose mean drop is known, and what a gate must reach on them.

The differences are drawn first and the baseline scores around them, so that rules which read both
score vectors and rules which read the differences see the same data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Scores = tuple[Floats, Floats]
Draw = Callable[[np.random.Generator, tuple[int, int]], Scores]

ALPHA = 0.05
SKEWED_ALPHA = 0.06


@dataclass(frozen=True, slots=True)
class Population:
    """Paired scores of `buckets` times `n` samples.

    Attributes:
        name: Unique; the random numbers follow from it.
        n: Samples of a bucket.
        draw: Baseline and candidate scores, each of shape (repetitions, samples).
        drop: The true mean drop of the first bucket.
        margin: The drop allowed.
        buckets: Number of buckets, one after the other.
        cluster: Samples of a cluster, one after the other.
    """

    name: str
    n: int
    draw: Draw
    drop: float = 0.0
    margin: float = 0.0
    buckets: int = 1
    cluster: int = 1

    @property
    def samples(self) -> int:
        return self.n * self.buckets


@dataclass(frozen=True, slots=True)
class Requirement:
    """A row of the published table.

    Attributes:
        label: What the row shows.
        side: Which verdict is counted.
        kind: A level is the largest rate of its populations and must not exceed the limit, a power
            must reach it.
        limit: Required figure; None where the row only compares.
        populations: Where it is measured.
    """

    label: str
    side: Literal["block", "pass"]
    kind: Literal["level", "power"]
    limit: float | None
    populations: tuple[Population, ...]


def around(scores: Floats, differences: Floats) -> Scores:
    """Move baseline scores as little as the differences need to stay in [0, 1]."""
    before = np.clip(scores, np.maximum(0.0, -differences), np.minimum(1.0, 1.0 - differences))
    return before, before + differences


def flips(rng: np.random.Generator, shape: tuple[int, int], churn: float, drop: float) -> Floats:
    """Differences of -1, 0 and 1: half of the churn each way, and the drop as further losses."""
    u = rng.random(shape)
    loss = 0.5 * churn + drop
    return np.where(u < loss, -1.0, np.where(u < loss + 0.5 * churn, 1.0, 0.0))


def right(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Right or wrong: 0.7 of the samples that do not flip are right."""
    return (rng.random(shape) < 0.7).astype(np.float64)


def binary(churn: float, drop: float = 0.0) -> Draw:
    """Right-or-wrong scores."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Scores:
        return around(right(rng, shape), flips(rng, shape, churn, drop))

    return draw


def one_bucket(buckets: int, churn: float, drop: float) -> Draw:
    """Right-or-wrong scores with the drop in the first bucket alone."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Scores:
        d = flips(rng, shape, churn, 0.0)
        n = shape[1] // buckets
        d[:, :n] = flips(rng, (shape[0], n), churn, drop)
        return around(right(rng, shape), d)

    return draw


def clustered(churn: float, drop: float, size: int, shared: float = 0.7) -> Draw:
    """A sample is and does what its cluster is and does with probability `shared`."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Scores:
        clusters = (shape[0], shape[1] // size)
        follows = rng.random(shape) < shared
        scores = np.where(follows, np.repeat(right(rng, clusters), size, axis=1), right(rng, shape))
        together = np.repeat(flips(rng, clusters, churn, drop), size, axis=1)
        return around(scores, np.where(follows, together, flips(rng, shape, churn, drop)))

    return draw


def rubric(drop: float = 0.0) -> Draw:
    """Grades in quarters; 0.3 of the samples move one step, the drop as further steps down."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Scores:
        return around(rng.binomial(4, 0.7, shape) / 4.0, 0.25 * flips(rng, shape, 0.3, 4.0 * drop))

    return draw


def ndcg(drop: float = 0.0) -> Draw:
    """0.4 of the queries change, by normal amounts of standard deviation 0.3."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Scores:
        moved = np.clip(rng.normal(-drop / 0.4, 0.3, shape), -1.0, 1.0)
        return around(rng.beta(2.0, 1.0, shape), np.where(rng.random(shape) < 0.4, moved, 0.0))

    return draw


def exponential(sign: float) -> Draw:
    """All samples change, by exponential amounts of mean 0.05 less that mean (skewness 2)."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Scores:
        d = np.clip(sign * (rng.exponential(0.05, shape) - 0.05), -1.0, 1.0)
        return around(rng.beta(2.0, 1.0, shape), d)

    return draw


def two_values(rare: float) -> Draw:
    """One sample in ten changes by `rare`, the others by a ninth of it the other way."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Scores:
        d = np.where(rng.random(shape) < 0.1, rare, -rare / 9.0)
        return around(rng.beta(2.0, 1.0, shape), d)

    return draw


def _one_set(margins: tuple[float, ...]) -> Iterator[Population]:
    """One set of samples; the drop is the margin."""
    for m in margins:
        said = f", drop = margin = {m}" if m else ""
        for n in (20, 50, 100, 200, 500):
            for churn in (0.0, 0.02, 0.1, 0.25):
                yield Population(f"n = {n}, churn {churn}{said}", n, binary(churn, m), m, m)
            if m != 0.02:
                yield Population(f"rubric, n = {n}{said}", n, rubric(m), m, m)
                yield Population(f"nDCG, n = {n}{said}", n, ndcg(m), m, m)


def _clusters(m: float) -> Iterator[Population]:
    said = f", drop = margin = {m}" if m else ""
    for number in (20, 40, 100):
        name, n = f"{number} clusters of 5{said}", 5 * number
        yield Population(name, n, clustered(0.1, m, 5), m, m, cluster=5)


def _buckets(m: float) -> Iterator[Population]:
    said = f", drop = margin = {m}" if m else ""
    for buckets, n in ((2, 100), (8, 50), (40, 20), (40, 50)):
        for churn in (0.02, 0.1, 0.25):
            name = f"{buckets} buckets of {n}, churn {churn}{said}"
            yield Population(name, n, binary(churn, m), m, m, buckets)
    if m == 0.0:
        yield Population("8 buckets of 50, rubric", 50, rubric(), buckets=8)
        yield Population("40 buckets of 50, nDCG", 50, ndcg(), buckets=40)
        name = "8 buckets of 10 clusters of 5"
        yield Population(name, 50, clustered(0.1, 0.0, 5), buckets=8, cluster=5)


def _skewed() -> Iterator[Population]:
    for n in (20, 50, 100, 200, 500):
        yield Population(f"exponential gains, n = {n}", n, exponential(1.0))
        yield Population(f"exponential losses, n = {n}", n, exponential(-1.0))


def _two_values(*sizes: int) -> tuple[Population, ...]:
    """The worst kind of skew: every sample loses the same, or gains nine times as much."""
    gains = [Population(f"rare gains, n = {n}", n, two_values(0.45)) for n in sizes]
    losses = [Population(f"rare losses, n = {n}", n, two_values(-0.45)) for n in sizes]
    return (*gains, *losses)


def _level(
    label: str, side: Literal["block", "pass"], populations: tuple[Population, ...], limit: float
) -> Requirement:
    number = len(populations)
    return Requirement(
        f"false {side}, {label} ({number} populations)", side, "level", limit, populations
    )


_SET_SAME, _SET_AT_MARGIN = tuple(_one_set((0.0,))), tuple(_one_set((0.02, 0.05)))
_CLUSTERS_SAME, _CLUSTERS_AT_MARGIN = tuple(_clusters(0.0)), tuple(_clusters(0.05))
_BUCKETS_SAME, _BUCKETS_AT_MARGIN = tuple(_buckets(0.0)), tuple(_buckets(0.05))

LEVELS = (
    _level("one set, nothing changed", "block", _SET_SAME, ALPHA),
    _level("one set, drop = margin", "block", _SET_AT_MARGIN, ALPHA),
    _level("clusters, nothing changed", "block", _CLUSTERS_SAME, ALPHA),
    _level("clusters, drop = margin", "block", _CLUSTERS_AT_MARGIN, ALPHA),
    _level("2 to 40 buckets, nothing changed", "block", _BUCKETS_SAME, ALPHA),
    _level("2 to 40 buckets, drop = margin", "block", _BUCKETS_AT_MARGIN, ALPHA),
    _level("strongly skewed", "block", tuple(_skewed()), SKEWED_ALPHA),
    _level("two values only, n = 20", "block", _two_values(20), SKEWED_ALPHA),
    _level(
        "two values only, n >= 40",
        "block",
        _two_values(40, 50, 95, 100, 200, 220, 500),
        SKEWED_ALPHA,
    ),
    _level("one set, drop = margin", "pass", _SET_AT_MARGIN, ALPHA),
    _level("clusters, drop = margin", "pass", _CLUSTERS_AT_MARGIN, ALPHA),
    _level("2 to 40 buckets, drop = margin", "pass", _BUCKETS_AT_MARGIN, ALPHA),
)


def _power(side: Literal["block", "pass"], limit: float | None, one: Population) -> Requirement:
    return Requirement(f"power to {side}: {one.name}", side, "power", limit, (one,))


def _blocks(
    limit: float | None,
    name: str,
    n: int,
    draw: Draw,
    drop: float,
    buckets: int = 1,
    cluster: int = 1,
) -> Requirement:
    one = Population(name, n, draw, drop, buckets=buckets, cluster=cluster)
    return _power("block", limit, one)


def _passes(
    limit: float, name: str, n: int, churn: float, margin: float, buckets: int = 1
) -> Requirement:
    return _power("pass", limit, Population(name, n, binary(churn), 0.0, margin, buckets))


POWERS = (
    _blocks(0.66, "n = 50, churn .1, drop .15", 50, binary(0.1, 0.15), 0.15),
    _blocks(0.54, "n = 100, churn .02, drop .05", 100, binary(0.02, 0.05), 0.05),
    _blocks(0.85, "n = 200, churn .02, drop .05", 200, binary(0.02, 0.05), 0.05),
    _blocks(None, "n = 200, churn .1, drop .05", 200, binary(0.1, 0.05), 0.05),
    _blocks(0.92, "n = 200, churn .1, drop .10", 200, binary(0.1, 0.1), 0.1),
    _blocks(0.87, "n = 500, churn .1, drop .05", 500, binary(0.1, 0.05), 0.05),
    _blocks(0.87, "8 buckets of 50, churn .02, one -.20", 50, one_bucket(8, 0.02, 0.2), 0.2, 8),
    _blocks(0.95, "8 buckets of 50, churn .02, all -.05", 50, binary(0.02, 0.05), 0.05, 8),
    _blocks(0.84, "40 buckets of 50, churn .02, one -.20", 50, one_bucket(40, 0.02, 0.2), 0.2, 40),
    _blocks(0.93, "40 buckets of 50, churn .1, all -.03", 50, binary(0.1, 0.03), 0.03, 40),
    _blocks(0.65, "40 clusters of 5, churn .1, drop .15", 200, clustered(0.1, 0.15, 5), 0.15, 1, 5),
    _blocks(0.85, "rubric, n = 100, drop .05", 100, rubric(0.05), 0.05),
    _blocks(0.74, "nDCG, n = 100, drop .05", 100, ndcg(0.05), 0.05),
    _passes(0.99, "identical, n = 200, m = .02", 200, 0.0, 0.02),
    _passes(0.95, "n = 200, churn .02, m = .05", 200, 0.02, 0.05),
    _passes(0.92, "n = 500, churn .1, m = .05", 500, 0.1, 0.05),
    _passes(0.80, "8 buckets of 200, churn .02, m = .05", 200, 0.02, 0.05, 8),
)

# Sets whose verdict lies near its limit, for what a small change does to it.
NEAR = (
    Population("near: n = 50", 50, binary(0.1, 0.12), 0.12),
    Population("near: rubric, n = 50", 50, rubric(0.05), 0.05),
    Population("near: nDCG, n = 50", 50, ndcg(0.05), 0.05),
    Population("near: 20 clusters of 5", 100, clustered(0.1, 0.15, 5), 0.15, cluster=5),
    Population("near: n = 200, m = .05", 200, binary(0.1), 0.0, 0.05),
    Population("near: rubric, n = 50, m = .05", 50, rubric(), 0.0, 0.05),
    Population("near: 4 buckets of 50, m = .05", 50, one_bucket(4, 0.1, 0.25), 0.25, 0.05, 4),
)
NEAR_BUCKETS = (
    Population("near: 2 buckets of 20", 20, one_bucket(2, 0.1, 0.3), 0.3, buckets=2),
    Population("near: 8 buckets of 20", 20, one_bucket(8, 0.25, 0.45), 0.45, buckets=8),
    Population("near: 8 buckets of 50", 50, one_bucket(8, 0.1, 0.2), 0.2, buckets=8),
    Population("near: 8 buckets of 20, rubric", 20, rubric(0.03), 0.03, buckets=8),
)

POPULATIONS = {
    one.name: one
    for one in (
        *(one for row in (*LEVELS, *POWERS) for one in row.populations),
        *NEAR,
        *NEAR_BUCKETS,
    )
}
