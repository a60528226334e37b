"""Vectors of a corpus: encoded once, taken up after a kill, made anew where damaged."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_modellab.engines.interface import Role
from pytest_modellab.engines.search import vectors
from pytest_modellab.errors import ModelError
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.tasks import Document

DIMENSION = 6


class Words:
    """A corpus of so many documents, made as they are read."""

    def __init__(self, size: int, *, says: int | None = None) -> None:
        self._size, self._says = size, says if says is not None else size
        self.hash = digest(["words", size])[:16]

    def __len__(self) -> int:
        return self._says

    def __getitem__(self, row: int) -> Document:
        return Document(f"d{row}", f"text {row}", title="Title" if row % 2 else "")

    def blocks(self, size: int, start: int = 0) -> Iterator[Sequence[Document]]:
        for first in range(start, self._size, size):
            yield [self[row] for row in range(first, min(first + size, self._size))]


@dataclasses.dataclass
class Fake:
    """An encoder that counts what it is asked, and fails on demand."""

    dimension: int = DIMENSION
    key: str = "0123456789abcdef"
    kill: int | None = None
    damaged: str = ""
    width: int = DIMENSION
    asked: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    def encode(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        assert role == "passage"
        if len(self.asked) == self.kill:
            raise KeyboardInterrupt
        self.asked.append(tuple(texts))
        found = np.array([vector(t)[: self.width] for t in texts], np.float32)
        found[[t == self.damaged for t in texts], 1] = np.nan
        return found

    def count_tokens(self, texts: Sequence[str], role: Role) -> Sequence[int]:
        return [len(text.split()) for text in texts]

    def parameter_bytes(self) -> int:
        return 0

    def close(self) -> None:
        pass


def vector(text: str) -> NDArray[np.float32]:
    seed = int(digest(text)[:8], 16)
    return np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)


def expected(size: int) -> NDArray[np.float32]:
    return np.array([vector(Words(size)[row].content) for row in range(size)])


def silent(done: int, total: int) -> None:
    pass


def folder_of(cache: Path) -> Path:
    [folder] = (cache / "vectors").iterdir()
    return folder


def test_obtain(tmp_path: Path) -> None:
    encoder, seen = Fake(), list[tuple[int, int]]()
    found = vectors.obtain(
        encoder, Words(10), tmp_path, lambda done, total: seen.append((done, total)), block=4
    )
    assert (found.documents, found.dimension) == (10, DIMENSION)
    assert found.data.dtype == np.float32
    np.testing.assert_array_equal(found.data, expected(10))
    lengths = np.linalg.norm(expected(10).astype(np.float64), axis=1)
    assert found.norms == pytest.approx((lengths.min(), lengths.max()))
    assert found.tokens == 5 * 2 + 5 * 3
    assert found.seconds > 0
    assert [len(texts) for texts in encoder.asked] == [4, 4, 2]
    assert encoder.asked[0][:2] == ("text 0", "Title text 1")
    assert seen == [(4, 10), (8, 10), (10, 10)]
    folder = folder_of(tmp_path)
    assert {p.name for p in folder.iterdir()} == {"vectors.npy", "meta.json", "lock"}
    assert {"tokens", "seconds"} <= {*json.loads((folder / "meta.json").read_text())["known"]}
    np.testing.assert_array_equal(np.load(folder / "vectors.npy"), expected(10))


def test_nothing_is_encoded_twice(tmp_path: Path) -> None:
    first = vectors.obtain(Fake(), Words(10), tmp_path, silent, block=4)
    again = Fake()
    second = vectors.obtain(again, Words(10), tmp_path, silent, block=3)
    assert again.asked == []
    assert dataclasses.replace(second, data=first.data) == first
    np.testing.assert_array_equal(second.data, first.data)


@pytest.mark.parametrize(
    ("encoder", "size"), [(Fake(key="fedcba9876543210"), 10), (Fake(), 11)], ids=["model", "corpus"]
)
def test_another_encoder_or_corpus_has_its_own(tmp_path: Path, encoder: Fake, size: int) -> None:
    first = vectors.obtain(Fake(), Words(10), tmp_path, silent)
    second = vectors.obtain(encoder, Words(size), tmp_path, silent)
    assert len(encoder.asked) == 1
    assert first.key != second.key


def test_the_file_is_mapped_and_read_only(tmp_path: Path) -> None:
    found = vectors.obtain(Fake(), Words(10), tmp_path, silent)
    assert isinstance(found.data, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found.data[0, 0] = 1


# --- cut off -------------------------------------------------------------------------------------


def interrupted(cache: Path, kill: int, block: int = 4) -> Path:
    with pytest.raises(KeyboardInterrupt):
        vectors.obtain(Fake(kill=kill), Words(10), cache, silent, block=block)
    return folder_of(cache)


@pytest.mark.parametrize("kill", [0, 1, 2])
def test_an_encoding_is_taken_up(tmp_path: Path, kill: int) -> None:
    folder = interrupted(tmp_path, kill)
    assert not (folder / "meta.json").exists()
    rest, seen = Fake(), list[int]()
    found = vectors.obtain(rest, Words(10), tmp_path, lambda done, _: seen.append(done), block=4)
    assert [len(texts) for texts in rest.asked] == [4, 4, 2][kill:]
    assert seen == [4, 8, 10][kill:]
    np.testing.assert_array_equal(found.data, expected(10))
    whole = vectors.obtain(Fake(), Words(10), tmp_path / "other", silent, block=4)
    assert (found.tokens, found.norms) == (whole.tokens, whole.norms)


def test_what_a_kill_left_unmarked_is_dropped(tmp_path: Path) -> None:
    folder = interrupted(tmp_path, 2)
    with (folder / "vectors.npy").open("ab") as file:
        file.write(b"more than a block" * 10)
    rest = Fake()
    for _ in range(2):
        found = vectors.obtain(rest, Words(10), tmp_path, silent, block=4)
        assert len(rest.asked) == 1
    np.testing.assert_array_equal(found.data, expected(10))


def test_a_block_is_on_the_disk_before_it_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, sizes = os.fsync, list[int]()

    def watch(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), (folder_of(tmp_path) / "vectors.npy").stat()):
            sizes.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    vectors.obtain(Fake(), Words(10), tmp_path, silent, block=4)
    assert sizes == [128 + rows * DIMENSION * 4 for rows in (4, 8, 10)]


def test_a_kill_before_the_end_is_marked_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def fail(source: str, target: Path) -> None:
        if Path(target).name == "meta.json":
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(KeyboardInterrupt):
            vectors.obtain(Fake(), Words(8), tmp_path, silent, block=4)
    rest = Fake()
    found = vectors.obtain(rest, Words(8), tmp_path, silent, block=4)
    assert rest.asked == []
    np.testing.assert_array_equal(found.data, expected(8))


def test_another_block_size_begins_anew(tmp_path: Path) -> None:
    interrupted(tmp_path, 2)
    rest = Fake()
    found = vectors.obtain(rest, Words(10), tmp_path, silent, block=5)
    assert [len(texts) for texts in rest.asked] == [5, 5]
    np.testing.assert_array_equal(found.data, expected(10))


def test_another_dimension_begins_anew(tmp_path: Path) -> None:
    interrupted(tmp_path, 2)
    rest = Fake(dimension=4, width=4)
    found = vectors.obtain(rest, Words(10), tmp_path, silent, block=4)
    assert len(rest.asked) == 3
    np.testing.assert_array_equal(found.data, expected(10)[:, :4])


@pytest.mark.parametrize("name", ["vectors.npy", "progress.json"])
@pytest.mark.parametrize("how", ["gone", "short", "changed"])
def test_damage_of_what_was_cut_off_begins_anew(tmp_path: Path, name: str, how: str) -> None:
    damage(interrupted(tmp_path, 2) / name, how)
    rest = Fake()
    found = vectors.obtain(rest, Words(10), tmp_path, silent, block=4)
    assert len(rest.asked) == 3
    np.testing.assert_array_equal(found.data, expected(10))


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if how == "short":
        path.write_bytes(content[: len(content) // 2])
    elif how == "changed":
        path.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
    elif how == "empty":
        path.write_bytes(b"")


@pytest.mark.parametrize("name", ["vectors.npy", "meta.json"])
@pytest.mark.parametrize("how", ["gone", "empty", "short", "changed"])
def test_a_damaged_store_is_made_anew(tmp_path: Path, name: str, how: str) -> None:
    first = vectors.obtain(Fake(), Words(10), tmp_path, silent)
    damage(folder_of(tmp_path) / name, how)
    again = Fake()
    second = vectors.obtain(again, Words(10), tmp_path, silent)
    assert len(again.asked) == 1
    np.testing.assert_array_equal(second.data, expected(10))
    assert first.key == second.key


def test_two_at_once_encode_once(tmp_path: Path) -> None:
    encoders = [Fake(), Fake()]
    start = threading.Barrier(2)

    def run(encoder: Fake) -> None:
        start.wait()
        vectors.obtain(encoder, Words(100), tmp_path, silent, block=10)

    threads = [threading.Thread(target=run, args=(encoder,)) for encoder in encoders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(encoder.asked) for encoder in encoders) == [0, 10]


# --- refused -------------------------------------------------------------------------------------


def test_an_empty_corpus(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"^the corpus holds no documents: there is nothing to search$"
    ):
        vectors.obtain(Fake(), Words(0), tmp_path, silent)


def test_a_vector_that_is_not_finite_names_its_document(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"^the vector of document 'd6' holds NaN or infinity \(1 of 4 documents of this "
        r"block do\): a model in float16 may overflow, load it in float32 or bfloat16$",
    ):
        vectors.obtain(Fake(damaged="text 6"), Words(10), tmp_path, silent, block=4)
    mended = Fake()
    vectors.obtain(mended, Words(10), tmp_path, silent, block=4)
    assert len(mended.asked) == 2


def test_vectors_of_another_length_than_the_encoder_says(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"^the encoder gave an array of shape \(4, 3\) for 4 documents and says that a "
        r"vector has 6 numbers; correct its 'dimension' or its answer$",
    ):
        vectors.obtain(Fake(width=3), Words(10), tmp_path, silent, block=4)


def test_a_corpus_that_changes_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"^the corpus holds 12 documents, but 10 could be read: it has changed meanwhile; "
        r"start again$",
    ):
        vectors.obtain(Fake(), Words(10, says=12), tmp_path, silent, block=4)


def test_no_space_is_said_before_anything_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=239))
    encoder = Fake()
    with pytest.raises(
        ModelError,
        match=r"^not enough disk space in .*/vectors/[0-9a-f]{16} for 0\.0 GB of vectors\. Free "
        r"some, or choose another folder: MODELLAB_CACHE=/some/folder$",
    ):
        vectors.obtain(encoder, Words(10), tmp_path, silent)
    assert encoder.asked == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=240))
    vectors.obtain(encoder, Words(10), tmp_path, silent)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        full = code == errno.ENOSPC
        with pytest.raises(
            ModelError if full else OSError,
            match="^not enough disk space" if full else "Input/output error",
        ):
            vectors.obtain(Fake(), Words(10), tmp_path, silent)
    vectors.obtain(Fake(), Words(10), tmp_path, silent)
