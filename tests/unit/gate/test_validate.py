"""Every way of handing in something that cannot be compared, with its message."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pytest_modellab.gate import (
    EmptyError,
    GateInputError,
    LabelError,
    LengthError,
    MissingScoresError,
    ScoreError,
    SettingError,
    combine,
    compare,
    decide,
    drop,
    drop_family,
    floor_family,
)

TWO = [1.0, 0.0]


def message(kind: type[GateInputError], call: Any, *args: Any, **settings: Any) -> str:
    with pytest.raises(kind) as caught:
        call(*args, **settings)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 5, math.nan])
@pytest.mark.parametrize("call", [compare, decide, drop])
def test_alpha(call: Any, alpha: float) -> None:
    assert message(SettingError, call, TWO, TWO, alpha=alpha) == (
        f"alpha is {alpha:g}, but must lie above 0 and below 1: it is the accepted risk of a "
        "false alarm; 0.05 is usual"
    )


def test_pass_alpha() -> None:
    for call, args in ((drop, (TWO, TWO)), (drop_family, (TWO, TWO, ["a", "b"]))):
        assert message(SettingError, call, *args, pass_alpha=1.0).startswith("pass_alpha is 1, but")
    assert message(SettingError, floor_family, TWO, None, floor=0.5, pass_alpha=0).startswith(
        "pass_alpha is 0, but"
    )


@pytest.mark.parametrize("margin", [1.0, -0.01, math.nan, math.inf])
@pytest.mark.parametrize("call", [compare, decide, drop])
def test_margin(call: Any, margin: float) -> None:
    assert message(SettingError, call, TWO, TWO, margin=margin) == (
        f"margin is {margin:g}, but must be at least 0 and below 1: it is the drop allowed on the "
        "score scale from 0 to 1; write 0.02 for two points of a hundred"
    )


def test_bucket_margin_floor_and_limit() -> None:
    assert message(SettingError, compare, TWO, TWO, bucket_margin=2).startswith(
        "bucket_margin is 2,"
    )
    assert message(SettingError, floor_family, TWO, None, floor=1.0) == (
        "floor is 1, but must be at least 0 and below 1: it is the least mean score of a bucket, "
        "on the score scale from 0 to 1"
    )
    assert message(SettingError, drop, TWO, TWO, max_missing=1.5) == (
        "max_missing is 1.5, but must lie between 0 and 1: it is the share of candidate scores "
        "that may be missing"
    )
    assert message(SettingError, drop, TWO, TWO, margin="wide") == (
        "margin is 'wide', but must be a number"
    )


@pytest.mark.parametrize("call", [compare, decide, drop])
def test_nothing_to_compare(call: Any) -> None:
    assert message(EmptyError, call, [], []) == (
        "there are no samples to compare: both arrays of scores are empty"
    )
    assert message(EmptyError, call, [math.nan] * 2, TWO) == (
        "there are no samples to compare: all 2 baseline scores are missing; "
        "record the baseline again"
    )
    assert message(EmptyError, floor_family, [], None, floor=0.5) == (
        "there are no samples to compare with a floor: scores is empty"
    )
    assert message(EmptyError, combine, []) == (
        "there are no comparisons to combine: hand in at least one"
    )


def test_a_bucket_without_baseline() -> None:
    scores = [1.0, 1.0, math.nan, math.nan]
    assert message(EmptyError, compare, scores, [1.0] * 4, ["a", "a", "b", "b"]) == (
        "bucket 'b' has no samples to compare: all its baseline scores are missing, "
        "at index 2, 3: record the baseline again, or leave the bucket out"
    )


def test_lengths() -> None:
    tail = ": both must list the same samples in the same order, with NaN where a score is missing"
    assert message(LengthError, decide, TWO, [1.0]) == (
        f"candidate_scores has 1 entries, baseline_scores 2{tail}"
    )
    assert message(LengthError, decide, TWO, TWO, ["a"]) == (
        f"buckets has 1 entries, the scores 2{tail}"
    )
    assert message(LengthError, decide, TWO, TWO, None, [1, 2, 3]) == (
        f"clusters has 3 entries, the scores 2{tail}"
    )
    assert message(LengthError, decide, [TWO, TWO], TWO) == (
        "baseline_scores has shape (2, 2), but must have one score a sample: average repeated "
        "generations and paraphrases of a sample first"
    )
    assert message(LengthError, decide, TWO, TWO, np.array([["a", "b"], ["a", "c"]])) == (
        "buckets has shape (2, 2), but must hold one label a sample: "
        'join several columns into one text such as "arithmetic/hard"'
    )


def test_scores_out_of_range() -> None:
    assert message(ScoreError, decide, TWO, [0.0, 1.5]) == (
        "candidate_scores: 1 score outside [0, 1], at index 1 (first value 1.5): "
        "map the metric to 0 (worst) to 1 (best) first"
    )
    assert message(ScoreError, decide, [-1.0] * 7, [1.0] * 7) == (
        "baseline_scores: 7 scores outside [0, 1], at index 0, 1, 2, 3, 4 and 2 more "
        "(first value -1): map the metric to 0 (worst) to 1 (best) first"
    )
    assert "first value inf" in message(ScoreError, floor_family, [math.inf], None, floor=0.5)
    assert decide([1.0 + 1e-12, 0.0], [1.0, -1e-12]) == "inconclusive"  # rounding is no error


def test_scores_that_are_no_numbers() -> None:
    assert message(ScoreError, decide, TWO, ["good", "bad"]) == (
        "candidate_scores must be one number a sample (None or NaN where it is missing), "
        "but could not be read as such: ['good', 'bad']"
    )
    assert message(ScoreError, decide, TWO, [[1.0], [1.0, 0.0]] * 20).endswith("...")
    assert message(ScoreError, decide, TWO, {0: 1.0, 1: 0.0}).endswith(": {0: 1.0, 1: 0.0}")


def test_too_many_missing() -> None:
    after = [1.0] * 97 + [math.nan] * 3
    assert message(MissingScoresError, compare, [1.0] * 100, after) == (
        "3 of 100 candidate scores are missing (3.0%, allowed 2.0%), at index 97, 98, 99: "
        "run these samples again, or raise max_missing"
    )
    assert compare([1.0] * 100, after, max_missing=0.03).pooled.missing == (97, 98, 99)
    assert compare([1.0] * 100, [1.0] * 98 + [math.nan] * 2).pooled.missing == (98, 99)
    with pytest.raises(MissingScoresError):
        decide([1.0] * 100, after)


def test_labels() -> None:
    assert message(LabelError, decide, TWO, TWO, ["a", None]) == (
        "buckets: 1 sample without a label, at index 1: give every sample a bucket"
    )
    assert message(LabelError, decide, TWO, TWO, [math.nan, ""]) == (
        "buckets: 2 samples without a label, at index 0, 1: give every sample a bucket"
    )
    assert message(LabelError, decide, TWO, TWO, [1, "1"]) == (
        "buckets: 1 and '1' are different labels of the same name '1': use one of them"
    )
    tail = "but must hold one label a sample, in the order of the scores"
    assert message(LabelError, decide, TWO, TWO, "ab") == f"buckets is a str, 'ab', {tail}"
    assert message(LabelError, decide, TWO, TWO, None, {0: "a"}) == (
        f"clusters is a dict, {{0: 'a'}}, {tail}"
    )
    assert message(LabelError, decide, TWO, TWO, [["a"], ["b"]]) == (
        "buckets holds labels that cannot be compared (of type list): use text"
    )


def test_too_many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_modellab.gate.validate.MAX_SAMPLES", 1)
    assert message(LengthError, decide, TWO, TWO) == (
        "2 samples are more than the 1 that one comparison takes: compare a random part of them"
    )


def test_too_many_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_modellab.gate.validate.MAX_BUCKETS", 1)
    assert message(LabelError, decide, TWO, TWO, ["a", "b"]) == (
        "buckets: 2 different labels are more than the 1 that one comparison takes: use coarser "
        "ones"
    )
