"""Exact search: every document is compared with every query, and the order is the same everywhere.

A float sum depends on the order of its terms, which a matrix product takes from the shapes of its
blocks, the threads and the processor. Here nothing is rounded while it is summed: both sides are
rounded beforehand, to whole multiples of 2^-25 of a power of two that no vector is longer than.
Their products are then whole multiples of 2^-50, and no partial sum passes 1 (Cauchy and Schwarz),
so that float64, with its 53 bits, holds every one of them exactly. Codes and bits are whole numbers
anyway.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_modellab.engines.search.forms import IndexVectors
from pytest_modellab.engines.search.hits import Hits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FRACTION = 25
"""Bits after the point of a number in [-1, 1]. A score is off by 1e-8 typically."""


DECIMALS = 6
"""Scores are rounded to so many decimals of the largest possible one; the lower row goes first
among equals. Documents whose vectors differ in the last bits only, as those of equal texts that
were encoded in other batches, would else be ordered by the encoder's noise. A step of the grid may
still lie between two of them: at a noise of 1e-8 in each number that is one pair in a hundred."""


ROWS = 4096
"""Documents that are compared at a time."""


QUERIES = 128
"""Queries that they are compared with at a time."""


_PLACES = 2**32
"""Rows that a key has room for. Rounded score and row make one whole number below 2^53."""


def search(
    index: IndexVectors,
    queries: NDArray[np.float32],
    depth: int,
    *,
    rescore: int = 1,
    rows: int = ROWS,
) -> list[Hits]:
    """Find each query's best documents by inner product, or by distance.

    The answer depends neither on ``rows``, nor on what other queries are asked, nor on threads.
    Memory does not grow with the documents.

    Args:
        index: the documents.
        queries: as the encoder gave them, of shape (queries, dimension).
        depth: documents in a ranking, at least 1; fewer where the corpus has fewer.
        rescore: of a quantized index, how many times as many documents are found by the quantized
            query, to be ordered by the query's full vector (Yamada et al. 2021, "Efficient Passage
            Retrieval with Hashing"); 1 orders by the quantized query. Without quantization both
            are the same.
        rows: documents compared at a time.

    Returns:
        One for each query. A score is the inner product, or the distance below 0; where codes or
        bits were multiplied, the share of the largest product that there can be, in [-1, 1].

    Raises:
        ModelError: as :meth:`IndexVectors.query`.
    """
    import numpy as np

    documents = len(index.data)
    wanted = min(depth * (rescore if index.form.quantized else 1), documents)
    asked = _coded(index, queries) if index.form.quantized else _full(index, queries)
    best = np.full((len(queries), wanted), -math.inf)
    for start in range(0, documents, rows):
        block = asked.documents(index.decode(index.data[start : start + rows]))
        places = _places(np.arange(start, start + len(block)))
        for first in range(0, len(queries), QUERIES):
            some = slice(first, first + QUERIES)
            keys = asked.keys(some, block, places)
            both = np.concatenate([best[some], keys], axis=1)
            # No two keys are equal, so that the cut has one answer.
            best[some] = np.partition(both, len(block), axis=1)[:, len(block) :]
    best = -np.sort(-best, axis=1)
    if index.form.quantized and rescore > 1:
        return rank(index, queries, [_rows(keys) for keys in best], depth)
    return [asked.hits(i, keys) for i, keys in enumerate(best)]


def rank(
    index: IndexVectors,
    queries: NDArray[np.float32],
    candidates: Sequence[NDArray[np.int64]],
    depth: int,
) -> list[Hits]:
    """Order documents that were found otherwise by the queries' full vectors.

    Args:
        index: the documents.
        queries: as the encoder gave them, of shape (queries, dimension).
        candidates: for each query rows in any order, none twice.
        depth: documents in a ranking.

    Returns:
        One for each query, scored and ordered as :func:`search` does of float32.

    Raises:
        ModelError: as :meth:`IndexVectors.full_query`.
    """
    import numpy as np

    asked = _full(index, queries)
    found = []
    for i, chosen in enumerate(candidates):
        chosen = np.sort(chosen)
        block = asked.documents(index.values(index.data[chosen]))
        keys = asked.keys(slice(i, i + 1), block, _places(chosen))[0]
        found.append(asked.hits(i, -np.sort(-keys)[:depth]))
    return found


@dataclasses.dataclass(frozen=True)
class _Asked:
    """Queries in whole numbers.

    Attributes:
        whole: float64 of shape (queries, dimensions).
        shift: documents are multiplied by 2^shift before they are rounded.
        largest: for each query, no product is greater.
        units: for each query the score of ``largest``.
        scales: where distances are asked for, for each query what its numbers are multiplied with
            to be as large as a document's; else None.
    """

    whole: NDArray[np.float64]
    shift: int
    largest: NDArray[np.float64]
    units: NDArray[np.float64]
    scales: NDArray[np.float64] | None = None

    def documents(self, block: NDArray[np.float32]) -> NDArray[np.float64]:
        return _whole(block, self.shift)

    def keys(
        self, some: slice, block: NDArray[np.float64], places: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return a whole number for each query and document, greater for a better one."""
        import numpy as np

        keys = self.whole[some] @ block.T
        if self.scales is not None:
            # q·d less d²/2 orders as the distance does; both are exact before they are joined
            keys *= self.scales[some, None]
            keys -= np.einsum("ij,ij->i", block, block) / 2
        keys *= 10**DECIMALS / self.largest[some, None]
        np.rint(keys, out=keys)
        keys *= _PLACES
        keys += places
        return keys

    def hits(self, i: int, keys: NDArray[np.float64]) -> Hits:
        import numpy as np

        scores = np.floor(keys / _PLACES) / 10**DECIMALS * self.units[i]
        if self.scales is not None:
            length = self.whole[i] @ self.whole[i] * self.scales[i] ** 2
            length *= self.units[i] / self.largest[i]
            scores = -np.sqrt(np.maximum(length - 2 * scores, 0))
        return Hits(tuple(_rows(keys).tolist()), tuple(scores.tolist()))


