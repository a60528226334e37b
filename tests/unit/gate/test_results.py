"""Figures cross process borders and are read by people."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any

import numpy as np
import pytest

from pytest_modellab.gate import Figures, GateResult, combine, compare, drop, floor_family


def only_built_in(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(only_built_in(one) for one in value)
    return type(value) in {float, int, str, type(None)}


def every_figure() -> list[Figures]:
    rng = np.random.default_rng(1)
    before = rng.integers(0, 5, 400) / 4
    before[7] = np.nan
    after = np.clip(before - rng.choice([0.0, 0.25], 400, p=[0.9, 0.1]), 0.0, 1.0)
    after[9] = np.nan
    buckets = np.repeat(np.array([1, 2, 3, 4]), 100)
    found = [drop([1, 1], [0, 0])]
    for margin in (0.0, 0.1):
        for clusters in (None, np.arange(400) // 5):
            result = compare(before, after, buckets, clusters, margin=margin)
            found += [result.pooled, *result.buckets]
    found += floor_family((after > 0.6).astype(float), buckets, floor=0.5)
    found += floor_family(after, buckets, floor=0.5, clusters=np.arange(400) // 5)
    return found


def test_built_in_types_only() -> None:
    for one in every_figure():
        for field in dataclasses.fields(one):
            assert only_built_in(getattr(one, field.name)), field.name
        stored = json.dumps(dataclasses.asdict(one), allow_nan=False)
        assert json.loads(stored)["name"] == one.name
        assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own bytes


def test_frozen_and_slotted() -> None:
    found = compare([1, 0], [1, 0])
    for one in (found, found.pooled):
        assert not hasattr(one, "__dict__")
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.verdict = "pass"  # type: ignore[misc]


def fell(n: int, before: int, after: int) -> tuple[list[int], list[int]]:
    return [1] * before + [0] * (n - before), [1] * after + [0] * (n - after)


def test_explaining_a_block() -> None:
    found = drop(*fell(48, 34, 24), alpha=0.00625)
    assert found.explain() == (
        "blocked: the mean score fell from 0.71 to 0.50 (n = 48); a drop this large "
        "happens by chance in 1 of 2048 runs; the allowed risk here is 1 in 160"
    )
    found = drop(*fell(200, 150, 90), margin=0.1)
    assert found.explain().startswith(
        "blocked: the mean score fell from 0.75 to 0.45 (n = 200); a drop this large "
        "beyond the allowed 0.1 happens by chance in fewer than 1 of 1000000 runs; "
    )


def test_explaining_a_pass() -> None:
    assert drop([1] * 300, [1] * 300, margin=0.02).explain() == (
        "passed: the mean score stayed at 1.00 (n = 300); with 95% confidence the drop is "
        "at most 0.010, and 0.02 is allowed"
    )


def test_explaining_what_is_undecided() -> None:
    assert drop([1] * 100, [1] * 100, margin=0.02).explain() == (
        "undecided: the mean score stayed at 1.00 (n = 100); with this many samples a drop "
        "of 0.09 is noticed in 4 of 5 runs; about 49 more samples would settle it"
    )
    assert (
        drop([1] * 100, [1] * 100)
        .explain()
        .endswith("with an allowed drop of 0 nothing can pass: set a margin")
    )
    assert "this is too few samples to notice any drop; about" in drop([1] * 3, [0, 1, 1]).explain()
    assert (
        drop(*fell(100, 52, 50), margin=0.02)
        .explain()
        .endswith("what was seen lies so near the limit that more samples may not settle it")
    )
    assert (
        drop([0] * 1000, [1] + [0] * 999, clusters=[i // 2 for i in range(1000)])
        .explain()
        .split(";")[0]
        == "undecided: the mean score went from 0.0000 to 0.0010 (n = 1000 in 500 clusters)"
    )


def test_one_cluster_is_singular() -> None:
    found = drop([1, 1], [0, 0], clusters=["a", "a"])
    assert found.explain() == (
        "undecided: the mean score fell from 1.00 to 0.00 (n = 2 in 1 cluster); one sample "
        "or cluster alone shows nothing; add more"
    )


def test_explaining_floors() -> None:
    low, high, near = (
        floor_family([1] * right + [0] * (60 - right), None, floor=0.5)[0] for right in (15, 50, 29)
    )
    assert low.explain() == (
        "blocked: the mean score is 0.25 (n = 60), below the floor of 0.5; a mean this low "
        "happens by chance in 1 of 14868 runs of a model at the floor; the allowed risk here is "
        "1 in 20"
    )
    assert high.explain() == (
        "passed: the mean score is 0.83 (n = 60); with 95% confidence the mean score is at "
        "least 0.734, above the floor of 0.5"
    )
    assert near.explain().startswith(
        "undecided: the mean score is 0.48 (n = 60), the floor is 0.5; with this many "
        "samples a mean below it by 0."
    )
    (few,) = floor_family([1, 0, 0], None, floor=0.1)
    assert "this is too few samples to notice any mean below it; " in few.explain()


def test_short_forms() -> None:
    blocked, passed = drop(*fell(48, 34, 24)), drop([1] * 300, [1] * 300, margin=0.02)
    assert repr(blocked) == "<block: all 0.71 -> 0.50, n = 48, p = 0.00049 (allowed 0.05)>"
    assert repr(passed) == ("<pass: all 1.00 -> 1.00, n = 300, drop at most 0.010 (allowed 0.02)>")
    low, high = (
        floor_family([1] * right + [0] * (60 - right), None, floor=0.5)[0] for right in (15, 50)
    )
    assert repr(low) == "<block: all 0.25, n = 60, p = 6.7e-05 (allowed 0.05)>"
    assert repr(high) == "<pass: all 0.83, n = 60, mean at least 0.734 (floor 0.5)>"
    before, after = fell(60, 50, 30)
    result = compare(before + [1] * 60, after + [1] * 60, ["arithmetic/hard"] * 60 + ["b"] * 60)
    assert repr(result) == (
        "<block: all 0.92 -> 0.75, n = 120, p = 4.8e-07 (allowed 0.025); buckets: 1 block, "
        "1 inconclusive; worst: arithmetic/hard 0.83 -> 0.50, n = 60, p = 4.8e-07 (allowed 0.013)>"
    )
    assert repr(compare([1] * 9, [1] * 9)) == (
        "<inconclusive: all 1.00 -> 1.00, n = 9, p = 0.5 (allowed 0.05)>"
    )


def test_explaining_one_missing_score() -> None:
    found = drop([1] * 60 + [None], [1] * 59 + [None, 1])
    assert found.explain().endswith(
        "(1 candidate score is missing; 1 sample without a baseline score left out)"
    )


def test_explaining_a_result() -> None:
    before, after = fell(60, 50, 30)
    found = compare(before * 2, after * 2, ["a"] * 60 + ["b"] * 60)
    lines = found.explain().splitlines()
    assert [line[:12] for line in lines] == ["blocked: the", "blocked: a f", "blocked: b f"]
    assert len(compare([1] * 24, [1] * 24, list(range(24))).explain().splitlines()) == 11
    passed = compare([1] * 400, [1] * 400, ["a"] * 200 + ["b"] * 200, margin=0.05)
    assert [line[:9] for line in passed.explain().splitlines()] == ["passed: t", "passed: a"]


def test_combine() -> None:
    blocked = drop(*fell(60, 50, 30))
    passed = drop([1] * 60, [1] * 60, margin=0.05)
    open_ = drop([1] * 60, [1] * 60)
    assert combine([passed, blocked, open_]) == "block"
    assert combine([passed, passed]) == "pass"
    assert combine(iter([passed, open_])) == "inconclusive"
    assert isinstance(compare([1, 0], [1, 0]), GateResult)
