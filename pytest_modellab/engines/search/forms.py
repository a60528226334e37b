"""How vectors are kept in an index: cut off, normalized, quantized.

The quantization is sentence-transformers' own, so that what is judged is what its users deploy.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_modellab.engines.encoders.texts import Similarity
from pytest_modellab.engines.packages import install_command
from pytest_modellab.engines.search.vectors import Vectors
from pytest_modellab.errors import ModelError, VariantLoadError, store_errors_as
from pytest_modellab.store.arrays import Known, keep
from pytest_modellab.store.place import entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LAYOUT = 1
"""Raised when the same vectors are kept otherwise."""


BLOCK = 8192
"""Rows that are read and written at a time."""


UNIT = 1e-6
"""Vectors whose lengths are all so near to 1 are not normalized again."""


Precision = Literal["float32", "int8", "uint8", "binary", "ubinary"]


@dataclasses.dataclass(frozen=True)
class Form:
    """How an index keeps a vector; the three steps are taken in this order.

    Attributes:
        dimensions: the first numbers that are kept, for models trained to bear it (Kusupati et al.
            2022, "Matryoshka Representation Learning"); None keeps all.
        precision: ``float32``; ``int8`` or ``uint8``, where 255 equal steps lie between each
            number's least and greatest value in the corpus; ``binary`` or ``ubinary``, where one
            bit says whether a number is above 0.
        similarity: how it is compared; None takes the model's own, or else the cosine, as
            sentence-transformers does.
    """

    dimensions: int | None = None
    precision: Precision = "float32"
    similarity: Similarity | None = None

    @property
    def normalize(self) -> bool:
        """Whether a vector is divided by its length, so that inner products are cosines."""
        return self.similarity in (None, "cosine")

    @property
    def distance(self) -> bool:
        """Whether vectors are compared by how far they lie apart."""
        return self.similarity in ("euclidean", "manhattan")

    def problem(self, *, indexed: bool) -> str | None:
        """Say why vectors of this form cannot be compared so, or None.

        Args:
            indexed: whether an approximate index finds them.
        """
        if not self.distance or not (self.quantized or indexed):
            return None
        where = f"{self.precision} vectors" if self.quantized else "an approximate index"
        return (
            f"{self.similarity!r}: {where} can be searched by inner products only; choose "
            'similarity = "cosine" or "dot", or exact search over float32 vectors'
        )

    def identity(self) -> dict[str, Any]:
        """Return what a ranking depends on."""
        found = {
            "dimensions": self.dimensions,
            "normalize": self.normalize,
            "precision": self.precision,
        }
        return {**found, "similarity": self.similarity} if self.distance else found

    @property
    def quantized(self) -> bool:
        """Whether a vector is kept in fewer bits than the encoder gave it."""
        return self.precision != "float32"

    @property
    def scalar(self) -> bool:
        """Whether each number has its own code."""
        return self.precision in ("int8", "uint8")

    def shorten(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut off and normalize rows; a row of zeros stays one."""
        import numpy as np

        shortened = vectors[:, : self.dimensions]
        if self.normalize:
            lengths = np.sqrt(np.einsum("ij,ij->i", shortened, shortened, dtype=np.float64))
            # The same guard as in torch.nn.functional.normalize.
            shortened = shortened / np.maximum(lengths, 1e-12)[:, None]
        return np.ascontiguousarray(shortened, np.float32)

    def quantize(
        self, vectors: NDArray[np.float32], ranges: NDArray[np.float32] | None
    ) -> NDArray[Any]:
        """Quantize rows that are cut off and normalized.

        Args:
            vectors: of shape (rows, numbers).
            ranges: for int8 and uint8 the least and greatest value of each number, of shape
                (2, numbers); what lies beyond takes the outermost code.

        Returns:
            One code a number, or the bits in bytes, the last byte filled up with zeros.

        Raises:
            VariantLoadError: sentence-transformers is not installed.
        """
        if not self.quantized:
            return vectors
        try:
            from sentence_transformers.util.quantization import quantize_embeddings
        except ImportError as error:
            package = "sentence-transformers"
            raise VariantLoadError(
                f"{package} is not installed: {install_command(package)}"
            ) from error
        codes: NDArray[Any] = quantize_embeddings(vectors, self.precision, ranges=ranges)
        return codes

    def decode(self, codes: NDArray[Any], dimensions: int) -> NDArray[np.float32]:
        """Return codes as the numbers that an index multiplies: as they are, a bit as 1 or -1."""
        import numpy as np

        if self.precision in ("float32", "int8", "uint8"):
            return np.asarray(codes, np.float32)
        # "binary" is "ubinary" less 128, which is its highest bit turned over.
        turned = np.uint8(0x80 if self.precision == "binary" else 0)
        bits = np.unpackbits(codes.view(np.uint8) ^ turned, axis=-1, count=dimensions)
        return np.where(bits, np.float32(1), np.float32(-1))


