"""Several task sets at once: does judging them together find more than judging each?

Kübler et al. (2026, arXiv 2602.10144) combine McNemar's tests of several task sets in three ways.
Here each way spends the same alpha:

* ``Holm``: each set alone, corrected for their number; what the gate does.
* ``pooled``: one comparison of all samples together.
* ``Fisher``: the sum of the sets' log p-values (Fisher 1932).
* ``Stouffer``: the sum of the sets' z-scores (Stouffer et al. 1949).
* ``minP``: the smallest p-value, by its distribution where sets are independent (Tippett 1931).
* ``halves``: half of alpha for all samples together, half for the sets: `gate.compare` with the
  sets as buckets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from benchmarks.evidence import blocking
from benchmarks.evidence.blocking import Bools, Ints
from benchmarks.evidence.figures import Floats
from benchmarks.gate import family_blocks
from pytest_modellab.gate._rows import collapse
from pytest_modellab.gate.single import block_p
from pytest_modellab.gate.validate import UNIT

WAYS = ("Holm", "pooled", "Fisher", "Stouffer", "minP", "halves")

ALPHA = 0.05


def together(p: Floats, pooled: Floats, family: Bools, alpha: float = ALPHA) -> Mapping[str, Bools]:
    """Which repetitions are blocked, by each way.

    Args:
        p: a repetition a row, a set a column.
        pooled: p-values of all samples together.
        family: whether the gate blocks any set at half of alpha.
        alpha: the risk of any false block.
    """
    p = np.clip(p, 1e-300, 1.0 - 1e-12)
    sets = p.shape[1]
    fisher = stats.chi2.sf(-2.0 * np.log(p).sum(axis=1), 2 * sets)
    stouffer = stats.norm.sf(stats.norm.isf(p).sum(axis=1) / sets**0.5)
    least = p.min(axis=1)
    return {
        "Holm": least <= alpha / sets,
        "pooled": pooled <= alpha,
        "Fisher": fisher <= alpha,
        "Stouffer": stouffer <= alpha,
        "minP": 1.0 - (1.0 - least) ** sets <= alpha,
        "halves": (pooled <= 0.5 * alpha) | family,
    }


def shares(draws: Sequence[Floats], margin: float, alpha: float = ALPHA) -> dict[str, float]:
    """Share of repetitions that each way blocks.

    Args:
        draws: of each set its differences, a repetition a row.
        margin: allowed drop of every set.
        alpha: the risk of any false block.
    """
    number, sets = draws[0].shape[0], len(draws)
    units = [np.rint(one * UNIT).astype(np.int64) for one in draws]
    whole = np.concatenate(units, axis=1)
    runs = np.repeat(np.arange(number), whole.shape[1])
    of_set = np.repeat(np.arange(sets), [one.shape[1] for one in units])
    rows = collapse(whole.ravel(), runs * sets + np.tile(of_set, number), None, number * sets)
    p = block_p(rows, np.full(number * sets, margin))[0].reshape(number, sets)
    pooled, _ = block_p(collapse(whole.ravel(), runs, None, number), np.full(number, margin))
    family = family_blocks(rows, p, margin, 0.5 * alpha)
    found = together(p, pooled, family, alpha)
    return {way: float(np.mean(blocked)) for way, blocked in found.items()}


def real(
    sets: Sequence[Floats], n: int, margin: float, repetitions: int, seed: int, name: str
) -> dict[str, float]:
    """Draw ``n`` samples of each set's real differences, again and again."""
    rng = blocking.generator(seed, "pooling", name, n, margin)
    drawn = []
    for differences in sets:
        index: Ints = rng.integers(differences.size, size=(repetitions, n))
        drawn.append(differences[index])
    return shares(drawn, margin)


def simulated(
    drops: Sequence[float],
    sizes: Sequence[int],
    churn: float,
    margin: float,
    repetitions: int,
    seed: int,
) -> dict[str, float]:
    """Draw right-or-wrong differences with known drops: one a set."""
    rng = blocking.generator(seed, "pooling", tuple(drops), tuple(sizes), churn, margin)
    drawn = []
    for drop, n in zip(drops, sizes, strict=True):
        loss = 0.5 * churn + max(drop, 0.0)
        gain = 0.5 * churn + max(-drop, 0.0)
        u = rng.random((repetitions, n))
        drawn.append(np.where(u < loss, -1.0, np.where(u < loss + gain, 1.0, 0.0)))
    return shares(drawn, margin)
