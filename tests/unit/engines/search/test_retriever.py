"""The engine behind every search, with an encoder that counts letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modellab.engines.interface import GenerationRequest, Role, ScoringRequest, searching
from pytest_modellab.engines.search.forms import Form
from pytest_modellab.engines.search.retriever import Retriever
from pytest_modellab.engines.search.settings import Approximate, Embedding, Rerank, Search
from pytest_modellab.errors import ModelError
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.runs import Audited, Output
from pytest_modellab.records.tasks import Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

np_ = pytest.importorskip("numpy")

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEXTS = ["aab", "abb", "bbc", "xyz", "zzz", "aaa", "abc", "cab"]


class Corpus:
    """Documents in a list, which count how often they were read one by one."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.documents = [Document(f"d{i}", text) for i, text in enumerate(texts)]
        self.hash = digest(list(texts))[:16]
        self.read = 0

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, row: int) -> Document:
        self.read += 1
        return self.documents[row]

    def blocks(self, size: int, start: int = 0) -> Iterator[Sequence[Document]]:
        for row in range(start, len(self), size):
            yield self.documents[row : row + size]


class Encoder:
    """A text's vector is how often it has each letter."""

    key, dimension = "letters", len(LETTERS)

    def __init__(self) -> None:
        self.encoded: Counter[tuple[Role, int]] = Counter()
        self.closed = False

    def encode(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        self.encoded[role, len(texts)] += 1
        rows = [[text.count(letter) for letter in LETTERS] for text in texts]
        found: NDArray[np.float32] = np_.array(rows, np_.float32)
        return found

    def count_tokens(self, texts: Sequence[str], role: Role) -> Sequence[int]:
        return [len(text) for text in texts]

    def parameter_bytes(self) -> int:
        return 100

    def close(self) -> None:
        self.closed = True


class Reranker:
    """Prefers what ends like the query."""

    def rerank_each(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        return [
            [float(document[-1] == query[-1]) for document in documents]
            for query, documents in asked
        ]

    def parameter_bytes(self) -> int:
        return 10

    def close(self) -> None:
        return


def opened(
    tmp_path: Path, search: Search, *, encoder: Encoder | None = None, depth: int = 3
) -> tuple[Retriever, Corpus]:
    own = (encoder or Encoder()) if search.embedding is not None else None
    reranker: Any = Reranker() if search.rerank is not None else None
    retriever, corpus = Retriever(search, own, reranker), Corpus(TEXTS)
    retriever.open_corpus(corpus, depth, tmp_path / "cache", lambda _done, _total: None)
    return retriever, corpus


def ask(
    retriever: Retriever, queries: Sequence[str], *, budget: int = 512, skip: Sequence[int] = ()
) -> dict[int, Output]:
    found: dict[int, Output] = {}
    requests = [GenerationRequest(query, 0) for query in queries]
    retriever.generate(requests, budget=budget, skip=set(skip), done=found.update)
    return found


def ids(output: Output) -> list[str]:
    return [id_ for id_, _ in output.ranking]


def test_it_is_an_engine_that_searches() -> None:
    retriever = Retriever(Search(Embedding()), Encoder(), None)
    assert searching(retriever) is retriever
    assert retriever.render([{"role": "user", "content": "query"}]) == "query"


def test_best_first_and_equal_ones_in_the_corpus_order(tmp_path: Path) -> None:
    retriever, _ = opened(tmp_path, Search(Embedding()))
    (output,) = ask(retriever, ["abc"]).values()
    assert ids(output) == ["d6", "d7", "d0"]  # "abc" and "cab" have the same letters
    assert output.ranking[0][1] == pytest.approx(1.0, abs=1e-6)
    assert (output.tokens_in, output.tokens_out, output.exact) == (3, 0, None)


def test_the_answer_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    encoder = Encoder()
    retriever, _ = opened(tmp_path, Search(Embedding()), encoder=encoder)
    queries = ["abc", "z", "ab"]
    one, other = ask(retriever, queries), ask(retriever, queries, budget=16)
    assert [o.ranking for o in one.values()] == [o.ranking for o in other.values()]
    assert encoder.encoded["query", 3] == 1
    assert encoder.encoded["query", 1] == 3


def test_what_is_answered_is_not_asked_again(tmp_path: Path) -> None:
    retriever, _ = opened(tmp_path, Search(Embedding()))
    assert ask(retriever, ["a", "b"], skip=[0, 1]) == {}
    assert set(ask(retriever, ["a", "b"], skip=[0])) == {0, 1}  # one batch


def test_variants_share_what_was_encoded(tmp_path: Path) -> None:
    first, second = Encoder(), Encoder()
    opened(tmp_path, Search(Embedding()), encoder=first)
    assert first.encoded["passage", len(TEXTS)] == 1
    opened(tmp_path, Search(Embedding(), Form(dimensions=4)), encoder=second)
    opened(tmp_path, Search(Embedding(), Form(precision="binary")), encoder=second)
    opened(tmp_path, Search(Embedding(), fusion=60), encoder=second)
    assert not any(role == "passage" for role, _ in second.encoded)


def test_fusion_with_words(tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    plain, _ = opened(tmp_path, Search(Embedding()))
    fused, _ = opened(tmp_path, Search(Embedding(), fusion=60))
    assert ids(ask(plain, ["cab"])[0])[0] == "d6"
    # the word itself: second for the letters, alone for BM25
    assert ids(ask(fused, ["cab"])[0])[0] == "d7"


def test_words_alone(tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    retriever, _ = opened(tmp_path, Search(None))
    assert ids(ask(retriever, ["xyz"])[0]) == ["d3"]
    assert ids(ask(retriever, ["unknown"])[0]) == []
    with pytest.raises(ModelError) as caught:
        retriever.score_options(
            [ScoringRequest("a", ("b",))], budget=1, skip=set(), done=lambda _: None
        )
    assert str(caught.value) == ("BM25 knows no similarity of two texts; name an embedding model")


def test_reranking_orders_the_first_and_leaves_the_rest(tmp_path: Path) -> None:
    from pytest_modellab.records.declared import NO_MODEL

    rerank = Rerank(NO_MODEL, tmp_path, 2)
    plain, _ = opened(tmp_path, Search(Embedding()), depth=4)
    reranked, _ = opened(tmp_path, Search(Embedding(), rerank=rerank), depth=4)
    before, after = ask(plain, ["acb"])[0], ask(reranked, ["acb"])[0]
    assert ids(before)[:2] == ["d6", "d7"]
    assert ids(after)[:2] == ["d7", "d6"]
    assert ids(after)[2:] == ids(before)[2:]
    scores = [score for _, score in after.ranking]
    assert scores == sorted(scores, reverse=True)
    assert reranked.parameter_bytes() == 110


def test_exact_search_stands_beside_an_approximate_one(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    # the third place is tied, which an approximate index resolves as it likes
    retriever, _ = opened(tmp_path, Search(Embedding(), index=Approximate("hnsw")), depth=2)
    exact, _ = opened(tmp_path, Search(Embedding()), depth=2)
    (output,) = ask(retriever, ["abc"]).values()
    (best,) = ask(exact, ["abc"]).values()
    assert output.exact is None  # no part of a query's time
    assert retriever.audit(["abc"]) == [Audited(best.ranking, 1.0)]
    assert exact.audit(["abc"]) == ()
    assert ids(output) == ids(best)  # of eight documents it finds all


def test_what_is_measured(tmp_path: Path) -> None:
    encoder = Encoder()
    retriever, _ = opened(tmp_path, Search(Embedding()), encoder=encoder)
    ask(retriever, ["a", "b"])
    before = encoder.encoded["query", 1]
    found = retriever.measurements(["a", "b", "c"])
    assert encoder.encoded["query", 1] - before == 4  # each one, the first one twice
    assert found["documents"] == len(TEXTS)
    assert found["index_bytes_per_document"] == 4 * len(LETTERS)
    assert found["vector_dimensions"] == len(LETTERS)
    assert found["documents_per_second"] > 0
    assert 0 < found["query_seconds_p50"] <= found["query_seconds_p95"]
    binary, _ = opened(tmp_path, Search(Embedding(), Form(precision="binary")))
    assert binary.measurements(["a"])["index_bytes_per_document"] == 4  # 26 bits


def test_ids_are_read_once(tmp_path: Path) -> None:
    retriever, corpus = opened(tmp_path, Search(Embedding()))
    ask(retriever, ["abc"])
    read = corpus.read
    ask(retriever, ["abc"])
    assert corpus.read == read == 3


def test_similarities_of_pairs(tmp_path: Path) -> None:
    retriever = Retriever(Search(Embedding()), Encoder(), None)
    found: dict[int, Output] = {}
    requests = [ScoringRequest("abc", ("cab", "xyz")), ScoringRequest("ab", ("a",))]
    retriever.score_options(requests, budget=1, skip=set(), done=found.update)
    assert found[0].option_logprobs == pytest.approx((1.0, 0.0))
    assert found[1].option_logprobs == pytest.approx((2**-0.5,))
    assert (found[0].tokens_in, found[0].tokens_out) == (3, 6)
    nothing: dict[int, Output] = {}
    retriever.score_options(requests, budget=1, skip={0, 1}, done=nothing.update)
    assert not nothing


def test_a_search_without_a_corpus() -> None:
    retriever = Retriever(Search(Embedding()), Encoder(), None)
    assert ask(retriever, []) == {}  # a task set of pairs has none
    with pytest.raises(ModelError) as caught:
        ask(retriever, ["a"])
    assert str(caught.value) == "a search needs a corpus, and the task set has none"


def test_close(tmp_path: Path) -> None:
    encoder = Encoder()
    retriever, _ = opened(tmp_path, Search(Embedding()), encoder=encoder)
    retriever.close()
    assert encoder.closed