@dataclasses.dataclass(frozen=True)
class IndexVectors:
    """A corpus' vectors as an index keeps them.

    Attributes:
        data: one row a document, read-only, in the file and not in memory.
        form: how they are kept.
        key: 16 hex digits, of vectors and form.
        dimension: numbers in a vector of the model.
        dimensions: numbers that are kept of it.
        bound: no row of :meth:`values` is longer.
        ranges: of int8 and uint8 the least and greatest value of each number, shape
            (2, dimensions); else None.
    """

    data: NDArray[Any]
    form: Form
    key: str
    dimension: int
    dimensions: int
    bound: float
    ranges: NDArray[np.float32] | None = None

    @property
    def bytes_per_document(self) -> float:
        """Bytes of one row; the ranges, which all share, are not counted."""
        return float(self.data.shape[1] * self.data.itemsize)

    def decode(self, block: NDArray[Any]) -> NDArray[np.float32]:
        """Return rows of ``data`` as what :meth:`query` is multiplied with: (rows, dimensions)."""
        return self.form.decode(block, self.dimensions)

    def values(self, block: NDArray[Any]) -> NDArray[np.float32]:
        """Return rows of ``data`` as what :meth:`full_query` is multiplied with.

        Codes of int8 and uint8 are put back between their ranges, as sentence-transformers does
        before it rescores: ``least + code × (greatest - least) / 255``.
        """
        import numpy as np

        decoded = self.decode(block)
        if self.ranges is None:
            return decoded
        least, greatest = self.ranges.astype(np.float64)
        steps = np.where(greatest == least, 1.0, (greatest - least) / 255)
        codes = decoded + (128.0 if self.form.precision == "int8" else 0.0)
        return np.asarray(codes * steps + least, np.float32)

    def full_query(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut off and normalize queries, and no more.

        Args:
            queries: as the encoder gave them, of shape (queries, dimension).

        Returns:
            Float32 of shape (queries, dimensions).

        Raises:
            ModelError: queries of another length than the documents' vectors, NaN or infinity.
        """
        import numpy as np

        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise ModelError(
                f"queries of {queries.shape[-1]} numbers cannot be compared with documents of "
                f"{self.dimension}: encode both with the same model, and leave cutting off to "
                "'dimensions'"
            )
        broken = np.flatnonzero(~np.isfinite(queries).all(axis=1))
        if len(broken):
            raise ModelError(
                f"the vector of query {int(broken[0])} holds NaN or infinity ({len(broken)} of "
                f"{len(queries)} queries do): a model in float16 may overflow, load it in float32 "
                "or bfloat16"
            )
        return self.form.shorten(queries)

    def query(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put queries through all that the documents went through; otherwise :meth:`full_query`."""
        shortened = self.full_query(queries)
        return self.decode(self.form.quantize(shortened, self.ranges))


def index(vectors: Vectors, form: Form, cache: Path) -> IndexVectors:
    """Return vectors in the form that an index keeps them in, making it once.

    Where the form changes nothing, the vectors' own file is used.

    Args:
        vectors: from :func:`pytest_modellab.engines.search.vectors.obtain`.
        form: how they are kept.
        cache: the store's root.

    Raises:
        ModelError: ``dimensions`` is more than the model has, nothing is searched by the
            similarity, or there is no disk space.
        VariantLoadError: sentence-transformers is not installed, which quantizes.
    """
    import numpy as np

    if form.similarity == "manhattan":
        raise ModelError(
            "similarity: 'manhattan' compares pairs of texts, but no corpus is searched by it; "
            'choose "euclidean", "cosine" or "dot"'
        )
    dimensions = kept_dimensions(form, vectors.dimension)
    made_of = [LAYOUT, vectors.key, dimensions, form.precision, form.normalize]
    folder = entry(cache, "forms", made_of)
    unit = all(abs(norm - 1) <= UNIT for norm in vectors.norms)
    whole = dimensions == vectors.dimension and (unit or not form.normalize)
    bound = 1.0 if form.normalize else vectors.norms[1]
    if whole and not form.quantized:
        return IndexVectors(vectors.data, form, folder.name, vectors.dimension, dimensions, bound)

    def blocks(start: int) -> Iterator[NDArray[np.float32]]:
        for row in range(start, vectors.documents, BLOCK):
            yield form.shorten(vectors.data[row : row + BLOCK])

    def derive(start: int, known: Known) -> Iterator[tuple[NDArray[Any], Known]]:
        if form.scalar and not known:
            known = {"ranges": _ranges(blocks(0)).tolist()}
        found = np.array(known["ranges"], np.float32) if form.scalar else None
        for block in blocks(start):
            yield form.quantize(block, found), known

    nothing = np.zeros((2, dimensions), np.float32)
    first = form.quantize(nothing, nothing)
    shape = (vectors.documents, first.shape[1])
    with store_errors_as(ModelError):
        data, known = keep(folder, shape, first.dtype.name, derive, block=BLOCK)
    ranges = np.array(known["ranges"], np.float32) if form.scalar else None
    if ranges is not None:
        # In rounding up a code's step the sum may pass the range by one unit in the last place.
        bound = 1.001 * float(np.linalg.norm(np.abs(ranges).max(axis=0)))
    elif form.quantized:
        bound = math.sqrt(dimensions)
    return IndexVectors(data, form, folder.name, vectors.dimension, dimensions, bound, ranges)


def _ranges(blocks: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return each number's least and greatest value, of shape (2, numbers)."""
    import numpy as np

    first = next(blocks)
    least, greatest = first.min(axis=0), first.max(axis=0)
    for block in blocks:
        least = np.minimum(least, block.min(axis=0))
        greatest = np.maximum(greatest, block.max(axis=0))
    return np.vstack([least, greatest])


def kept_dimensions(form: Form, dimension: int) -> int:
    """Return how many numbers of a model's vector the form keeps.

    Raises:
        ModelError: more than the model has, or none.
    """
    kept = dimension if form.dimensions is None else form.dimensions
    if not 1 <= kept <= dimension:
        raise ModelError(
            f"dimensions: {kept} cannot be kept of the model's vectors, which have {dimension} "
            f"numbers; choose 1 to {dimension}"
        )
    return kept


def compared(vectors: NDArray[np.float32], form: Form) -> NDArray[np.float32]:
    """Return texts' vectors as two texts are compared by, without a corpus; see :func:`likeness`.

    Args:
        vectors: as the encoder gave them, of shape (texts, dimension).
        form: how they are kept; bits are scaled, so that a text's product with itself is 1.

    Returns:
        Float32 of shape (texts, dimensions).

    Raises:
        ModelError: as :func:`index`, or int8 or uint8, whose ranges are a corpus'.
    """
    import numpy as np

    dimensions = kept_dimensions(form, vectors.shape[1])
    if form.scalar:
        raise ModelError(
            f"vectors: {form.precision} takes the range of each number from a corpus, and pairs "
            'of texts have none: compare them by a variant with vectors = "float32" or "binary"'
        )
    kept = form.decode(form.quantize(form.shorten(vectors), None), dimensions)
    return kept / np.float32(math.sqrt(dimensions)) if form.quantized else kept


def likeness(
    one: NDArray[np.float32], others: NDArray[np.float32], form: Form
) -> NDArray[np.float32]:
    """Compare a text with others, greater for more alike.

    Args:
        one: a row of :func:`compared`.
        others: rows of it.
        form: as there.

    Returns:
        A number for each of the others: the inner product, or the distance below 0.
    """
    import numpy as np

    if not form.distance:
        return np.asarray(others @ one)
    order = 1 if form.similarity == "manhattan" else 2
    return np.asarray(-np.linalg.norm(others - one, ord=order, axis=1))
