"""What is usual among peers, and what stands out from them. Pure: numbers in, numbers out."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

FLOOR = 1e-6
"""Relative changes below it count as unchanged."""

STANDS_OUT = 4.0
"""A ``z`` beyond it stands out: at least 1.8 times what is usual, of a head 2.7 times."""

_WIDE = 3.0
_WIDE_OF_LAYERS = 2.0
_LEAST_GAP = math.log(1.8)
_TIMES = 8.0
LEAST_SPREAD = 0.15
BLOCK_SPREAD = 0.25
"""Heads differ from each other more than projections do, in a sound model."""

TOGETHER = 1.5
"""In a layer that stands out as a whole, what is so many times the usual belongs to it."""

_PEERS = 4
_KIND = 5.0
_ROW = 4.0
_ROWS = 3


@dataclasses.dataclass(frozen=True)
class Usual:
    """What a change is measured by.

    Attributes:
        median: of the logarithms.
        spread: of the logarithms: their scaled median deviation, at least 0.15.
    """

    median: float
    spread: float

    @property
    def relative(self) -> float:
        """The usual relative change; 0 where peers are unchanged."""
        return 0.0 if self.median <= math.log(FLOOR) else math.exp(self.median)

    def z(self, relative: float) -> float:
        """How many spreads a relative change is above what is usual."""
        if math.isnan(relative) or math.isinf(relative):
            return math.inf
        return (_log(relative) - self.median) / self.spread

    def stands_out(self, relative: float) -> bool:
        """Whether a relative change is far beyond its peers."""
        return self.z(relative) > STANDS_OUT


def usual(relatives: Sequence[float], least: float = LEAST_SPREAD, wide: float = _WIDE) -> Usual:
    """Find what is usual: below the lowest wide gap where the rest is unchanged, else of all.

    A majority may be damaged, so a plain median of all would call it usual: where the sorted values
    part by more than a factor of three, and at least two and a tenth of them are below, those are
    what is usual. A smaller gap does where a third of them are below, and very much alike.

    Args:
        relatives: changes of peers.
        least: the spread, if theirs is smaller.
        wide: the factor that parts the usual from the rest.

    Returns:
        What is usual among them.
    """
    logs = sorted(_log(relative) for relative in relatives)
    if not logs:
        return Usual(math.log(FLOOR), least)
    for below in range(max(2, math.ceil(len(logs) / 10)), len(logs)):
        gap = logs[below] - logs[below - 1]
        alike = below >= max(3, 0.3 * len(logs)) and gap > _TIMES * (logs[below - 1] - logs[0])
        if gap > math.log(wide) or (alike and gap > _LEAST_GAP):
            logs = logs[:below]
            break
    median = statistics.median(logs)
    deviation = statistics.median(abs(value - median) for value in logs)
    return Usual(median, max(1.4826 * deviation, least))


def by_kind(relatives: Mapping[str, Sequence[float]]) -> dict[str, Usual]:
    """Find what is usual in each kind; a kind with few members is judged by all kinds together."""
    everything = usual([value for values in relatives.values() for value in values])
    return {
        kind: usual(values) if len(values) >= _PEERS else everything
        for kind, values in relatives.items()
    }


def kinds_that_stand_out(relatives: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """Name the kinds whose median change is more than five times that of the usual kind."""
    medians = {kind: statistics.median_low(values) for kind, values in relatives.items() if values}
    if len(medians) < 2:
        return ()
    middle = usual(tuple(medians.values())).median
    return tuple(
        kind for kind, median in medians.items() if _log(median) > middle + math.log(_KIND)
    )


def layers_that_stand_out(ratios: Mapping[int, Sequence[float]]) -> frozenset[int]:
    """Name the layers whose projections are beyond their kinds together, if not each by itself.

    Args:
        ratios: layer → of each projection, its change in multiples of what its kind has.

    Returns:
        The layers whose median ratio stands out among the layers'.
    """
    medians = {
        layer: math.exp(statistics.median_low(map(_log, values)))
        for layer, values in ratios.items()
        if len(values) > 1
    }
    figure = usual(tuple(medians.values()), wide=_WIDE_OF_LAYERS)
    return frozenset(layer for layer, median in medians.items() if figure.stands_out(median))


def rows_beyond(median_row: float, usual_relative: float) -> float:
    """Give the relative change beyond which a row of a vocabulary stands out."""
    return _ROW * max(median_row, usual_relative, FLOOR)


def enough_rows(count: int) -> bool:
    """Whether so many rows are more than chance."""
    return count >= _ROWS


def _log(relative: float) -> float:
    """Give the logarithm, with everything that is not a number above all."""
    return math.log(max(relative, FLOOR)) if math.isfinite(relative) else math.log(1 / FLOOR)
