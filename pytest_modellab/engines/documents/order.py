"""In what order the texts of a page are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

Corners = Sequence[tuple[float, float]]
"""Top left, top right, bottom right, bottom left, as the text stands."""


@dataclasses.dataclass(frozen=True)
class Found:
    """A text that was found on a page.

    Attributes:
        text: as recognised.
        corners: of the box around it, in pixels.
    """

    text: str
    corners: tuple[tuple[float, float], ...]

    @property
    def middle(self) -> float:
        """How far down the middle of the box is."""
        return sum(y for _, y in self.corners) / len(self.corners)

    @property
    def height(self) -> float:
        """The mean length of its left and right edge, downwards."""
        (_, a), (_, b), (_, c), (_, d) = self.corners
        return ((d - a) + (c - b)) / 2

    @property
    def left(self) -> float:
        """Where it begins."""
        return min(x for x, _ in self.corners)


def page(found: Iterable[Found]) -> str:
    """Return a page's text: rows from top to bottom, in each the texts from left to right.

    A text belongs to a row where its middle is no further from the mean of the row's middles than
    half the height of the lower of the two: the cells of a table are one row, however a detection
    cuts it up. Texts of a row are joined by a space, rows by a line break.

    Args:
        found: in any order.
    """
    rows: list[list[Found]] = []
    for one in sorted(found, key=lambda f: (f.middle, f.left, f.text, f.corners)):
        if rows and _same_row(rows[-1], one):
            rows[-1].append(one)
        else:
            rows.append([one])
    return "\n".join(
        " ".join(one.text for one in sorted(row, key=lambda f: (f.left, f.middle, f.text)))
        for row in rows
    )


def _same_row(row: Sequence[Found], one: Found) -> bool:
    middle = sum(other.middle for other in row) / len(row)
    height = min(one.height, *(other.height for other in row))
    return abs(one.middle - middle) <= height / 2
