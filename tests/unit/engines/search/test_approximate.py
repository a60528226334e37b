"""Approximate search: the same index every time, and how much of the exact answer it finds."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_modellab.engines.search import approximate, exact, forms
from pytest_modellab.engines.search.forms import Form, IndexVectors
from pytest_modellab.engines.search.hits import Hits
from pytest_modellab.engines.search.vectors import Vectors
from pytest_modellab.errors import ConfigError, ModelError, VariantLoadError

KINDS = ("hnsw", "ivf")
DIMENSION = 24


def clustered(documents: int, seed: int = 0) -> NDArray[np.float32]:
    """Vectors around common centres, as those of texts about common subjects are."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, DIMENSION))
    rows = centres[random.integers(0, 40, documents)]
    rows = rows + 0.5 * random.normal(size=(documents, DIMENSION))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def indexed(documents: int, cache: Path, **form: Any) -> IndexVectors:
    return forms.index(kept(clustered(documents)), Form(**form), cache)


def kept(data: NDArray[np.float32]) -> Vectors:
    key = f"{len(data):016x}"
    return Vectors(data, key, len(data), DIMENSION, (1.0, 1.0), seconds=1.0, tokens=9)


def content(cache: Path) -> str:
    [path] = (cache / "approximate").glob("*/index.faiss")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def share(found: list[Hits], right: list[Hits]) -> float:
    """What was found of the exact best ten, the mean over the queries."""
    pairs = zip(found, right, strict=True)
    return float(np.mean([len({*f.rows[:10]} & {*r.rows[:10]}) / 10 for f, r in pairs]))


@pytest.mark.parametrize("kind", KINDS)
def test_most_is_found(tmp_path: Path, kind: str) -> None:
    index, queries = indexed(3000, tmp_path), clustered(50, 1)
    built = approximate.build(index, kind, {}, tmp_path)
    found, right = built.search(queries, 10), exact.search(index, queries, 10)
    assert share(found, right) > 0.95
    scores = dict(zip(right[0].rows, right[0].scores, strict=True))
    mine = dict(zip(found[0].rows, found[0].scores, strict=True))
    assert all(mine[row] == scores[row] for row in mine.keys() & scores.keys())
    assert built.bytes > index.data.nbytes
    assert built.seconds > 0
    assert built.settings == approximate.defaults(kind, 3000)


@pytest.mark.parametrize("kind", KINDS)
def test_all_is_found_where_all_is_looked_at(tmp_path: Path, kind: str) -> None:
    index, queries = indexed(500, tmp_path), clustered(20, 1)
    every = {"hnsw": {"efSearch": 500}, "ivf": {"nlist": 8, "nprobe": 8}}[kind]
    built = approximate.build(index, kind, every, tmp_path)
    assert built.search(queries, 10) == exact.search(index, queries, 10)


@pytest.mark.parametrize("kind", KINDS)
def test_looking_at_more_finds_more(tmp_path: Path, kind: str) -> None:
    index, queries = indexed(3000, tmp_path), clustered(50, 1)
    right = exact.search(index, queries, 10)
    little, much = {
        "hnsw": ({"efSearch": 1}, {"efSearch": 200}),
        "ivf": ({"nprobe": 1}, {"nprobe": 16}),
    }[kind]
    coarse = {"M": 2, "efConstruction": 2} if kind == "hnsw" else {}
    less, more = (
        share(approximate.build(index, kind, coarse | looked, tmp_path).search(queries, 10), right)
        for looked in (little, much)
    )
    assert less < more
    assert len([*(tmp_path / "approximate").glob("*/")]) == 1  # one index for all


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_index_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    decode, threads = IndexVectors.decode, set[int]()

    def watch(index: IndexVectors, block: NDArray[Any]) -> NDArray[np.float32]:
        threads.add(faiss.omp_get_max_threads())  # while the index is built
        return decode(index, block)

    monkeypatch.setattr(IndexVectors, "decode", watch)
    monkeypatch.setattr(approximate, "BLOCK", 700)
    index, before = indexed(3000, tmp_path), faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        for name in "ab":
            approximate.build(index, kind, {}, tmp_path / name)
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert threads == {1}


def test_another_seed_gives_another_index(tmp_path: Path) -> None:
    index = indexed(3000, tmp_path)
    approximate.build(index, "ivf", {"seed": 1}, tmp_path / "a")
    approximate.build(index, "ivf", {"seed": 2}, tmp_path / "b")
    assert content(tmp_path / "a") != content(tmp_path / "b")


@pytest.mark.parametrize("kind", KINDS)
def test_queries_together_or_alone(tmp_path: Path, kind: str) -> None:
    built = approximate.build(indexed(2000, tmp_path), kind, {}, tmp_path)
    queries = clustered(40, 1)
    assert built.search(queries, 10) == [built.search(q[None], 10)[0] for q in queries]


@pytest.mark.parametrize("kind", KINDS)
def test_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    index, queries = indexed(1000, tmp_path), clustered(5, 1)
    first = approximate.build(index, kind, {}, tmp_path)

    def fail(*_: Any) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(approximate, "_made", fail)
    second = approximate.build(index, kind, {}, tmp_path)
    assert (second.bytes, second.seconds) == (first.bytes, first.seconds)
    assert second.search(queries, 5) == first.search(queries, 5)


