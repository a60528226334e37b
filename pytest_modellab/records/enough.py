"""How many samples a pass takes at the least: arithmetic, so that it can be said before a run.

Where nothing changed, a pass of ``n`` samples at margin ``m`` and level ``a`` takes
``(1 - m)^n <= a``; :func:`pytest_modellab.gate.pass_size` is the same with churn.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from pytest_modellab.visible import CELL, line

_STEP = 100  # margins are told in hundredths


def least_size(margin: float, level: float) -> int | None:
    """Samples, or clusters where there are such, that pass where nothing changed.

    Args:
        margin: allowed drop in [0, 1).
        level: risk of a false pass, in (0, 1).

    Returns:
        Their number, at least 2; None at margin 0, at which nothing passes.
    """
    if margin <= 0.0:
        return None
    return max(math.ceil(math.log(level) / math.log1p(-margin) - 1e-9), 2)


def least_margin(size: int, level: float) -> float | None:
    """Least margin in hundredths that so many samples pass; None where they pass none."""
    if size < 2:
        return None
    found = math.ceil(_STEP * -math.expm1(math.log(level) / size) - 1e-9) / _STEP
    return found if found < 1.0 else None


@dataclasses.dataclass(frozen=True)
class Size:
    """What a comparison has to pass with.

    Attributes:
        samples: how many there are.
        clusters: how many of them count: those that belong together count once.
        margin: the allowed drop.
        level: the risk of a false pass.
        name: what they are, in words.
        rule: how the margin is set, up to its number.
    """

    samples: int
    clusters: int
    margin: float
    level: float
    name: str = "all samples"
    rule: str = "margin = "

    @classmethod
    def of(
        cls, capability: str | None, samples: int, clusters: int, margin: float, level: float
    ) -> Size:
        """Return what a suite has to pass a capability with, or all samples where it is None."""
        if capability is None:
            return cls(samples, clusters, margin, level)
        name, rule = f"capability {capability}", "capability_margin = "
        return cls(samples, clusters, margin, level, name, rule)

    @property
    def too_small(self) -> bool:
        """Whether no candidate passes that answers as its reference does."""
        needed = least_size(self.margin, self.level)
        return needed is None or self.clusters < needed

    def words(self, more: int = 0) -> str:
        """Say that they are too few, how many would do, and what these would pass.

        Args:
            more: how many others of the same rule are too small as well.
        """
        size = "1 sample" if self.samples == 1 else f"{self.samples} samples"
        unit = ""
        if self.clusters != self.samples:
            size += " in 1 cluster" if self.clusters == 1 else f" in {self.clusters} clusters"
            unit = " clusters"
        needed = least_size(self.margin, self.level)
        margin = least_margin(self.clusters, self.level)
        would = [] if needed is None else [f"{needed}{unit} would"]
        if margin is not None:
            would.append(f"{self.rule}{margin:g} {'with these' if would else 'would'}")
        text = f"{size} cannot pass at {self.rule}{self.margin:g} ({self.name}), even if nothing"
        text += f" changed{': ' if would else ''}{', or '.join(would)}"
        rest = f"; {more} more {'is' if more == 1 else 'are'} too small" if more else ""
        return line(text + rest, CELL)


def too_small(sizes: Iterable[Size]) -> list[str]:
    """A line for each rule whose samples are too few: of several the smallest is named."""
    groups: dict[str, dict[Size, None]] = {}
    for size in sizes:
        if size.too_small:
            groups.setdefault(size.rule, {})[size] = None
    told = []
    for group in groups.values():
        smallest = min(group, key=lambda size: (size.clusters, size.margin, size.name))
        told.append(smallest.words(len({size.name for size in group}) - 1))
    return told
