"""Exact search: against whole numbers and fractions, and the same however it is cut up."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_modellab.engines.encoders.texts import Similarity
from pytest_modellab.engines.search import exact, forms
from pytest_modellab.engines.search.forms import Form, IndexVectors
from pytest_modellab.engines.search.hits import Hits
from pytest_modellab.engines.search.vectors import Vectors
from pytest_modellab.errors import ModelError

PRECISIONS: tuple[forms.Precision, ...] = ("float32", "int8", "uint8", "binary", "ubinary")


def repeated(
    documents: int, dimension: int, seed: int, *, distinct: int | None = None
) -> NDArray[np.float32]:
    """Unit vectors, of which only so many are distinct."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(distinct or documents, dimension))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if distinct is not None:
        rows = rows[random.integers(0, distinct, documents)]
    return rows.astype(np.float32)


def indexed(
    data: NDArray[np.float32],
    cache: Path,
    precision: forms.Precision = "float32",
    similarity: Similarity = "cosine",
) -> IndexVectors:
    lengths = np.linalg.norm(data.astype(np.float64), axis=1)
    norms = (float(lengths.min()), float(lengths.max()))
    found = Vectors(data, "0123456789abcdef", len(data), data.shape[1], norms, 1.0, tokens=9)
    return forms.index(found, Form(precision=precision, similarity=similarity), cache)


def by_fractions(data: NDArray[np.float32], queries: NDArray[np.float32], depth: int) -> list[Hits]:
    """The rule as it is documented, of unit vectors, in Python's own whole numbers."""
    whole = [[round(Fraction(float(x)) * 2**25) for x in row] for row in data]
    found = []
    for query in queries:
        asked = [round(Fraction(float(x)) * 2**25) for x in query]
        keys = [
            round(Fraction(sum(a * b for a, b in zip(asked, row, strict=True)), 2**50) * 10**6)
            for row in whole
        ]
        order = sorted(range(len(keys)), key=lambda row: (-keys[row], row))[:depth]
        found.append(Hits(tuple(order), tuple(keys[row] / 10**6 for row in order)))
    return found


@given(
    documents=st.integers(1, 60),
    distinct=st.integers(1, 12),
    dimension=st.integers(1, 9),
    depth=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_search_by_fractions(
    tmp_path_factory: pytest.TempPathFactory,
    documents: int,
    distinct: int,
    dimension: int,
    depth: int,
    seed: int,
) -> None:
    data = repeated(documents, dimension, seed, distinct=distinct)
    index = indexed(data, tmp_path_factory.mktemp("cache"))
    # What is a document, too, comes back unchanged; others are normalized first.
    queries = np.concatenate([data[:3], repeated(3, dimension, seed + 1)])
    expected = by_fractions(data, index.full_query(queries), depth)
    assert exact.search(index, queries, depth, rows=7) == expected
    for hits in expected:
        assert len(hits.rows) == min(depth, documents)


@given(
    precision=st.sampled_from(PRECISIONS),
    similarity=st.sampled_from(("cosine", "dot", "euclidean")),
    documents=st.integers(1, 80),
    distinct=st.integers(1, 20),
    dimension=st.integers(1, 40),
    depth=st.integers(1, 20),
    rescore=st.integers(1, 4),
    rows=st.integers(1, 90),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=100)
def test_the_answer_does_not_depend_on_how_it_is_cut_up(
    tmp_path_factory: pytest.TempPathFactory,
    precision: forms.Precision,
    similarity: Similarity,
    documents: int,
    distinct: int,
    dimension: int,
    depth: int,
    rescore: int,
    rows: int,
    seed: int,
) -> None:
    data = repeated(documents, dimension, seed, distinct=distinct)
    if similarity == "euclidean":
        precision = "float32"
    if similarity != "cosine":
        data *= np.random.default_rng(seed).lognormal(0, 3, (documents, 1)).astype(np.float32)
    queries = np.concatenate([repeated(5, dimension, seed + 1), data[:5]])
    index = indexed(data, tmp_path_factory.mktemp("cache"), precision, similarity)
    whole = exact.search(index, queries, depth, rescore=rescore)
    assert exact.search(index, queries, depth, rescore=rescore, rows=rows) == whole
    alone = [
        exact.search(index, query[None], depth, rescore=rescore, rows=rows)[0] for query in queries
    ]
    assert alone == whole
    for hits in whole:
        assert len({*hits.rows}) == len(hits.rows) == min(depth, documents)
        for (a, row), (b, after) in itertools.pairwise(zip(hits.scores, hits.rows, strict=True)):
            assert a > b or (a == b and row < after)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_order_of_the_sums_does_not_matter(tmp_path: Path, precision: forms.Precision) -> None:
    """Other threads, shapes and processors add in another order; so does a permutation."""
    data, queries = repeated(3000, 384, 1), repeated(20, 384, 2)
    shuffled = np.random.default_rng(3).permutation(384)
    for name, rescore in (("a", 1), ("b", 3)):
        one = exact.search(
            indexed(data, tmp_path / name, precision, "dot"), queries, 50, rescore=rescore
        )
        other = exact.search(
            indexed(data[:, shuffled], tmp_path / f"{name}2", precision, "dot"),
            queries[:, shuffled],
            50,
            rescore=rescore,
            rows=999,
        )
        assert one == other


def test_scores_are_cosines(tmp_path: Path) -> None:
    data, queries = repeated(500, 384, 1), 7 * repeated(10, 384, 2)
    found = exact.search(indexed(data, tmp_path), queries, 500)
    cosines = queries.astype(np.float64) @ data.T.astype(np.float64) / 7
    for i, hits in enumerate(found):
        np.testing.assert_allclose(hits.scores, cosines[i, hits.rows], rtol=0, atol=6e-7)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e15])