def _full(index: IndexVectors, queries: NDArray[np.float32]) -> _Asked:
    """Queries that are only cut off and normalized."""
    import numpy as np

    full = index.full_query(queries)
    exponents = np.zeros(len(full), np.int32)
    if not index.form.normalize:
        lengths = np.sqrt(np.einsum("ij,ij->i", full, full, dtype=np.float64))
        exponents = np.frexp(lengths)[1]  # of the next power of two
    # Unit vectors are longer than 1 by a last bit at most, for which there is room.
    exponent = math.frexp(index.bound)[1] if index.bound != 1 else 0
    whole = _whole(full, FRACTION - exponents[:, None])
    largest = np.full(len(full), 2.0 ** (2 * FRACTION))
    if not index.form.distance:
        units = np.ldexp(1.0, exponents + exponent)
        return _Asked(whole, FRACTION - exponent, largest, units)
    scales = np.ldexp(1.0, exponents - exponent)
    reach = scales + 0.5
    return _Asked(whole, FRACTION - exponent, largest * reach, reach * 4.0**exponent, scales)


def _coded(index: IndexVectors, queries: NDArray[np.float32]) -> _Asked:
    """Queries that are codes or bits, as the documents are."""
    import numpy as np

    codes = index.query(queries).astype(np.float64)
    greatest = {"int8": 128, "uint8": 255}.get(index.form.precision, 1)
    largest = np.full(len(codes), float(index.dimensions * greatest**2))
    return _Asked(codes, shift=0, largest=largest, units=np.ones(len(codes)))


def _whole(vectors: NDArray[np.float32], shift: int | NDArray[np.int32]) -> NDArray[np.float64]:
    import numpy as np

    whole = vectors.astype(np.float64)
    np.ldexp(whole, shift, out=whole)
    return np.rint(whole, out=whole)


def _places(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what stands for rows in a key; :func:`_rows` reads it."""
    import numpy as np

    return (_PLACES - 1 - rows).astype(np.float64)


def _rows(keys: NDArray[np.float64]) -> NDArray[np.int64]:
    import numpy as np

    return (_PLACES - 1 - np.mod(keys, _PLACES)).astype(np.int64)
