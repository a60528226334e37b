"""How often the gate blocks when it is shown a few of the samples, and how many it needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.evidence.figures import ACCURACY, KL, Figures, Floats, difference
from pytest_modellab.gate._rows import collapse
from pytest_modellab.gate._saddlepoint import tail
from pytest_modellab.gate.single import block_p
from pytest_modellab.gate.validate import UNIT

POWER = 0.8

MOST = 20_000
"""Samples beyond which nobody is told how many are needed."""

Ints = npt.NDArray[np.int64]

Bools = npt.NDArray[np.bool_]

Rule = Callable[[Ints, float], Bools]
"""Takes which samples were drawn, a draw a row, and a level; says which draws are blocked."""


def generator(*names: object) -> np.random.Generator:
    """Random numbers of a question's own, the same in every run."""
    digest = hashlib.sha256(repr(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8]))


def drop_rule(differences: Floats, margin: float) -> Rule:
    """Whether the mean has dropped by more than the margin: `gate.drop` of every draw at once."""
    units = np.rint(differences * UNIT).astype(np.int64)

    def blocks(drawn: Ints, level: float) -> Bools:
        number, n = drawn.shape
        rows = collapse(units[drawn].ravel(), np.repeat(np.arange(number), n), None, number)
        p, _ = block_p(rows, np.full(number, margin), between=(level, level))
        return np.asarray(p <= level)

    return blocks


def divergence_rule(nats: Floats, tokens: Floats, limit: float) -> Rule:
    """Whether the mean divergence a token lies above the limit: `gate.fidelity` of every draw."""

    def blocks(drawn: Ints, level: float) -> Bools:
        number, n = drawn.shape
        size = tokens[drawn].mean(axis=1, keepdims=True)
        x = (nats[drawn] - limit * tokens[drawn]) / size
        starts = np.arange(number, dtype=np.int64) * n
        p = tail(-x.ravel(), np.ones(x.size), starts, np.full(number, limit))
        return np.asarray(p <= level)

    return blocks


def excess(metric: str, base: Figures, other: Figures, margin: float) -> float:
    """How far the drop of all samples, or the divergence, lies above what is allowed."""
    seen = other.kl if metric == KL else -float(difference(metric, base, other).mean())
    return seen - margin


def rule(metric: str, base: Figures, other: Figures, margin: float) -> Rule:
    """The rule that the gate judges a metric by; of KL the margin is the limit."""
    if metric == KL:
        return divergence_rule(other.nats, other.tokens, margin)
    return drop_rule(difference(metric, base, other), margin)


def share(
    blocks: Rule, population: int, n: int, level: float, draws: int, rng: np.random.Generator
) -> float:
    """Share of draws that are blocked; samples are drawn with replacement."""
    drawn = rng.integers(population, size=(draws, n))
    return float(np.mean(blocks(drawn, level)))


def needed(
    blocks: Rule,
    population: int,
    level: float,
    draws: int,
    rng: np.random.Generator,
    most: int = MOST,
) -> int | None:
    """Samples at which the gate blocks in four of five draws; None beyond ``most``.

    Every size looks at the first samples of the same draws, so that a larger one differs by what is
    added alone.
    """
    drawn = rng.integers(population, size=(draws, most))

    def enough(n: int) -> bool:
        return float(np.mean(blocks(drawn[:, :n], level))) >= POWER

    high = 4
    while not enough(high):
        if high >= most:
            return None
        high = min(2 * high, most)
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def certainty(metric: str, base: Figures, other: Figures) -> float:
    """How many standard errors a drop lies from no drop at all; of KL it has no meaning: NaN."""
    if metric == KL:
        return float("nan")
    d = difference(metric, base, other)
    deviation = float(d.std(ddof=1))
    return float(d.mean()) / deviation * d.size**0.5 if deviation else 0.0


def efficiency(metric: str, base: Figures, other: Figures) -> float:
    """Samples that a metric needs over those that right or wrong needs, to see that it dropped."""
    own, accuracy = (certainty(one, base, other) for one in (metric, ACCURACY))
    return (accuracy / own) ** 2 if own < 0.0 and accuracy < 0.0 else float("nan")
