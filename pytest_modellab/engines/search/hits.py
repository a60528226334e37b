"""What every search returns."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Hits:
    """The best documents for one query.

    Attributes:
        rows: rows of the corpus, best first, none twice.
        scores: the score of each row, never rising; what it means is the search's own matter.
    """

    rows: tuple[int, ...]
    scores: tuple[float, ...]
