"""The ladder: what each metric sees of models that are known to be worse, from how many samples.

Samples are drawn with replacement from a run's own, and each draw is judged alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.evidence import blocking
from benchmarks.evidence.figures import KL, METRICS, Figures, difference

SIZES = (30, 60, 120, 240, 480)
MARGINS = (0.02, 0.05)
NEED_MARGINS = (0.005, 0.01, 0.02, 0.05)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One variant by one metric.

    Attributes:
        variant: which.
        metric: by what.
        margin: allowed drop; of KL the limit in nats a token.
        level: the risk.
        drop: what all samples show; of KL the divergence.
        blocked: share of draws that are blocked, by samples a draw.
        needed: samples at which four of five draws are; None where that never happens.
    """

    variant: str
    metric: str
    margin: float
    level: float
    drop: float
    blocked: Mapping[int, float]
    needed: int | None


def cells(
    runs: Mapping[str, Figures],
    base: Mapping[str, Figures],
    margins: Sequence[float],
    level: float,
    draws: int,
    seed: int,
    sizes: Sequence[int] = SIZES,
) -> Iterator[Cell]:
    """Judge every variant by every metric.

    Args:
        runs: by variant.
        base: what each is compared with: the base's run on the same device.
        margins: allowed drops.
        level: the risk of one comparison.
        draws: how many times samples are drawn.
        seed: of the draws.
        sizes: samples a draw.
    """
    for name, run in runs.items():
        for metric in METRICS:
            if metric == KL and not run.tokens.any():
                continue
            for margin in margins:
                yield cell(run, base[name], metric, margin, level, draws, seed, sizes)


def cell(
    run: Figures,
    base: Figures,
    metric: str,
    margin: float,
    level: float,
    draws: int,
    seed: int,
    sizes: Sequence[int],
) -> Cell:
    """Judge one variant by one metric."""
    rule = blocking.rule(metric, base, run, margin)
    population = len(run.samples)
    question = (seed, run.variant, metric, margin)
    needed = None
    if blocking.excess(metric, base, run, margin) > 0.0:
        rng = blocking.generator(*question, "needed")
        needed = blocking.needed(rule, population, level, 2 * draws, rng)
    return Cell(
        variant=run.variant,
        metric=metric,
        margin=margin,
        level=level,
        drop=run.kl if metric == KL else -float(difference(metric, base, run).mean()),
        blocked={
            n: blocking.share(rule, population, n, level, draws, blocking.generator(*question, n))
            for n in sizes
        },
        needed=needed,
    )
