"""Lexical search: BM25 over the words that query and document share."""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines.packages import needed
from pytest_modellab.engines.search.hits import Hits
from pytest_modellab.errors import ModelError, VariantLoadError, store_errors_as
from pytest_modellab.records.tasks import Corpus
from pytest_modellab.store import files, folders, manifest
from pytest_modellab.store.files import checksum
from pytest_modellab.store.place import entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 2
"""Raised when an index of the same corpus would be another."""


SETTINGS = {"method": "lucene", "k1": 1.5, "b": 0.75, "dtype": "float32"}


TOKENS = {"lower": True, "stopwords": "english", "splitter": r"(?u)\b\w\w+\b"}
"""Words of two or more letters and digits, in lower case, no English stop words, not stemmed."""


BLOCK = 1000
"""Documents read at a time."""


DECIMALS = 6
"""To which scores are rounded, so that equal documents tie whatever order numpy adds in."""


_BUILD = "build.json"


_BESIDE = (_BUILD, manifest.NAME)
"""What lies beside the index in its folder."""


class Lexical:
    """BM25 over a corpus, by bm25s (Lù 2024), which keeps every word's scores in a sparse matrix.

    Lucene's variant (Kamphuis et al. 2020) of Robertson et al. 1994: a document of length l scores
    the sum over the query's words of ln(1 + (N - df + 0.5) / (df + 0.5)) × tf / (tf + k1 (1 - b +
    b l / mean l)), for N documents, df of them with the word, tf times in this one.

    Args:
        folder: what :meth:`obtain` wrote; its arrays stay on disk and are mapped into memory.
    """

    def __init__(self, folder: Path) -> None:
        bm25s = _library()
        build = json.loads((folder / _BUILD).read_text(encoding="utf-8"))
        self.documents: int = build["documents"]
        self.seconds: float = build["seconds"]
        """Seconds that it took to build the index, whenever that was."""
        self._folder = folder
        self._index = bm25s.BM25.load(folder, mmap=True)
        self._tokenizer = bm25s.tokenization.Tokenizer(**TOKENS)
        self._tokenizer.word_to_id = self._index.vocab_dict

    @classmethod
    def obtain(cls, corpus: Corpus, cache: Path, progress: Callable[[int, int], None]) -> Lexical:
        """Index a corpus, or take the index from the store.

        Args:
            corpus: what is searched; read block by block, its words' numbers are held in memory.
            cache: the store's root.
            progress: called with documents read and documents in all, while the index is built.

        Raises:
            ModelError: no space for the index.
            VariantLoadError: bm25s is missing, or the corpus has no word.
        """
        bm25s = _library()
        made_of = [VERSION, corpus.hash, SETTINGS, TOKENS, bm25s.__version__]
        with store_errors_as(ModelError):
            folder = folders.folder(
                entry(cache, "lexical", made_of),
                lambda made: _write(corpus, made, progress),
                _whole,
                what=f"model 'BM25' (source = 'corpus {corpus.hash}')",
            )
        return cls(folder)

    def search(self, queries: Sequence[str], depth: int) -> list[Hits]:
        """Rank the documents that share a word with a query.

        Args:
            queries: any number; a word said twice counts twice.
            depth: most documents in a ranking.

        Returns:
            One ranking a query, of documents with BM25's score, equal ones in the corpus' order;
            empty where no document has one of the query's words.
        """
        words = self._tokenizer.streaming_tokenize(queries, update_vocab="never", allow_empty=False)
        return [_best(self._index.get_scores_from_ids(ids), depth) for ids in words]

    def bytes(self) -> int:
        """Bytes of the index on disk."""
        return sum(f.stat().st_size for f in self._folder.iterdir() if f.name not in _BESIDE)


def _library() -> Any:
    with needed("searching with BM25", extra="embedding"):
        import bm25s
    return bm25s


def _write(corpus: Corpus, folder: Path, progress: Callable[[int, int], None]) -> None:
    """Build the index of a corpus and write it to ``folder``."""
    bm25s = _library()
    start = time.perf_counter()
    tokenizer = bm25s.tokenization.Tokenizer(**TOKENS)
    words = tokenizer.streaming_tokenize(_contents(corpus, progress), allow_empty=False)
    tokens = [array("i", ids) for ids in words]  # half a list's bytes
    if not tokenizer.word_to_id:
        raise VariantLoadError(
            f"BM25: no document of the corpus {corpus.hash} has a word that counts (two letters or "
            "digits, no stop word); search it with an embedding model"
        )
    index = bm25s.BM25(**SETTINGS)
    index.index((tokens, tokenizer.word_to_id), create_empty_token=False, show_progress=False)
    index.save(folder)
    build = {
        "documents": len(tokens),
        "seconds": round(time.perf_counter() - start, 6),
        "checksums": _checksums(folder),
    }
    files.write(folder / _BUILD, build, of="index")


def _checksums(folder: Path) -> dict[str, int]:
    return {f.name: checksum(f) for f in sorted(folder.iterdir()) if f.name not in _BESIDE}


def _whole(folder: Path) -> Path | None:
    """Return the folder of an index that is what was written, else None."""

    def right(build: Mapping[str, Any]) -> Path | None:
        return folder if build["checksums"] == _checksums(folder) else None

    return files.read(folder / _BUILD, right, of="index")


def _contents(corpus: Corpus, progress: Callable[[int, int], None]) -> Iterator[str]:
    done = 0
    for block in corpus.blocks(BLOCK):
        for document in block:
            yield document.content
        done += len(block)
        progress(done, len(corpus))


def _best(scores: NDArray[np.float32], depth: int) -> Hits:
    """Return the best of one score a row; 0 stands for no word in common."""
    import numpy as np

    rows = np.flatnonzero(scores)
    values = scores[rows].astype(np.float64).round(DECIMALS)
    if len(rows) > depth:
        enough = values >= np.partition(values, -depth)[-depth]
        rows, values = rows[enough], values[enough]
    order = np.argsort(-values, kind="stable")[:depth]  # stable: equal ones stay in row order
    return Hits(tuple(rows[order].tolist()), tuple(values[order].tolist()))
