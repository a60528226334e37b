"""A corpus that stays on the disk: ``corpus.jsonl``, one document a line, as BEIR has it.

One pass over the file checks every line, hashes the documents and leaves an index in the cache: of
each document the byte that its line starts at, and an 8-byte key of its id. From then on the index
is mapped into memory and documents are read where they stand, so that what is held grows by nothing
but pages that the system can take back; the first pass holds 32 bytes a document.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Document
from pytest_modellab.store import files
from pytest_modellab.store.place import entry
from pytest_modellab.tasksets import entries, kept, lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 2
"""Raised when the index or the hash changes what it holds."""


_REQUIRED: lines.Types = {"_id": str, "text": str}


_OPTIONAL: lines.Types = {"title": str, "metadata": dict}


SHOWN = 10
"""Most documents without a title and a text that are named."""


_INDEX, _META = "index.npy", "index.json"


@dataclasses.dataclass(frozen=True, eq=False)
class FileCorpus:
    """A :class:`pytest_modellab.records.tasks.Corpus` in a file; made by :func:`read`.

    Attributes:
        path: the file.
        hash: sha256 over ids, titles and texts in order, 16 hex digits; neither the file's place
            nor its formatting nor its other keys change it.
        stamp: size in bytes and time of the last change in ns, when the file was read.
        empty: how many documents have neither title nor text, and the ids of the first.
        index: int64 of shape (3, documents), mapped: the byte that each document starts at, the
            keys of all ids ascending, and the row of each of these keys.
    """

    path: Path
    hash: str
    stamp: tuple[int, int]
    empty: tuple[int, tuple[str, ...]]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.index.shape[1])

    def __getitem__(self, row: int) -> Document:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a corpus with {len(self)} documents")
        with self._open() as file:
            return self._document(file, row)

    def blocks(self, size: int, start: int = 0) -> Iterator[Sequence[Document]]:
        if size < 1:
            raise ValueError(f"a block of {size} documents; at least one")
        if start >= len(self):
            return
        with self._open() as file:
            file.seek(int(self.index[0, start]))
            block: list[Document] = []
            for raw in file:
                if raw.strip():
                    block.append(_document(str(self.path), json.loads(raw)))
                if len(block) == size:
                    yield block
                    block = []
            if block:
                yield block

    def rows(self, ids: Iterable[str]) -> dict[str, int]:
        """Return the row of every id that is in the corpus.

        Raises:
            TaskSetError: the file has changed since it was read.
        """
        found: dict[str, int] = {}
        keys = self.index[1]
        with self._open() as file:
            for id in ids:
                key = _key(id)
                for place in range(*(int(keys.searchsorted(key, s)) for s in ("left", "right"))):
                    row = int(self.index[2, place])
                    if self._document(file, row).id == id:
                        found[id] = row
        return found

    def _open(self) -> BinaryIO:
        if _stamp(self.path) != self.stamp:
            raise TaskSetError(f"{self.path}: changed since it was read; start the session again")
        return self.path.open("rb")

    def _document(self, file: BinaryIO, row: int) -> Document:
        file.seek(int(self.index[0, row]))
        return _document(str(self.path), json.loads(file.readline()))


def read(path: Path, cache: Path) -> FileCorpus:
    """Open a corpus, indexing it where it is new or has changed.

    Args:
        path: ``corpus.jsonl``; each line an object with ``_id``, ``text`` and perhaps ``title`` and
            ``metadata``.
        cache: root of the store; the index is kept in ``corpora/`` by the file's place, size and
            time of change.

    Returns:
        The corpus in file order.

    Raises:
        TaskSetError: the file cannot be read, holds no document, only empty ones, two of one id, or
            a malformed line; the message names the line.
    """
    stamp = _stamp(path)
    target = entry(cache, "corpora", [VERSION, str(path.resolve()), *stamp])
    found = kept.folder(
        target, lambda folder: _write(path, folder), _load, what="the index of a corpus"
    )
    return FileCorpus(path, found[0], stamp, found[1], found[2])


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise TaskSetError(f"{path}: cannot be read: {error}") from error
    return status.st_size, status.st_mtime_ns


def _document(where: str, data: dict[str, Any]) -> Document:
    """Make a document of a line of a corpus that was read."""
    return _made(_plain(where, data))


def _made(data: dict[str, Any]) -> Document:
    return Document(data["_id"], data["text"], data.get("title", ""))


def _plain(where: str, data: dict[str, Any]) -> dict[str, Any]:
    get = data.get
    if type(get("_id")) is type(get("text")) is type(get("title", "")) is str and (
        type(get("metadata", data)) is dict
    ):
        return data  # as BEIR has it, like nearly every line
    found = entries.plain(where, data, entries.DOCUMENT)
    return {"text": "", **found} if "text" in data else found  # null is an empty text


def _key(id: str) -> int:
    raw = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "big", signed=True)


def _write(path: Path, folder: Path) -> None:
    """Index the file's documents into ``folder``."""
    import numpy as np

    starts, keys, content = array("q"), array("q"), hashlib.sha256()
    empty: list[str] = []
    for where, start, raw_data in lines.objects(path):
        data = _plain(where, raw_data)
        lines.check_types(where, data, _REQUIRED, _OPTIONAL)
        document = _made(data)
        lines.check_filled(where, data, "_id")
        lines.check_id(where, data, "_id")
        if not document.content:
            empty.append(document.id)
        try:
            for part in (document.id, document.title, document.text):
                raw = part.encode()
                content.update(b"%d:" % len(raw))  # the length parts what follows from what is next
                content.update(raw)
        except UnicodeEncodeError:
            lines.check_sayable(where, data)
            raise
        starts.append(start)
        keys.append(_key(document.id))
    if not starts:
        raise TaskSetError(f"{path}: holds no document")
    if len(empty) == len(starts):
        raise TaskSetError(f"{path}: no document has a title or a text; name them title and text")

    index = np.lib.format.open_memmap(
        folder / _INDEX, mode="w+", dtype=np.int64, shape=(3, len(starts))
    )
    index[0] = np.frombuffer(starts, dtype=np.int64)
    found = np.frombuffer(keys, dtype=np.int64)
    index[2] = found.argsort(kind="stable")
    np.take(found, index[2], out=index[1])
    _check_unique(path, index)
    index.flush()
    meta = {
        "hash": content.hexdigest()[:16],
        "index": _file_hash(folder / _INDEX),
        "empty": [len(empty), empty[:SHOWN]],
    }
    files.write(folder / _META, meta, of="corpus")


