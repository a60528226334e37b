"""Vectors as an index keeps them: cut off, normalized, quantized as sentence-transformers does."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_modellab.engines.encoders.texts import Similarity
from pytest_modellab.engines.search import forms
from pytest_modellab.engines.search.forms import Form
from pytest_modellab.engines.search.vectors import Vectors
from pytest_modellab.errors import ModelError, VariantLoadError

PRECISIONS: tuple[forms.Precision, ...] = ("float32", "int8", "uint8", "binary", "ubinary")
SIMILARITIES: tuple[Similarity, ...] = ("cosine", "dot")
SCALAR: tuple[forms.Precision, ...] = ("int8", "uint8")
BITS: tuple[forms.Precision, ...] = ("binary", "ubinary")


def some(documents: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(documents, dimension)).astype(np.float32)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def kept(data: NDArray[np.float32], key: str = "0123456789abcdef") -> Vectors:
    lengths = np.linalg.norm(data.astype(np.float64), axis=1)
    norms = (float(lengths.min()), float(lengths.max()))
    return Vectors(data, key, len(data), data.shape[1], norms, seconds=1.0, tokens=9)


def quantized(rows: NDArray[np.float32], precision: str, **options: Any) -> NDArray[Any]:
    from sentence_transformers.util.quantization import quantize_embeddings

    found: NDArray[Any] = quantize_embeddings(rows, precision, **options)
    return found


# --- float32 -------------------------------------------------------------------------------------


def test_unit_vectors_are_used_as_they_are(tmp_path: Path) -> None:
    found = kept(unit(some(20, 8)))
    index = forms.index(found, Form(), tmp_path)
    assert index.data is found.data
    assert index.bytes_per_document == 32
    assert list(tmp_path.iterdir()) == []


def test_other_vectors_are_normalized_once(tmp_path: Path) -> None:
    data = some(20, 8)
    first = forms.index(kept(data), Form(), tmp_path)
    np.testing.assert_allclose(first.data, unit(data), rtol=1e-6)
    written = [p.stat().st_mtime_ns for p in sorted(tmp_path.rglob("*.npy"))]
    second = forms.index(kept(data), Form(), tmp_path)
    assert [p.stat().st_mtime_ns for p in sorted(tmp_path.rglob("*.npy"))] == written
    np.testing.assert_array_equal(first.data, second.data)
    assert isinstance(second.data, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        second.data[0, 0] = 1


def test_without_normalization_the_file_itself_is_used(tmp_path: Path) -> None:
    found = kept(some(20, 8))
    index = forms.index(found, Form(similarity="dot"), tmp_path)
    assert index.data is found.data
    assert index.bound == found.norms[1]


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_cut_off(tmp_path: Path, similarity: Similarity) -> None:
    data = unit(some(20, 8))
    index = forms.index(kept(data), Form(dimensions=3, similarity=similarity), tmp_path)
    expected = unit(data[:, :3]) if similarity == "cosine" else data[:, :3]
    np.testing.assert_allclose(index.data, expected, rtol=1e-6)
    assert (index.dimension, index.dimensions, index.bytes_per_document) == (8, 3, 12)
    np.testing.assert_allclose(index.query(data), expected, rtol=1e-6)
    np.testing.assert_array_equal(index.full_query(data), index.query(data))


def test_a_vector_of_zeros_stays_one(tmp_path: Path) -> None:
    index = forms.index(kept(np.zeros((2, 4), np.float32)), Form(), tmp_path)
    np.testing.assert_array_equal(index.data, 0)


def test_all_dimensions_by_number_are_the_same_index(tmp_path: Path) -> None:
    found = kept(some(20, 8))
    keys = {forms.index(found, Form(dimensions=d), tmp_path).key for d in (None, 8)}
    assert len(keys) == 1


def test_every_form_and_every_set_of_vectors_has_its_own_key(tmp_path: Path) -> None:
    keys = [
        forms.index(kept(unit(some(200, 8)), key), Form(d, p, s), tmp_path).key
        for key in ("0" * 16, "1" * 16)
        for d in (None, 4)
        for p in PRECISIONS
        for s in SIMILARITIES
    ]
    assert len({*keys}) == len(keys) == 40


# --- quantized -----------------------------------------------------------------------------------


@given(
    documents=st.integers(1, 40),
    dimension=st.integers(1, 20),
    cut=st.none() | st.integers(1, 20),
    similarity=st.sampled_from(SIMILARITIES),
    precision=st.sampled_from(PRECISIONS[1:]),
    constant=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_quantized_as_sentence_transformers_does(
    tmp_path_factory: pytest.TempPathFactory,
    documents: int,
    dimension: int,
    cut: int | None,
    similarity: Similarity,
    precision: forms.Precision,
    constant: bool,
    seed: int,
) -> None:
    data = some(documents, dimension, seed)
    if constant:
        data[:, 0] = 0.25
    form = Form(None if cut is None else min(cut, dimension), precision, similarity)
    index = forms.index(kept(data), form, tmp_path_factory.mktemp("cache"))
    rows = data[:, : form.dimensions]
    rows = form.shorten(rows) if form.normalize else rows
    ranges = np.vstack([rows.min(axis=0), rows.max(axis=0)])
    np.testing.assert_array_equal(index.data, quantized(rows, precision, ranges=ranges))
    if precision in SCALAR:
        assert index.ranges is not None
        np.testing.assert_array_equal(index.ranges, ranges)
    else:
        assert index.ranges is None
    lengths = np.linalg.norm(index.values(index.data).astype(np.float64), axis=1)
    assert lengths.max() <= index.bound * (1 + 1e-12)


@pytest.mark.parametrize("precision", SCALAR)
def test_ranges_are_those_of_the_whole_corpus_in_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: forms.Precision
) -> None:
    found = kept(some(50, 8))
    whole = forms.index(found, Form(precision=precision), tmp_path / "a")
    monkeypatch.setattr(forms, "BLOCK", 7)
    parts = forms.index(found, Form(precision=precision), tmp_path / "b")
    np.testing.assert_array_equal(whole.data, parts.data)
    np.testing.assert_array_equal(whole.ranges, parts.ranges)
    again = forms.index(found, Form(precision=precision), tmp_path / "b")
    np.testing.assert_array_equal(again.ranges, parts.ranges)


@pytest.mark.parametrize("precision", SCALAR)
def test_scalar_codes(tmp_path: Path, precision: forms.Precision) -> None:
    data = unit(some(300, 8))
    index = forms.index(kept(data), Form(precision=precision), tmp_path)
    assert index.bytes_per_document == 8
    assert index.data.dtype == precision
    np.testing.assert_array_equal(index.decode(index.data), index.data.astype(np.float32))
    step = (data.max(axis=0) - data.min(axis=0)) / 255
    values = index.values(index.data)
    assert values.dtype == np.float32
    assert ((data - values) > -1e-6).all()  # the code is the step below
    assert ((data - values) < step + 1e-6).all()
    outside = np.array([[9.0] * 4 + [-9.0] * 4], np.float32)
    least, greatest = (-128, 127) if precision == "int8" else (0, 255)
    raw = forms.index(kept(data), Form(precision=precision, similarity="dot"), tmp_path)
    np.testing.assert_array_equal(raw.query(outside), [[greatest] * 4 + [least] * 4])
    np.testing.assert_array_equal(raw.full_query(outside), outside)


@pytest.mark.parametrize("precision", BITS)
@pytest.mark.parametrize("dimension", [3, 8, 13])
def test_bits(tmp_path: Path, precision: forms.Precision, dimension: int) -> None:
    data = some(50, dimension)
    data[0] = 0
    index = forms.index(kept(data), Form(precision=precision), tmp_path)
    assert index.bytes_per_document == math.ceil(dimension / 8)
    signs = np.where(data > 0, 1, -1)
    np.testing.assert_array_equal(index.decode(index.data), signs)
    np.testing.assert_array_equal(index.values(index.data), signs)
    np.testing.assert_array_equal(index.query(data), signs)
    assert index.decode(index.data).dtype == np.float32
    assert not np.array_equal(index.full_query(data), signs)


# --- pairs without a corpus ----------------------------------------------------------------------


def test_compared() -> None:
    data = some(4, 8)
    np.testing.assert_allclose(forms.compared(data, Form()), unit(data), rtol=1e-6)
    np.testing.assert_array_equal(forms.compared(data, Form(similarity="dot")), data)
    np.testing.assert_allclose(forms.compared(data, Form(dimensions=5)), unit(data[:, :5]), 1e-6)
    bits = forms.compared(data, Form(precision="binary", dimensions=5))
    same = (np.sign(data[:1, :5]) == np.sign(data[:, :5])).sum(axis=1)
    np.testing.assert_allclose(bits @ bits[0], (2 * same - 5) / 5, rtol=1e-6)


@pytest.mark.parametrize("similarity", get_args(Similarity))
def test_pairs_are_as_alike_as_sentence_transformers_says(similarity: Similarity) -> None:
    from sentence_transformers.util import SimilarityFunction

    form = Form(dimensions=5, similarity=similarity)
    one, *others = data = some(5, 8)
    kept = forms.compared(data, form)
    theirs = SimilarityFunction.to_similarity_fn(similarity)(one[:5], np.array(others)[:, :5])
    np.testing.assert_allclose(forms.likeness(kept[0], kept[1:], form), theirs[0], rtol=1e-5)


def test_a_corpus_is_not_searched_by_manhattan_distance(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        forms.index(kept(some(4, 8)), Form(similarity="manhattan"), tmp_path)
    assert str(caught.value) == (
        "similarity: 'manhattan' compares pairs of texts, but no corpus is searched by it; choose "
        '"euclidean", "cosine" or "dot"'
    )


def test_compared_by_codes() -> None:
    with pytest.raises(
        ModelError,
        match=r"^vectors: int8 takes the range of each number from a corpus, and pairs of texts "
        r'have none: compare them by a variant with vectors = "float32" or "binary"$',
    ):
        forms.compared(some(4, 8), Form(precision="int8"))


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [9, 0, -1])
def test_dimensions_that_the_model_does_not_have(tmp_path: Path, dimensions: int) -> None:
    with pytest.raises(
        ModelError,
        match=rf"^dimensions: {dimensions} cannot be kept of the model's vectors, which have 8 "
        r"numbers; choose 1 to 8$",
    ):
        forms.index(kept(some(4, 8)), Form(dimensions=dimensions), tmp_path)


@pytest.mark.parametrize("shape", [(2, 4), (2, 9), (8,)])
def test_queries_of_another_model(tmp_path: Path, shape: tuple[int, ...]) -> None:
    index = forms.index(kept(some(20, 6)), Form(dimensions=4), tmp_path)
    with pytest.raises(
        ModelError,
        match=rf"^queries of {shape[-1]} numbers cannot be compared with documents of 6: encode "
        r"both with the same model, and leave cutting off to 'dimensions'$",
    ):
        index.query(np.ones(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_queries_that_are_not_finite(tmp_path: Path, value: float) -> None:
    index = forms.index(kept(some(20, 6)), Form(), tmp_path)
    queries = some(3, 6)
    queries[1, 2] = value
    with pytest.raises(
        ModelError,
        match=r"^the vector of query 1 holds NaN or infinity \(1 of 3 queries do\): a model in "
        r"float16 may overflow, load it in float32 or bfloat16$",
    ):
        index.query(queries)


def test_without_sentence_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers.util.quantization", None)
    forms.index(kept(some(20, 6)), Form(dimensions=4), tmp_path)
    with pytest.raises(
        VariantLoadError,
        match=r"^sentence-transformers is not installed: "
        r"pip install 'pytest-modellab\[embedding\]'$",
    ):
        forms.index(kept(some(20, 6)), Form(precision="int8"), tmp_path)
