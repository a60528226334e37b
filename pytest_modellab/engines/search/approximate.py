"""Approximate search: an HNSW graph or an IVF index of faiss, the same every time."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines.packages import install_command
from pytest_modellab.engines.search import exact
from pytest_modellab.engines.search.forms import Form, IndexVectors
from pytest_modellab.engines.search.hits import Hits
from pytest_modellab.errors import (
    ConfigError,
    ModelError,
    VariantLoadError,
    near_misses,
    store_errors_as,
)
from pytest_modellab.store import files, folders
from pytest_modellab.store.arrays import no_space
from pytest_modellab.store.place import entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LAYOUT = 1
"""Raised when the same vectors give another index."""


BLOCK = 8192
"""Rows that are added at a time; another number would give another graph."""


LEAST = {
    "hnsw": {"M": 2, "efConstruction": 1, "efSearch": 1},
    "ivf": {"nlist": 1, "nprobe": 1, "seed": 0},
}
"""For each kind its settings, by faiss' names, with the least value that each may have."""


MOST = 2**31 - 1
"""Greatest value of a setting: faiss holds 32 bits."""


SEARCHED = ("efSearch", "nprobe")
"""Settings of the search: the same index serves all of their values."""


TRAINED = 64
"""Vectors for each list that the k-means of an IVF index sees; faiss wants 39 at least."""


_INDEX, _META = "index.faiss", "meta.json"