def _check_unique(path: Path, index: NDArray[np.int64]) -> None:
    """Refuse two documents of one id; equal keys are read again, as two ids may share one."""
    same = (index[1, 1:] == index[1, :-1]).nonzero()[0]
    with path.open("rb") as file:
        for place in same:
            row = int(index[2, place + 1])
            file.seek(int(index[0, row]))
            id = _document(str(path), json.loads(file.readline())).id
            first = place
            while first >= 0 and index[1, first] == index[1, place]:
                other = int(index[2, first])
                file.seek(int(index[0, other]))
                if _document(str(path), json.loads(file.readline())).id == id:
                    raise TaskSetError(
                        f"{path}:{_number(path, int(index[0, row]))}: _id: {id!r} stands on line "
                        f"{_number(path, int(index[0, other]))} too; ids must be unique"
                    )
                first -= 1


def _number(path: Path, start: int) -> int:
    """Number of the line that starts at a byte."""
    with path.open("rb") as file:
        ends = itertools.accumulate(len(line) for line in file)
        return 1 + sum(1 for _ in itertools.takewhile(lambda end: end <= start, ends))


def _load(folder: Path) -> tuple[str, tuple[int, tuple[str, ...]], NDArray[np.int64]] | None:
    """Hash, empty documents and index of a corpus, or None where they are missing or damaged."""
    import numpy as np

    def right(
        meta: dict[str, Any],
    ) -> tuple[str, tuple[int, tuple[str, ...]], NDArray[np.int64]] | None:
        if meta["index"] != _file_hash(folder / _INDEX):
            return None
        count, first = meta["empty"]
        index = np.load(folder / _INDEX, mmap_mode="r", allow_pickle=False)
        return meta["hash"], (count, tuple(first)), index

    return files.read(folder / _META, right, of="corpus")


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
