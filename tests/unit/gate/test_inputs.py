"""What scores and labels may be held in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_modellab.gate import (
    AlignmentError,
    GateResult,
    LabelError,
    compare,
    decide,
    drop,
    drop_family,
    floor_family,
)

BEFORE = [1, 1, 0, 1, None, 1] * 10
AFTER = [1, 0, 0, 1, 1, None] + [1, 0, 0, 1, 1, 1] * 9
BUCKETS = ["b", "a", "a", "b", "a", "b"] * 10
CLUSTERS = [i // 2 for i in range(58)] + [None, None]


def expected() -> GateResult:
    return compare(
        [np.nan if score is None else score for score in BEFORE],
        [np.nan if score is None else score for score in AFTER],
        BUCKETS,
        [*CLUSTERS[:58], "alone", "lonely"],
    )


def compared(scores: Callable[[list[Any]], Any], labels: Callable[[list[Any]], Any]) -> GateResult:
    return compare(scores(BEFORE), scores(AFTER), labels(BUCKETS), labels(CLUSTERS))


@pytest.mark.parametrize("kind", [list, tuple, lambda x: np.array(x, dtype=object)])
def test_plain(kind: Any) -> None:
    assert compared(kind, kind) == expected()
    assert expected().pooled.dropped[:2] == (4, 10)
    assert expected().pooled.missing == (5,)


@pytest.mark.parametrize(
    "scores", ["float64", "Float64", "Int64", "boolean", "object", "category", "bool[pyarrow]"]
)
@pytest.mark.parametrize("labels", ["object", "string", "category"])
def test_pandas(scores: str, labels: str) -> None:
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in scores:
        pytest.importorskip("pyarrow")
    found = compared(
        lambda x: pandas.Series(x, dtype=scores), lambda x: pandas.Series(x, dtype=labels)
    )
    names = [one.name for one in found.buckets]
    assert names == ["a", "b"]
    assert found == expected()


def test_pandas_na_in_a_list() -> None:
    pandas = pytest.importorskip("pandas")
    with_na = [pandas.NA if score is None else score for score in BEFORE]
    assert compare(with_na, BEFORE).pooled == compare(BEFORE, BEFORE).pooled
    assert decide([1, 0], [1, 0], None, [pandas.NA, pandas.NA]) == "inconclusive"
    with pytest.raises(LabelError, match="1 sample without a label, at index 1"):
        decide([1, 0], [1, 0], ["a", pandas.NA])


def test_pandas_alone_by_itself() -> None:
    pandas = pytest.importorskip("pandas")
    found = floor_family(pandas.array([1, 0, None], dtype="Int64"), None, floor=0.5, max_missing=1)
    assert (found[0].candidate, found[0].missing) == (0.5, (2,))


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("kind", ["int8", "float64", "bool_"])
def test_pyarrow(kind: str, chunks: int) -> None:
    pyarrow = pytest.importorskip("pyarrow")

    def chunked(array: Any) -> Any:
        if chunks == 1:
            return array
        size = len(array) // chunks
        return pyarrow.chunked_array([array[i * size : (i + 1) * size] for i in range(chunks)])

    def scores(values: list[Any]) -> Any:
        return chunked(pyarrow.array(values).cast(getattr(pyarrow, kind)()))

    for encode in (False, True):

        def labels(values: list[Any], encode: bool = encode) -> Any:
            array = pyarrow.array(values)
            return chunked(array.dictionary_encode() if encode else array)

        assert compared(scores, labels) == expected()


def test_masked_arrays() -> None:
    missing = [score is None for score in BEFORE]
    hidden = np.ma.MaskedArray([7 if score is None else score for score in BEFORE], mask=missing)
    assert drop(hidden, BEFORE) == drop(BEFORE, BEFORE)


def test_booleans() -> None:
    assert drop([True, True], [True, False]).drop == 0.5
    assert drop(np.array([True, True]), np.array([True, False])).losses == 1


WORDS = (
    "baseline_scores and candidate_scores are Series with different indexes: align them, for "
    "example with candidate.reindex(baseline.index), or hand in .to_numpy() of each to pair them "
    "by position"
)


def test_series_in_another_order_are_not_paired() -> None:
    pandas = pytest.importorskip("pandas")
    baseline = pandas.Series([1, 1, 0], index=["x", "y", "z"])
    candidate = pandas.Series([0, 1, 1], index=["z", "x", "y"])
    for call in (decide, compare, drop):
        with pytest.raises(AlignmentError) as caught:
            call(baseline, candidate)
        assert str(caught.value) == WORDS
    assert drop(baseline, candidate.reindex(baseline.index)).losses == 0
    assert drop(baseline, candidate.to_numpy()).losses == 1  # an array is taken by position
    assert drop(baseline, [0, 1, 1]).losses == 1


def test_labels_in_another_order_are_not_paired() -> None:
    pandas = pytest.importorskip("pandas")
    scores = pandas.Series([1, 1, 0])
    labels = pandas.Series(["a", "b", "b"], index=[2, 1, 0])
    with pytest.raises(AlignmentError, match="baseline_scores and buckets are Series with"):
        drop_family(scores, scores, labels)
    with pytest.raises(AlignmentError, match="scores and clusters are Series with"):
        floor_family(scores, None, floor=0.5, clusters=labels)
    assert len(drop_family(scores, scores, labels.to_numpy())) == 2
    assert len(drop_family([1, 1, 0], scores, scores.index)) == 3


def test_neither_pandas_nor_pyarrow_is_imported() -> None:
    code = (
        "import sys, pytest_modellab.gate as gate\n"
        "gate.compare([1, 0], [1, 1], ['a', 'b'])\n"
        "print(sorted({'pandas', 'pyarrow', 'torch', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
