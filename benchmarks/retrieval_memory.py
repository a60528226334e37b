"""Does memory stay flat as a corpus grows? `python -m benchmarks.retrieval_memory`.

Documents are made as they are read, and the encoder is synthetic: the mean of random vectors of a
text's words. So what is measured is the harness (reading, keeping, indexing, exact search), not a
model. Every size and form has a process of its own; its anonymous memory is what it holds for
itself, mapped files left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pytest_modellab.engines.interface import Role
from pytest_modellab.engines.search import exact, forms, vectors
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.tasks import Document

DIMENSION = 384
VOCABULARY = 4096
WORDS = (20, 60)
QUERIES = 100
DEPTH = 100
FORMS = {
    "float32": forms.Form(),
    "float32/128": forms.Form(dimensions=128),
    "int8": forms.Form(precision="int8"),
    "binary": forms.Form(precision="binary"),
}
GROWTH = 32
"""MiB that the peak of the largest corpus may lie above that of the smallest, whose blocks are not
all full; a million vectors in memory would be 1,465."""


class Synthetic:
    """A corpus of random words, the same ones for the same row."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.hash = digest(["synthetic", VOCABULARY, WORDS, size])[:16]

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, row: int) -> Document:
        random = np.random.default_rng(row)
        words = random.integers(0, VOCABULARY, random.integers(*WORDS))
        return Document(str(row), " ".join(f"w{word}" for word in words))

    def blocks(self, size: int, start: int = 0) -> Iterator[Sequence[Document]]:
        for first in range(start, self._size, size):
            yield [self[row] for row in range(first, min(first + size, self._size))]


class Projection:
    """An encoder without a model: the mean of the words' random vectors, at length 1."""

    key = digest(["projection", VOCABULARY, DIMENSION])[:16]
    dimension = DIMENSION

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self._table = random.normal(size=(VOCABULARY, DIMENSION)).astype(np.float32)

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        found = np.empty((len(texts), DIMENSION), np.float32)
        for i, text in enumerate(texts):
            words = [zlib.crc32(word.encode()) % VOCABULARY for word in text.split()]
            mean = self._table[words].mean(axis=0)
            found[i] = mean / np.linalg.norm(mean)
        return found

    def count_tokens(self, texts: Sequence[str], role: Role) -> Sequence[int]:
        return [len(text.split()) for text in texts]

    def parameter_bytes(self) -> int:
        return self._table.nbytes

    def close(self) -> None:
        pass


class Peak:
    """The most anonymous memory that this process held in the block, in MiB."""

    def __init__(self) -> None:
        self.mib = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.mib = max(self.mib, anonymous())
            if self._done.wait(0.01):
                return


def anonymous() -> float:
    """Anonymous memory of this process in MiB, as Linux counts it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def measure(documents: int, form: str, cache: Path) -> dict[str, float]:
    """Encode (or take from the store), index and search, and return seconds and peak."""
    corpus, encoder = Synthetic(documents), Projection()
    if FORMS[form].quantized:
        import sentence_transformers.util.quantization  # noqa: F401  # part of the start
    found = {"start": anonymous()}
    with Peak() as peak:
        begun = time.perf_counter()
        kept = vectors.obtain(encoder, corpus, cache, lambda done, total: None)
        found["obtain"] = time.perf_counter() - begun
        begun = time.perf_counter()
        index = forms.index(kept, FORMS[form], cache)
        found["index"] = time.perf_counter() - begun
        # Every query is a document with half of its words, so that there is something to find.
        rows = np.linspace(0, documents - 1, QUERIES, dtype=int)
        texts = [corpus[int(row)].text.split() for row in rows]
        queries = encoder.encode([" ".join(words[::2]) for words in texts], "query")
        begun = time.perf_counter()
        hits = exact.search(index, queries, DEPTH, rescore=4)
        found["search"] = time.perf_counter() - begun
    best = [row in hit.rows[:1] for row, hit in zip(rows.tolist(), hits, strict=True)]
    found["found"] = sum(best) / QUERIES
    return {**found, "peak": peak.mib, "bytes": index.bytes_per_document}


def main() -> int:
    """Measure each size and form in a process of its own; fail where memory grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument(
        "--cache", type=Path, help="where vectors are kept; else deleted at the end"
    )
    parser.add_argument("--only", choices=FORMS, help="measure one size and form here, as JSON")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.documents[0], options.only, options.cache)))
        return 0
    print(
        f"Synthetic encoder ({DIMENSION} numbers) and corpus: the harness alone is measured, no "
        f"model.\n{QUERIES} queries, {DEPTH} documents each, rescored fourfold where quantized; "
        "'encode' is read from the store after the first form.\n"
    )
    print(
        f"{'documents':>9} {'form':11} {'B/doc':>5} {'encode s':>8} {'doc/s':>7} {'index s':>7} "
        f"{'search s':>8} {'found':>5} {'start MiB':>9} {'peak MiB':>8}"
    )
    peaks: dict[str, list[float]] = {form: [] for form in FORMS}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        cache = options.cache or Path(temporary)
        for documents in sorted(options.documents):
            for form in FORMS:
                arguments = ["--documents", str(documents), "--only", form, "--cache", str(cache)]
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.retrieval_memory", *arguments],
                    stdout=subprocess.PIPE,
                    check=True,
                )
                row = json.loads(done.stdout.splitlines()[-1])
                peaks[form].append(row["peak"])
                print(
                    f"{documents:9} {form:11} {row['bytes']:5.0f} {row['obtain']:8.2f} "
                    f"{documents / row['obtain']:7.0f} {row['index']:7.2f} {row['search']:8.2f} "
                    f"{row['found']:5.2f} {row['start']:9.0f} {row['peak']:8.0f}",
                    flush=True,
                )
    growth = {form: found[-1] - found[0] for form, found in peaks.items()}
    print(f"\npeak of the largest less that of the smallest, at most {GROWTH} MiB:", end=" ")
    print(", ".join(f"{form} {mib:+.0f}" for form, mib in growth.items()))
    return 0 if max(growth.values()) <= GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
