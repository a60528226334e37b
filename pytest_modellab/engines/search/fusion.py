"""Several rankings of one query made into one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_modellab.engines.search.hits import Hits

DECIMALS = 14
"""To which sums are rounded."""


def reciprocal_rank(rankings: Sequence[Hits], *, depth: int, k: int = 60) -> Hits:
    """Fuse rankings by reciprocal rank (Cormack, Clarke and Büttcher 2009).

    A document scores the sum over the rankings that hold it of 1 / (k + rank), ranks from 1; the
    searches' own scores, which have different scales, do not count. Equal sums are ordered by the
    best single rank, then by row, so the order of the rankings does not matter.

    Args:
        rankings: of one query.
        depth: most documents in the result.
        k: how little the first ranks stand out, at least 0; 60 in the paper.

    Returns:
        The documents of all rankings, best first.
    """
    ranks: dict[int, list[int]] = {}
    for hits in rankings:
        for rank, row in enumerate(hits.rows, start=1):
            ranks.setdefault(row, []).append(rank)
    # Rounded far over a sum's error, 1e-17, and far under 1e-12, by which different sums of two
    # ranks up to 1000 differ: 1/63 + 1/126 ties with 1/84 + 1/84.
    fused = {
        row: round(math.fsum(1 / (k + rank) for rank in held), DECIMALS)
        for row, held in ranks.items()
    }
    best = sorted(fused, key=lambda row: (-fused[row], min(ranks[row]), row))[:depth]
    return Hits(tuple(best), tuple(fused[row] for row in best))
