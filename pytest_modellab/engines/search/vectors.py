"""Vectors of a corpus, encoded once and kept in a file that every index is made from."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.engines.interface import Encoder
from pytest_modellab.errors import ModelError, store_errors_as
from pytest_modellab.records.tasks import Corpus, Document
from pytest_modellab.store.arrays import Known, keep
from pytest_modellab.store.place import entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

LAYOUT = 1
"""Raised when what is kept changes: stored vectors of another layout are made anew."""


BLOCK = 2048
"""Documents that are encoded and kept at a time; a kill loses at most so many."""


@dataclasses.dataclass(frozen=True)
class Vectors:
    """A corpus' vectors as the encoder gave them.

    Attributes:
        data: float32 of shape (documents, dimension), read-only, in the file and not in memory.
        key: 16 hex digits, of encoder and corpus.
        documents: rows.
        dimension: numbers in a vector.
        norms: the shortest and the longest vector's length.
        seconds: wall time that encoding took, when it was done.
        tokens: of all documents, as they were encoded.
    """

    data: NDArray[np.float32]
    key: str
    documents: int
    dimension: int
    norms: tuple[float, float]
    seconds: float
    tokens: int


def obtain(
    encoder: Encoder,
    corpus: Corpus,
    cache: Path,
    progress: Callable[[int, int], None],
    *,
    block: int = BLOCK,
) -> Vectors:
    """Return a corpus' vectors, encoding what is not kept yet.

    Args:
        encoder: the embedding model.
        corpus: read block by block; memory does not grow with it.
        cache: the store's root.
        progress: called with documents encoded and documents in all, after each block.
        block: documents in a block; an encoding that was cut off is taken up with the same only.

    Raises:
        ModelError: the corpus is empty or changes meanwhile, a vector is not finite or of another
            length than the encoder says, or there is no disk space.
        OutOfMemory: as :meth:`Encoder.encode`.
    """
    documents, dimension = len(corpus), encoder.dimension
    if not documents:
        raise ModelError("the corpus holds no documents: there is nothing to search")
    folder = entry(cache, "vectors", [LAYOUT, encoder.key, corpus.hash])

    def encode(start: int, known: Known) -> Iterator[tuple[NDArray[np.float32], Known]]:
        done = start
        for chosen in corpus.blocks(block, start):
            texts = [document.content for document in chosen]
            begun = time.perf_counter()
            found = encoder.encode(texts, "passage")
            seconds = time.perf_counter() - begun
            lengths = _lengths(found, chosen, dimension)
            known = {
                "seconds": known.get("seconds", 0.0) + seconds,
                "tokens": known.get("tokens", 0) + sum(encoder.count_tokens(texts, "passage")),
                "shortest": min(known.get("shortest", math.inf), float(lengths.min())),
                "longest": max(known.get("longest", 0.0), float(lengths.max())),
            }
            yield found, known
            done += len(chosen)
            progress(done, documents)
        if done != documents:
            raise ModelError(
                f"the corpus holds {documents} documents, but {done} could be read: it has changed "
                "meanwhile; start again"
            )

    with store_errors_as(ModelError):
        data, known = keep(folder, (documents, dimension), "float32", encode, block=block)
    return Vectors(
        data=data,
        key=folder.name,
        documents=documents,
        dimension=dimension,
        norms=(known["shortest"], known["longest"]),
        seconds=known["seconds"],
        tokens=known["tokens"],
    )


def _lengths(
    found: NDArray[np.float32], chosen: Sequence[Document], dimension: int
) -> NDArray[np.float64]:
    """Check a block, and return its vectors' lengths."""
    import numpy as np

    if found.shape != (len(chosen), dimension):
        raise ModelError(
            f"the encoder gave an array of shape {found.shape} for {len(chosen)} documents and "
            f"says that a vector has {dimension} numbers; correct its 'dimension' or its answer"
        )
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", found, found, dtype=np.float64)
    lengths = np.sqrt(squares)
    broken = np.flatnonzero(~np.isfinite(lengths))
    if len(broken):
        raise ModelError(
            f"the vector of document {chosen[int(broken[0])].id!r} holds NaN or infinity "
            f"({len(broken)} of {len(chosen)} documents of this block do): a model in float16 may "
            "overflow, load it in float32 or bfloat16"
        )
    return lengths