def test_without_normalization_scores_are_inner_products(tmp_path: Path, scale: float) -> None:
    data = repeated(200, 16, 1) * np.linspace(0.1, 1, 200, dtype=np.float32)[:, None]
    data *= np.float32(scale)
    queries = repeated(10, 16, 2) * np.geomspace(1e-9, 1e9, 10, dtype=np.float32)[:, None]
    found = exact.search(indexed(data, tmp_path, similarity="dot"), queries, 200)
    products = queries.astype(np.float64) @ data.T.astype(np.float64)
    for i, hits in enumerate(found):
        largest = float(np.linalg.norm(queries[i].astype(np.float64))) * scale
        np.testing.assert_allclose(hits.scores, products[i, hits.rows], rtol=0, atol=4e-6 * largest)
        assert hits.rows[0] == products[i].argmax()


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_distances_order_as_sentence_transformers_does(tmp_path: Path, scale: float) -> None:
    from sentence_transformers.util import euclidean_sim

    data = repeated(200, 16, 1) * np.linspace(0.1, 1, 200, dtype=np.float32)[:, None]
    queries = repeated(10, 16, 2) * np.geomspace(0.01, 9, 10, dtype=np.float32)[:, None]
    theirs = euclidean_sim(queries, data).numpy()
    found = exact.search(
        indexed(data * np.float32(scale), tmp_path, similarity="euclidean"),
        queries * np.float32(scale),
        200,
    )
    for i, hits in enumerate(found):
        np.testing.assert_allclose(
            np.array(hits.scores) / scale, theirs[i, hits.rows], rtol=2e-4, atol=1e-3
        )
        assert hits.rows[0] == theirs[i].argmax()


def test_last_bits_do_not_order(tmp_path: Path) -> None:
    """The later document is nearer by one unit in the last place of a number."""
    query = repeated(1, 384, 5)
    data = np.repeat(repeated(1, 384, 4), 3, axis=0)
    data[1:, 0] = np.nextafter(data[0, 0], np.float32(np.copysign(9, query[0, 0])))
    products = query.astype(np.float64) @ data.T.astype(np.float64)
    assert products[0, 1] > products[0, 0]
    [hits] = exact.search(indexed(data, tmp_path), query, 2)
    assert hits.rows == (0, 1)
    assert hits.scores[0] == hits.scores[1]


def test_a_query_of_zeros_is_as_near_to_all(tmp_path: Path) -> None:
    index = indexed(repeated(9, 4, 1), tmp_path)
    [hits] = exact.search(index, np.zeros((1, 4), np.float32), 3)
    assert hits == Hits((0, 1, 2), (0.0, 0.0, 0.0))


def test_no_queries(tmp_path: Path) -> None:
    assert exact.search(indexed(repeated(9, 4, 1), tmp_path), np.zeros((0, 4), np.float32), 3) == []


def test_a_query_that_is_not_finite(tmp_path: Path) -> None:
    queries = np.array([[0, 1], [np.nan, 1]], np.float32)
    for precision in PRECISIONS:
        with pytest.raises(ModelError, match=r"^the vector of query 1 holds NaN or infinity"):
            exact.search(indexed(repeated(9, 2, 1), tmp_path, precision), queries, 3)