@pytest.mark.parametrize("name", ["index.faiss", "meta.json"])
@pytest.mark.parametrize("how", ["gone", "short", "changed"])
def test_damage_is_built_anew(tmp_path: Path, name: str, how: str) -> None:
    index = indexed(500, tmp_path)
    approximate.build(index, "ivf", {}, tmp_path)
    before = content(tmp_path)
    [path] = (tmp_path / "approximate").glob(f"*/{name}")
    kept = path.read_bytes()
    path.unlink()
    if how == "short":
        path.write_bytes(kept[: len(kept) // 2])
    elif how == "changed":
        path.write_bytes(kept[:20] + bytes([kept[20] ^ 1]) + kept[21:])
    built = approximate.build(index, "ivf", {}, tmp_path)
    assert content(tmp_path) == before
    assert len(built.search(clustered(1, 1), 5)[0].rows) == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("documents", [1, 2, 3, 20])
def test_a_small_corpus(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str, documents: int
) -> None:
    index = indexed(documents, tmp_path)
    settings = {"nprobe": 99} if kind == "ivf" else {}
    [hits] = approximate.build(index, kind, settings, tmp_path).search(clustered(1, 1), 10)
    assert [hits] == exact.search(index, clustered(1, 1), 10)
    assert capfd.readouterr() == ("", "")


def test_fewer_are_found_where_the_lists_hold_fewer(tmp_path: Path) -> None:
    built = approximate.build(indexed(200, tmp_path), "ivf", {"nlist": 50, "nprobe": 1}, tmp_path)
    found = built.search(clustered(20, 1), 50)
    assert all(0 < len(hits.rows) < 50 for hits in found)


def test_cut_off_vectors(tmp_path: Path) -> None:
    index = indexed(1000, tmp_path, dimensions=8)
    built = approximate.build(index, "hnsw", {}, tmp_path)
    queries = clustered(20, 1)
    assert share(built.search(queries, 10), exact.search(index, queries, 10)) > 0.95
    with pytest.raises(ModelError, match=r"^queries of 8 numbers cannot be compared with"):
        built.search(queries[:, :8], 10)


def test_equal_documents_are_ordered_by_row(tmp_path: Path) -> None:
    index = forms.index(kept(np.repeat(clustered(30), 4, axis=0)), Form(), tmp_path)
    built = approximate.build(index, "ivf", {"nlist": 4, "nprobe": 4}, tmp_path)
    [hits] = built.search(clustered(1, 1), 8)
    assert [hits] == exact.search(index, clustered(1, 1), 8)
    assert hits.rows[:4] == tuple(range(hits.rows[0], hits.rows[0] + 4))


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("hsnw", {}, "index: unknown kind 'hsnw'; did you mean 'hnsw'? Known: hnsw, ivf"),
        (
            "hnsw",
            {"nprobe": 3},
            "index: hnsw has no setting 'nprobe'; Known: M, efConstruction, efSearch",
        ),
        ("hnsw", {"M": 1}, "index: M = 1, expected a whole number of at least 2"),
        ("ivf", {"nprobe": 0}, "index: nprobe = 0, expected a whole number of at least 1"),
        (
            "ivf",
            {"nlist": 51},
            "index: nlist = 51 lists cannot be made of 50 documents; choose fewer, about the "
            "square root of the documents",
        ),
    ],
)
def test_settings(tmp_path: Path, kind: str, settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        approximate.build(indexed(50, tmp_path), kind, settings, tmp_path)


def test_codes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"^index: hnsw is built of float32 vectors, but they are kept as int8; set vectors = "
        r'"float32", or leave the index out for exact search$',
    ):
        approximate.build(indexed(50, tmp_path, precision="int8"), "hnsw", {}, tmp_path)


def test_without_faiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(
        VariantLoadError,
        match=r"^faiss is not installed: pip install 'pytest-modellab\[embedding\]'$",
    ):
        approximate.build(indexed(50, tmp_path), "hnsw", {}, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = faiss.write_index
    monkeypatch.setattr(faiss, "write_index", lambda index, _: write(index, "/dev/full"))
    with pytest.raises(
        ModelError,
        match=r"^not enough disk space in .*/approximate/[0-9a-f]{16} for 0\.0 GB of vectors\. "
        r"Free some, or choose another folder: MODELLAB_CACHE=/some/folder$",
    ):
        approximate.build(indexed(500, tmp_path), "ivf", {}, tmp_path)
    assert [*(tmp_path / "approximate").glob("*/")] == []


@pytest.mark.parametrize("first", ["torch", "faiss"])
def test_faiss_and_torch_in_one_process(first: str) -> None:
    """Each brings its own OpenMP; two that do not bear each other abort the process."""
    code = f"""
import {first}, torch, faiss, numpy as np
torch.set_num_threads(2); faiss.omp_set_num_threads(2)
x = np.random.default_rng(0).normal(size=(4000, 32)).astype(np.float32)
index = faiss.IndexHNSWFlat(32, 8, faiss.METRIC_INNER_PRODUCT)
for part in np.split(x, 4):
    index.add(part); torch.mm(torch.from_numpy(x), torch.from_numpy(x).T)
assert (index.search(x[:50], 1)[1] >= 0).all()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_record_is_frozen(tmp_path: Path) -> None:
    built = approximate.build(indexed(50, tmp_path), "hnsw", {}, tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        built.kind = "ivf"  # type: ignore[misc]
