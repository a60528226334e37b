"""In what order the texts of a page are read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence


@dataclasses.dataclass(frozen=True)
class Found:
    """A text that was found on a page.

    Attributes:
        text: as recognised.
        corners: of the box around it, in pixels: top left, top right, bottom right, bottom left, as
            the text stands.
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

    A page that lies askew is turned back first, by the mean direction of its lines. A text belongs
    to a row where its middle is no further from the mean of the row's middles than half the height
    of the lower of the two: the cells of a table are one row, however a detection cuts it up. Texts
    of a row are joined by a space, rows by a line break.

    Args:
        found: in any order.
    """
    rows: list[list[Found]] = []
    for one in sorted(_upright(found), key=lambda f: (f.middle, f.left, f.text, f.corners)):
        if rows and _same_row(rows[-1], one):
            rows[-1].append(one)
        else:
            rows.append([one])
    return "\n".join(
        " ".join(one.text for one in sorted(row, key=lambda f: (f.left, f.middle, f.text)))
        for row in rows
    )


def _upright(found: Iterable[Found]) -> list[Found]:
    """Turn all texts by the direction in which they run, the long ones counting most."""
    texts = sorted(found, key=lambda f: (f.corners, f.text))  # so that sums come out the same
    across = math.fsum(b[0] - a[0] + c[0] - d[0] for a, b, c, d in (f.corners for f in texts))
    down = math.fsum(b[1] - a[1] + c[1] - d[1] for a, b, c, d in (f.corners for f in texts))
    length = math.hypot(across, down)
    if not length or not down:
        return texts
    cos, sin = across / length, down / length
    return [
        dataclasses.replace(
            one, corners=tuple((x * cos + y * sin, y * cos - x * sin) for x, y in one.corners)
        )
        for one in texts
    ]


def _same_row(row: Sequence[Found], one: Found) -> bool:
    middle = sum(other.middle for other in row) / len(row)
    height = min(one.height, *(other.height for other in row))
    return abs(one.middle - middle) <= height / 2
