"""Samples of two files side by side, and the verdict on them."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab import gate
from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.judge import Rules, judge
from pytest_modellab.scorefiles.matching import Matched, SamplesDiffer, match
from pytest_modellab.scorefiles.rows import ScoreFile, ScoreRow


def file(*rows: ScoreRow, path: str = "a.csv") -> ScoreFile:
    return ScoreFile(path, "CSV", rows, ())


def row(id_: str, score: float | None = 1.0, **changes: Any) -> ScoreRow:
    return ScoreRow(id_, score, "line 1", **changes)


def plain(count: int, **changes: Any) -> list[ScoreRow]:
    return [row(f"s{i:03d}", **changes) for i in range(count)]


def refused(matched: Matched, allowed: float = 0.02) -> str:
    with pytest.raises(ScoreFileError) as caught:
        matched.check(allowed)
    return str(caught.value)


def test_every_way_not_to_match() -> None:
    baseline = file(
        row("e", hash="1"),
        row("d", None, hash="1"),
        row("c", 0.5, hash="1"),
        row("b", hash="1"),
        row("a", hash="1"),
    )
    candidate = file(
        row("a", 0.0, hash="1"),
        row("b", hash="2"),
        row("c", None, hash="1"),
        row("d", hash="1"),
        row("x", hash="1"),
    )
    matched = match(baseline, candidate)
    assert matched.ids == ("a", "b", "c", "d", "e")
    assert str(matched.baseline) == "(1.0, 1.0, 0.5, nan, 1.0)"
    assert str(matched.candidate) == "(0.0, nan, nan, 1.0, nan)"
    assert matched.differences == (
        ("only in the baseline", ("e",)),
        ("only in the candidate", ("x",)),
        ("with changed content", ("b",)),
        ("without a candidate score", ("c",)),
        ("without a baseline score, left out", ("d",)),
    )
    assert matched.content_checked
    assert refused(matched) == (
        "4 of 4 samples do not match (100.0%, allowed 2.0%): 1 only in the baseline: 'e'; 1 only "
        "in the candidate: 'x'; 1 with changed content: 'b'; 1 without a candidate score: 'c'; 1 "
        "without a baseline score, left out: 'd'. Run both on the same samples, or raise "
        "--max-missing; --json PATH lists all ids."
    )
    matched.check(1.0)


def test_tolerance_counts_samples_with_a_baseline_score() -> None:
    baseline = plain(50)
    one_less = match(file(*baseline), file(*baseline[1:]))
    one_less.check(0.02)
    assert refused(one_less, 0.019).startswith("1 of 50 samples do not match (2.0%, allowed 1.9%)")
    extra = match(file(*baseline), file(*baseline, row("x"), row("y")))
    assert refused(extra).startswith("2 of 50 samples do not match (4.0%, allowed 2.0%): 2 only in")
    # what the baseline cannot show anyway is not held against the candidate
    unscored = file(*baseline, row("u", None), row("v", None))
    match(unscored, file(*baseline[1:])).check(0.02)


def test_ten_ids_are_named_and_the_error_holds_all() -> None:
    baseline = plain(60)
    with pytest.raises(SamplesDiffer) as caught:
        match(file(*baseline), file(*baseline[12:])).check(0.02)
    assert "'s000', 's001'" in str(caught.value)
    assert "'s009' and 2 more" in str(caught.value)
    assert len(caught.value.matched.only_baseline) == 12


def test_nothing_to_compare() -> None:
    assert refused(match(file(row("a"), row("b")), file(row("t/a")))) == (
        "no id of the candidate is in the baseline: 't/a' against 'a', 'b'. Name the column that "
        "holds the same ids in both: --id NAME"
    )
    assert refused(match(file(row("a", None)), file(row("a")))) == (
        "no sample of the baseline has a score, so there is nothing to compare; check --score, or "
        "record the baseline again"
    )
    bucketed = file(row("a", None, bucket="x"), row("b", bucket="y"))
    assert refused(match(bucketed, file(row("a"), row("b")))) == (
        "no sample of bucket 'x' has a baseline score; record the baseline again, or leave the "
        "bucket out of both files"
    )


def test_contents_are_compared_only_where_both_have_them() -> None:
    with_hash, without = file(row("a", hash="1")), file(row("a"))
    assert not match(with_hash, without).content_checked
    assert match(with_hash, without).changed == ()
    mixed = file(row("a"), row("b", hash="1"))
    assert match(file(row("a", hash="1"), row("b", hash="1")), mixed).changed == ("a",)


def test_columns_that_pair_are_named() -> None:
    def hashed(run: str) -> ScoreFile:
        every = {"doc_hash": run, "target_hash": "t", "prompt_hash": "p", "doc_id": "a"}
        return file(row("a", hash=run, contents=every))

    assert refused(match(hashed("1"), hashed("2"))).endswith(
        " Every content differs, but these are the same in both: --hash target_hash --hash "
        "prompt_hash."
    )
    no_more = file(row("a", hash="3", contents={"hash": "3", "id": "a"}))
    assert refused(match(hashed("1"), no_more)).endswith(
        " Every content differs; if these are the same samples nevertheless, leave the contents "
        "out of one file, which pairs them by id alone."
    )


def test_a_changed_sample_is_no_change_for_block_and_zero_for_pass() -> None:
    baseline = plain(300, hash="1")
    changed = [*plain(6, hash="2"), *baseline[6:]]
    (figures,) = judge(match(file(*baseline), file(*changed)), Rules(margin=0.05)).figures
    assert figures.losses == 0
    assert len(figures.missing) == 6
    assert figures.drop_high > 0.02


def rules_error(**changes: Any) -> str:
    with pytest.raises(ScoreFileError) as caught:
        judge(match(file(*plain(5)), file(*plain(5))), Rules(**changes))
    return str(caught.value)


def test_rules_out_of_range() -> None:
    assert rules_error(margin=1.0).startswith("margin is 1, but must be at least 0 and below 1")
    assert rules_error(alpha=0.0).startswith("alpha is 0, but must lie above 0 and below 1")
    assert rules_error(floor=2.0).startswith("floor is 2, but must be at least 0 and below 1")
    assert rules_error(max_missing=-1.0).startswith("max_missing is -1, but must lie between 0 and")


scored = st.none() | st.sampled_from([0.0, 0.5, 1.0])


@settings(max_examples=50)
@given(
    st.lists(st.tuples(scored, scored, st.sampled_from("xyz")), min_size=1, max_size=40),
    st.integers(0, 99),
)
def test_the_verdict_is_that_of_the_gate_in_any_order(
    samples: list[tuple[float | None, float | None, str]], seed: int
) -> None:
    samples = [*samples, (1.0, 1.0, "x"), (1.0, 1.0, "y"), (1.0, 1.0, "z")]
    before = [row(f"s{i}", b, bucket=k) for i, (b, _, k) in enumerate(samples)]
    after = [row(f"s{i}", c) for i, (_, c, _) in enumerate(samples)]
    rules = Rules(margin=0.1, bucket_margin=0.2, max_missing=1.0)
    judged = judge(match(file(*before), file(*after)), rules)
    rng = random.Random(seed)
    rng.shuffle(before)
    rng.shuffle(after)
    assert judge(match(file(*before), file(*after)), rules) == judged
    same = gate.compare(
        [math.nan if b is None else b for b, _, _ in samples],
        [math.nan if c is None else c for _, c, _ in samples],
        [k for _, _, k in samples],
        margin=0.1,
        bucket_margin=0.2,
        max_missing=1.0,
    )
    assert judged.verdict == same.verdict
    assert judged.drop.pooled.p_block == same.pooled.p_block
    assert [b.p_adjusted for b in judged.drop.buckets] == [b.p_adjusted for b in same.buckets]


def test_drop_and_floor_share_alpha_and_both_must_pass() -> None:
    baseline = [row(f"s{i:03d}", bucket="xy"[i % 2]) for i in range(400)]
    right = match(file(*baseline), file(*plain(400)))
    judged = judge(right, Rules(margin=0.05, floor=0.5))
    assert judged.verdict == "pass"
    assert (judged.drop.pooled.alpha, judged.drop.buckets[0].alpha) == (0.0125, 0.0125)
    assert (judged.floor[0].alpha, judged.floor[0].pass_alpha) == (0.025, 0.05)
    low = [row(f"s{i:03d}", float(i % 20 == 0), bucket="x") for i in range(400)]
    same_but_low = judge(match(file(*low), file(*low)), Rules(margin=0.05, floor=0.5))
    assert (same_but_low.drop.verdict, same_but_low.verdict) == ("pass", "block")