# --- quantized -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rescore", [1, 4])
def test_uint8_as_sentence_transformers_searches(tmp_path: Path, rescore: int) -> None:
    from sentence_transformers.util.quantization import semantic_search_faiss

    data, queries = repeated(200, 8, 1), repeated(20, 8, 2)
    index = indexed(data, tmp_path, "uint8", "dot")
    theirs, _ = semantic_search_faiss(
        queries,
        corpus_embeddings=np.array(index.data),
        corpus_precision="uint8",
        top_k=10,
        ranges=index.ranges,
        rescore=rescore > 1,
        rescore_multiplier=rescore,
    )
    ours = exact.search(index, queries, 10, rescore=rescore)
    for hits, their in zip(ours, theirs, strict=True):
        assert [*hits.rows] == [hit["corpus_id"] for hit in their]
        unit = 8 * 255**2 if rescore == 1 else 1
        scores = [hit["score"] / unit for hit in their]
        np.testing.assert_allclose(hits.scores, scores, rtol=0, atol=5e-6)


def test_bits_as_sentence_transformers_searches(tmp_path: Path) -> None:
    from sentence_transformers.util.quantization import semantic_search_faiss

    data, queries = repeated(200, 24, 1), repeated(20, 24, 2)
    index = indexed(data, tmp_path, "ubinary")
    hamming, _ = semantic_search_faiss(
        queries, np.array(index.data), corpus_precision="ubinary", top_k=10, rescore=False
    )
    for hits, their in zip(exact.search(index, queries, 10), hamming, strict=True):
        distances = [hit["score"] for hit in their]
        np.testing.assert_allclose(hits.scores, 1 - np.array(distances) / 12, rtol=0, atol=5e-7)
    # All are rescored, so that equal distances at the cut do not matter.
    full, _ = semantic_search_faiss(
        queries,
        np.array(index.data),
        corpus_precision="ubinary",
        top_k=10,
        rescore=True,
        rescore_multiplier=20,
    )
    for hits, their in zip(exact.search(index, queries, 10, rescore=20), full, strict=True):
        assert [*hits.rows] == [hit["corpus_id"] for hit in their]


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_rescoring_orders_what_the_codes_found(tmp_path: Path, precision: forms.Precision) -> None:
    data, queries = repeated(500, 32, 1), repeated(20, 32, 2)
    index = indexed(data, tmp_path, precision)
    proposed = exact.search(index, queries, 30)
    rescored = exact.search(index, queries, 10, rescore=3)
    products = index.full_query(queries).astype(np.float64) @ index.values(index.data).T
    for i, (codes, full) in enumerate(zip(proposed, rescored, strict=True)):
        expected = sorted(codes.rows, key=lambda row: -products[i, row])[:10]
        assert [*full.rows] == expected
        np.testing.assert_allclose(full.scores, products[i, expected], rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_rescoring_finds_more(tmp_path: Path, precision: forms.Precision) -> None:
    data, queries = repeated(1000, 32, 1), repeated(20, 32, 2)
    best = exact.search(indexed(data, tmp_path), queries, 10)
    index = indexed(data, tmp_path, precision)
    found = [
        np.mean(
            [
                len({*a.rows} & {*b.rows})
                for a, b in zip(best, exact.search(index, queries, 10, rescore=r), strict=True)
            ]
        )
        for r in (1, 4, 16)
    ]
    assert found[0] < found[1] < found[2]


def test_float32_is_not_rescored(tmp_path: Path) -> None:
    index, queries = indexed(repeated(50, 8, 1), tmp_path), repeated(5, 8, 2)
    assert exact.search(index, queries, 5, rescore=4) == exact.search(index, queries, 5)


def test_rank(tmp_path: Path) -> None:
    index, queries = indexed(repeated(50, 8, 1), tmp_path), repeated(2, 8, 2)
    whole = exact.search(index, queries, 50)
    chosen = [np.array([9, 3, 40]), np.array([], np.int64)]
    first, second = exact.rank(index, queries, chosen, 2)
    expected = [(r, s) for r, s in zip(whole[0].rows, whole[0].scores, strict=True)]
    expected = [(r, s) for r, s in expected if r in (3, 9, 40)][:2]
    assert [*zip(first.rows, first.scores, strict=True)] == expected
    assert second == Hits((), ())
