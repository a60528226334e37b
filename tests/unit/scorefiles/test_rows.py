"""From cells to scores in [0, 1], and from repeats to samples."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.rows import ScoreFile, Wanted, score_file, score_of
from pytest_modellab.scorefiles.table import ScoreTable


def table(*records: dict[str, Any], **changes: Any) -> ScoreTable:
    numbered = [(f"line {number}", record) for number, record in enumerate(records, start=1)]
    columns = tuple(dict.fromkeys(name for record in records for name in record))
    return ScoreTable(**{"kind": "test", "columns": columns, "records": numbered, **changes})


def read(found: ScoreTable, **wanted: Any) -> ScoreFile:
    return score_file(Path("a"), found, Wanted(**wanted), ())


@pytest.mark.parametrize("value", ["", " ", "NA", "n/a", "NaN", "null", "None", None, math.nan])
def test_missing(value: Any) -> None:
    assert score_of(value, Wanted()) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, 1.0),
        ("False", 0.0),
        (1, 1.0),
        (" 0.5 ", 0.5),
        (Decimal("0.25"), 0.25),
        (1 + 1e-12, 1),
    ],
)
def test_scores(value: Any, expected: float) -> None:
    assert score_of(value, Wanted()) == expected


def test_range_and_direction() -> None:
    percent = Wanted(low=0.0, high=100.0)
    assert score_of("71", percent) == 0.71
    assert score_of(True, percent) == 1.0
    wer = Wanted(low=0.0, high=2.0, lower_is_better=True)
    assert score_of(0.5, wer) == 0.75
    assert score_of(True, wer) == 0.0
    with pytest.raises(ValueError, match=r"^2\.5 lies outside \[0, 2\]; say which range"):
        score_of(2.5, wer)


@given(st.floats(-5, 5), st.floats(0.1, 10), st.floats(0, 1))
def test_mapping_keeps_order_and_ends(low: float, width: float, share: float) -> None:
    up = Wanted(low=low, high=low + width)
    down = Wanted(low=low, high=low + width, lower_is_better=True)
    value = min(low + share * width, up.high)
    better, worse = score_of(value, up), score_of(value, down)
    assert better is not None
    assert worse is not None
    assert better + worse == pytest.approx(1.0)
    assert score_of(up.low, up) == score_of(up.high, down) == 0.0
    assert score_of(up.high, up) == score_of(up.low, down) == 1.0


def test_buckets_are_joined_and_hashes_too() -> None:
    found = table({"id": 1, "score": 1, "a": "x", "b": 2, "hash": "h", "doc_hash": "d"})
    (row,) = read(found, by=("a", "b"), cluster="b").rows
    assert (row.bucket, row.cluster, row.hash) == ("x/2", "2", "h d")
    (row,) = read(found, hash=("a",)).rows
    assert row.hash == "x"


def test_repeats_are_averaged_where_asked() -> None:
    found = table(
        {"id": "a", "score": 1, "hash": "x"},
        {"id": "a", "score": 0, "hash": "y"},
        {"id": "b", "score": 1, "hash": "x"},
        {"id": "b", "score": None, "hash": "x"},
    )
    a, b = read(found, repeats=True).rows
    assert (a.score, a.hash) == (0.5, "x y")
    assert (b.score, b.hash) == (None, "x")
    assert read(found, repeats=True).notes[-1] == "4 rows averaged to 2 samples"
    with pytest.raises(ScoreFileError, match=r"^a: 2 ids stand on several lines: 'a' \(line 1, "):
        read(found)


def test_repeats_share_bucket_and_cluster() -> None:
    found = table({"id": "a", "score": 1, "k": "x"}, {"id": "a", "score": 0, "k": "y"})
    for wanted in ({"by": ("k",)}, {"cluster": "k"}):
        with pytest.raises(ScoreFileError) as caught:
            read(found, repeats=True, **wanted)
        assert str(caught.value) == (
            "a: line 2: sample 'a' has another bucket or cluster than at line 1; repeats of a "
            "sample share them"
        )


def test_a_format_that_names_its_scores() -> None:
    found = table({"id": 1, "score": 0, "f1": 1, "acc": 1}, scores=("f1", "acc"))
    assert read(found).rows[0].score == 1.0  # acc, though there is a column named score
    assert read(table({"id": 1, "f1": 1}, scores=("f1",))).rows[0].score == 1.0
    with pytest.raises(ScoreFileError, match=r"which column holds the score.* Known: bleu, f1$"):
        read(table({"id": 1, "f1": 1, "bleu": 0}, scores=("f1", "bleu")))
