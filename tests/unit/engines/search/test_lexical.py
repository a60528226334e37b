"""BM25: its formula, its ties, and an index that is built once."""

from __future__ import annotations

import math
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.engines.search import lexical
from pytest_modellab.engines.search.hits import Hits
from pytest_modellab.engines.search.lexical import Lexical
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.tasks import Document

pytest.importorskip("bm25s")


class Texts:
    """A corpus in memory that counts how often it is read."""

    def __init__(self, texts: Sequence[str], title: str = "") -> None:
        self.documents = [Document(f"doc_{i}", text, title) for i, text in enumerate(texts)]
        self.reads = 0

    @property
    def hash(self) -> str:
        return digest([[d.id, d.content] for d in self.documents])[:16]

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, row: int) -> Document:
        return self.documents[row]

    def blocks(self, size: int, start: int = 0) -> Iterator[Sequence[Document]]:
        self.reads += 1
        for begin in range(start, len(self.documents), size):
            yield self.documents[begin : begin + size]


def quietly(done: int, total: int) -> None:
    pass


def obtain(cache: Path, *texts: str) -> Lexical:
    return Lexical.obtain(Texts(texts), cache, quietly)


def bm25(query: Sequence[str], document: Sequence[str], corpus: Sequence[Sequence[str]]) -> float:
    """Lucene's BM25 in the words of Kamphuis et al. 2020, without their constant factor."""
    mean = sum(len(words) for words in corpus) / len(corpus)
    score = 0.0
    for word in query:
        df = sum(word in words for words in corpus)
        tf = Counter(document)[word]
        idf = math.log(1 + (len(corpus) - df + 0.5) / (df + 0.5))
        score += idf * tf / (tf + 1.5 * (1 - 0.75 + 0.75 * len(document) / mean))
    return score


words = st.lists(st.sampled_from(["oak", "elm", "ash", "fir"]), max_size=6)


@settings(max_examples=30)
@given(st.lists(words, min_size=1, max_size=12), words, st.integers(1, 12))
def test_scores_are_the_formulas(corpus: list[list[str]], query: list[str], depth: int) -> None:
    if not any(corpus):
        corpus = [*corpus, ["oak"]]
    with tempfile.TemporaryDirectory() as cache:
        index = obtain(Path(cache), *(" ".join(document) for document in corpus))
        [hits] = index.search([" ".join(query)], depth)
        [everything] = index.search([" ".join(query)], len(corpus))
    sharing = {row for row, document in enumerate(corpus) if set(document) & set(query)}
    assert set(everything.rows) == sharing
    for row, score in zip(everything.rows, everything.scores, strict=True):
        assert score == pytest.approx(bm25(query, corpus[row], corpus), abs=1e-5)
    order = sorted(
        zip(everything.scores, everything.rows, strict=True), key=lambda x: (-x[0], x[1])
    )
    assert everything.rows == tuple(row for _, row in order)
    assert hits == Hits(everything.rows[:depth], everything.scores[:depth])


def test_ties_stand_in_the_corpus_order(tmp_path: Path) -> None:
    index = obtain(tmp_path, *["an oak"] * 50, "oak oak", *["the oak"] * 50)
    [hits] = index.search(["oak"], 5)
    assert hits.rows == (50, 0, 1, 2, 3)
    assert len(set(hits.scores[1:])) == 1


def test_every_query_has_its_ranking(tmp_path: Path) -> None:
    index = obtain(tmp_path, "Oaks grow.", "The elm, too.", "")
    found = index.search(["ELM!", "of the", "", "birch", "elm elm oaks"], 10)
    assert [hits.rows for hits in found] == [(1,), (), (), (), (1, 0)]
    assert found[1] == Hits((), ())
    assert {type(value) for value in (*found[4].rows, *found[4].scores)} == {int, float}


def test_the_title_is_searched(tmp_path: Path) -> None:
    corpus = Texts(["grows", "falls"], title="Elm")
    assert Lexical.obtain(corpus, tmp_path, quietly).search(["elm"], 5)[0].rows == (0, 1)


# --- the index on disk ---------------------------------------------------------------------------


def test_an_index_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "BLOCK", 2)
    corpus = Texts(["oak", "elm", "ash", "elm elm", "fir"])
    seen: list[tuple[int, int]] = []
    first = Lexical.obtain(corpus, tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]

    again = Lexical.obtain(corpus, tmp_path, lambda done, total: seen.append((done, total)))
    assert (corpus.reads, len(seen)) == (1, 3)
    assert again.search(["elm"], 5) == first.search(["elm"], 5)
    assert again.documents == 5
    assert again.seconds == first.seconds > 0

    [folder] = [path for path in (tmp_path / "lexical").iterdir() if path.is_dir()]
    assert re.fullmatch(r"[0-9a-f]{16}", folder.name)
    beside = {"build.json", "manifest.json"}
    index = [path for path in folder.iterdir() if path.name not in beside]
    assert again.bytes() == sum(path.stat().st_size for path in index) > 0


def test_the_index_stays_on_disk(tmp_path: Path) -> None:
    import numpy as np

    scores = obtain(tmp_path, "oak", "elm")._index.scores
    assert all(isinstance(scores[part], np.memmap) for part in ("data", "indices", "indptr"))


def test_what_an_index_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bm25s

    def folders() -> int:
        return sum(path.is_dir() for path in (tmp_path / "lexical").iterdir())

    obtain(tmp_path, "oak", "elm")
    obtain(tmp_path, "elm", "oak")
    assert folders() == 2
    monkeypatch.setitem(lexical.SETTINGS, "k1", 1.2)
    obtain(tmp_path, "oak", "elm")
    assert folders() == 3
    monkeypatch.setattr(bm25s, "__version__", "0.0.1")
    obtain(tmp_path, "oak", "elm")
    assert folders() == 4


def test_half_an_index_is_never_met(tmp_path: Path) -> None:
    class Broken(Texts):
        def blocks(self, size: int, start: int = 0) -> Iterator[Sequence[Document]]:
            yield self.documents
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        Lexical.obtain(Broken(["oak"]), tmp_path, quietly)
    assert not [path for path in (tmp_path / "lexical").iterdir() if path.is_dir()]
    assert obtain(tmp_path, "oak").search(["oak"], 1)[0].rows == (0,)


def test_a_corpus_without_a_word(tmp_path: Path) -> None:
    corpus = Texts(["the", "?", "a b"])
    with pytest.raises(VariantLoadError) as caught:
        Lexical.obtain(corpus, tmp_path, quietly)
    assert str(caught.value) == (
        f"BM25: no document of the corpus {corpus.hash} has a word that counts (two letters or "
        "digits, no stop word); search it with an embedding model"
    )


def test_without_bm25s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(VariantLoadError) as caught:
        obtain(tmp_path, "oak")
    assert str(caught.value) == (
        "searching with BM25 needs bm25s: pip install 'pytest-modellab[embedding]'"
    )


def test_nothing_is_drawn_on_the_terminal(tmp_path: Path, capfd: Any) -> None:
    obtain(tmp_path, "oak", "elm").search(["elm"], 1)
    assert tuple(capfd.readouterr()) == ("", "")