def defaults(kind: str, documents: int) -> dict[str, int]:
    """Return the settings of an index that says nothing else.

    HNSW's are the middle of what Malkov & Yashunin (2018) recommend. IVF has the power of two next
    to the documents' square root as lists, and looks into an eighth of them.
    """
    if kind == "hnsw":
        return {"M": 32, "efConstruction": 200, "efSearch": 128}
    lists = 2 ** round(math.log2(math.sqrt(documents)))
    return {"nlist": lists, "nprobe": max(1, lists // 8), "seed": 0}


@dataclasses.dataclass(frozen=True)
class ApproximateIndex:
    """An approximate index, ready to be searched.

    Attributes:
        index: the vectors that it was built of.
        kind: ``hnsw`` or ``ivf``.
        settings: all of the kind's.
        bytes: of the index with its vectors, as kept.
        seconds: wall time that building took, when it was done.
    """

    index: IndexVectors
    kind: str
    settings: Mapping[str, int]
    bytes: int
    seconds: float
    _searched: Any = dataclasses.field(repr=False)

    def search(self, queries: NDArray[np.float32], depth: int) -> list[Hits]:
        """Find each query's best documents, or most of them.

        Queries are asked one at a time and by one thread: faiss sums otherwise where many are
        asked together. What it finds is scored and ordered as by exact search.

        Args:
            queries: as the encoder gave them, of shape (queries, dimension).
            depth: documents in a ranking; fewer where the index comes upon fewer.

        Raises:
            ModelError: as :meth:`IndexVectors.query`.
        """
        faiss = _library()
        wanted = min(depth, len(self.index.data))
        if self.kind == "hnsw":
            given = faiss.SearchParametersHNSW(efSearch=self.settings["efSearch"])
        else:
            given = faiss.SearchParametersIVF(nprobe=self.settings["nprobe"])
        asked = self.index.query(queries)
        found: list[NDArray[np.int64]] = []
        with _alone(faiss):
            for i in range(len(asked)):
                _, rows = self._searched.search(asked[i : i + 1], wanted, params=given)
                found.append(rows[0][rows[0] >= 0])
        return exact.rank(self.index, queries, found, depth)


def build(
    index: IndexVectors, kind: str, settings: Mapping[str, int], cache: Path
) -> ApproximateIndex:
    """Return an approximate index, building it once.

    One thread builds it, from the first row to the last: that takes longer, but the same vectors
    give the same graph. It is held in memory meanwhile, and mapped from its file afterwards.

    Args:
        index: float32 vectors.
        kind: ``hnsw``, a graph (Malkov & Yashunin 2018), or ``ivf``, lists around the centres of a
            k-means.
        settings: by faiss' names, see :data:`LEAST`; :func:`defaults` stand in for the others.
        cache: the store's root.

    Raises:
        ConfigError: the vectors are quantized, or kind or settings are unknown or out of range.
        VariantLoadError: faiss is not installed.
        ModelError: no disk space.
    """
    chosen = _chosen(index, kind, settings)
    faiss = _library()
    built = {name: value for name, value in chosen.items() if name not in SEARCHED}
    target = entry(cache, "approximate", [LAYOUT, faiss.__version__, index.key, kind, built])

    def write(folder: Path) -> None:
        begun = time.perf_counter()
        made = _made(faiss, index, kind, chosen)
        seconds = time.perf_counter() - begun
        path = folder / _INDEX
        try:
            faiss.write_index(made, str(path))
        except RuntimeError as error:
            if "No space left" in str(error):
                raise no_space(target, index.data.nbytes) from error
            raise
        size = path.stat().st_size
        meta = {"crc32": files.checksum(path), "bytes": size, "seconds": seconds}
        files.write(folder / _META, meta, of="index")

    with store_errors_as(ModelError):
        searched, meta = folders.folder(
            target, write, functools.partial(_read, faiss), what=f"index {kind}"
        )
    return ApproximateIndex(index, kind, chosen, meta["bytes"], meta["seconds"], searched)


def _library() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise VariantLoadError(f"faiss is not installed: {install_command('faiss-cpu')}") from error
    return faiss


def check(kind: str, settings: Mapping[str, int], form: Form) -> None:
    """Refuse settings that no index has, whatever the corpus.

    Args:
        kind: ``hnsw`` or ``ivf``.
        settings: by faiss' names.
        form: how vectors are kept.

    Raises:
        ConfigError: an unknown kind or setting, one that is too small, or a quantized form.
    """
    if str(kind) not in LEAST:  # a file may say anything
        raise ConfigError(f"index: unknown kind {kind!r}; {near_misses(str(kind), LEAST)}")
    if form.quantized:
        raise ConfigError(
            f"index: {kind} is built of float32 vectors, but they are kept as {form.precision}; "
            'set vectors = "float32", or leave the index out for exact search'
        )
    least = LEAST[kind]
    for name, value in settings.items():
        if name not in least:
            raise ConfigError(f"index: {kind} has no setting {name!r}; {near_misses(name, least)}")
        if type(value) is not int or not least[name] <= value <= MOST:
            raise ConfigError(
                f"index: {name} = {value!r}, expected a whole number of at least {least[name]}"
            )


def _chosen(index: IndexVectors, kind: str, settings: Mapping[str, int]) -> dict[str, int]:
    check(kind, settings, index.form)
    documents = len(index.data)
    chosen = {**defaults(kind, documents), **settings}
    if chosen.get("nlist", 1) > documents:
        raise ConfigError(
            f"index: nlist = {chosen['nlist']} lists cannot be made of {documents} documents; "
            "choose fewer, about the square root of the documents"
        )
    return chosen


def _read(faiss: Any, folder: Path) -> tuple[Any, dict[str, Any]] | None:
    path = folder / _INDEX

    def right(meta: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        if files.checksum(path) != meta["crc32"]:
            return None
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC), meta

    return files.read(folder / _META, right, of="index")


def _made(faiss: Any, index: IndexVectors, kind: str, chosen: Mapping[str, int]) -> Any:
    with _alone(faiss):
        if kind == "hnsw":
            made = faiss.IndexHNSWFlat(index.dimensions, chosen["M"], faiss.METRIC_INNER_PRODUCT)
            made.hnsw.efConstruction = chosen["efConstruction"]
        else:
            made = _trained(faiss, index, chosen)
        for start in range(0, len(index.data), BLOCK):
            made.add(index.decode(index.data[start : start + BLOCK]))
    return made


def _trained(faiss: Any, index: IndexVectors, chosen: Mapping[str, int]) -> Any:
    """An IVF index with its lists' centres and nothing in them."""
    import numpy as np

    documents, lists = len(index.data), chosen["nlist"]
    size = min(documents, TRAINED * lists)
    drawn = np.random.default_rng(chosen["seed"]).choice(documents, size, replace=False)
    metric = faiss.METRIC_INNER_PRODUCT
    quantizer = faiss.IndexFlat(index.dimensions, metric)
    made = faiss.IndexIVFFlat(quantizer, index.dimensions, lists, metric)
    made.cp.seed = chosen["seed"]
    made.cp.min_points_per_centroid = 1  # a small corpus is no reason for a warning on stderr
    made.train(index.decode(index.data[np.sort(drawn)]))
    return made


@contextlib.contextmanager
def _alone(faiss: Any) -> Iterator[None]:
    """Let faiss use one thread: the order of its sums is then always the same."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
