"""Pieces of different lengths that lie one behind the other in an array."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]


def begins(lengths: Places) -> Places:
    """Return where each of some pieces begins that lie one behind the other."""
    import numpy as np

    found: Places = np.cumsum(lengths) - lengths
    return found


def spans(firsts: Places, lengths: Places) -> Places:
    """Return the numbers of ranges that begin here and are so long, one behind the other."""
    import numpy as np

    offsets = np.repeat(firsts - begins(lengths), lengths)
    return offsets + np.arange(len(offsets))
