"""What a plan adds up to, and what it keeps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab import gate
from pytest_modellab.errors import GateUsageError
from pytest_modellab.records.asked import Allowed
from pytest_modellab.records.tasks import Sample
from pytest_modellab.tasksets.quality import planning
from pytest_modellab.tasksets.quality.planning import Aim, Bucket

QUESTION = Aim(
    drop=0.2, power=0.8, churn=0.02, allowed=Allowed(0.02, 0.05), alpha=0.05, assertions=2
)


def singles(name: str, n: int, seconds: float | None = None) -> Bucket:
    return Bucket(name, (1,) * n, seconds)


def test_a_row_is_what_the_gate_plans() -> None:
    found = planning.plan(
        [singles("a", 80, 0.5), singles("b", 40, 1.0)], singles("all", 120), QUESTION
    )
    level = 0.05 / 2 / 2
    a, b = found.buckets
    known: dict[str, Any] = {"churn": 0.02, "margin": 0.05, "level": level}
    assert (a.samples, a.clusters, a.level) == (80, 80, level)
    assert a.power == gate.power(80, 0.2, **known)
    assert a.detectable == gate.detectable_drop(80, **known)
    assert a.needed == b.needed == gate.samples_for(0.2, **known)
    assert a.pass_needed == gate.pass_size(churn=0.02, margin=0.05)
    assert b.needed is not None
    assert b.add == b.needed - 40 > 0
    assert b.add_seconds == b.add
    assert found.pooled.level == 0.025
    assert found.pooled.power == gate.power(120, 0.2, churn=0.02, margin=0.02, level=0.025)
    assert found.add == (a.add or 0) + b.add
    assert found.seconds == 80 * 0.5 + 40 * 1.0


def test_buckets_at_margin_0_keep_the_level_exactly() -> None:
    question = dataclasses.replace(QUESTION, allowed=Allowed(0.0, 0.0))
    found = planning.plan([singles("a", 50)] * 3, singles("all", 150), question)
    expected = gate.power(50, 0.2, churn=0.02, level=0.05 / 6, in_family=True)
    assert found.buckets[0].power == expected < gate.power(50, 0.2, churn=0.02, level=0.05 / 6)
    assert found.buckets[0].pass_needed is None


def test_the_run_blocks_at_least_as_often_as_its_likelier_assertion() -> None:
    large, small = singles("large", 200), singles("small", 20)
    found = planning.plan([large, small], singles("all", 220), QUESTION)
    powers = [row.power for row in found.buckets]
    assert found.all_fall == max(found.pooled.power, gate.any_power(powers))
    pooled = gate.power(220, 0.2 * 200 / 220, churn=0.02, margin=0.02, level=0.025)
    assert found.one_falls["large"] == max(powers[0], pooled)
    assert found.one_falls["small"] == max(
        powers[1], gate.power(220, 0.2 * 20 / 220, churn=0.02, margin=0.02, level=0.025)
    )


def test_buckets_that_share_clusters_do_not_add_up() -> None:
    question = dataclasses.replace(QUESTION, allowed=Allowed(0.2, 0.05))
    halves = [singles("easy", 60), singles("hard", 60)]
    shared = planning.plan(halves, Bucket("all", (2,) * 60), question)
    apart = planning.plan(halves, singles("all", 120), question)
    assert shared.all_fall == shared.buckets[0].power < apart.all_fall


def test_an_allowed_drop_needs_no_number() -> None:
    question = dataclasses.replace(QUESTION, drop=0.05)
    found = planning.plan([singles("a", 100, 0.1)], singles("all", 100), question)
    assert (found.buckets[0].needed, found.add, found.add_seconds) == (None, None, None)
    assert found.pooled.needed is not None


def test_clusters_count_as_one_sample_each() -> None:
    clustered = Bucket("a", (4,) * 30)
    found = planning.plan([clustered], clustered, QUESTION).buckets[0]
    alone = planning.plan([singles("a", 30)], singles("all", 30), QUESTION).buckets[0]
    assert (found.samples, found.clusters) == (120, 30)
    assert (found.power, found.detectable) == (alone.power, alone.detectable)
    assert alone.needed is not None
    assert found.needed == 4 * alone.needed


def test_unknown_times_stay_unknown() -> None:
    found = planning.plan([singles("a", 50, 0.1), singles("b", 50)], singles("all", 100), QUESTION)
    assert (found.seconds, found.add_seconds) == (None, None)
    assert found.to_data()["seconds"] is None


def test_alpha_is_checked_before_it_is_shared() -> None:
    with pytest.raises(gate.SettingError, match=r"alpha is 1\.5, but must lie above 0 and below 1"):
        planning.plan(
            [singles("a", 9)], singles("all", 9), dataclasses.replace(QUESTION, alpha=1.5)
        )


# --- what to keep --------------------------------------------------------------------------------


def cost(buckets: list[Bucket], counts: tuple[int, ...]) -> float:
    return math.fsum(
        sum(bucket.sizes[:count]) * (bucket.seconds or 0.0)
        for bucket, count in zip(buckets, counts, strict=True)
    )


def test_keep_levels_the_buckets() -> None:
    buckets = [singles("dear", 60, 2.0), singles("cheap", 60, 0.5), singles("few", 10, 1.0)]
    assert planning.keep(buckets, 60.0) == (20, 20, 10)
    assert planning.keep(buckets, 62.4) == (20, 20, 10)
    assert planning.keep(buckets, 62.5) == (21, 21, 10)
    assert planning.keep(buckets, 1e9) == (60, 60, 10)


def test_keep_counts_independent_samples() -> None:
    buckets = [singles("single", 60, 1.0), Bucket("double", (2,) * 30, 1.0)]
    assert planning.keep(buckets, 30.0) == (10, 10)


def test_keep_says_what_the_least_takes() -> None:
    with pytest.raises(GateUsageError) as error:
        planning.keep([singles("a", 60, 2.0), singles("b", 60, 1.0)], 5.0)
    assert str(error.value) == (
        "5 s do not pay for two independent samples of each of 2 buckets; they take 6.0 s: allow "
        "more time, or choose fewer buckets: --by …"
    )


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 4), min_size=2, max_size=30), st.floats(0.1, 3.0)),
        min_size=1,
        max_size=5,
    ),
    st.floats(0.0, 1.0),
)
def test_keep_is_the_most_that_the_time_pays_for(
    drawn: list[tuple[list[int], float]], share: float
) -> None:
    buckets = [Bucket(str(i), tuple(sizes), each) for i, (sizes, each) in enumerate(drawn)]
    seconds = share * cost(buckets, planning.keep(buckets, 1e9))
    try:
        counts = planning.keep(buckets, seconds)
    except GateUsageError:
        return
    assert cost(buckets, counts) <= seconds
    effective = [
        gate.effective_size(bucket.sizes[:count])
        for bucket, count in zip(buckets, counts, strict=True)
    ]
    capped = [count == len(bucket.sizes) for bucket, count in zip(buckets, counts, strict=True)]
    if not all(capped):
        level = min(size for size, full in zip(effective, capped, strict=True) if not full)
        more = tuple(
            next(
                (
                    count
                    for count in range(1, len(bucket.sizes) + 1)
                    if gate.effective_size(bucket.sizes[:count]) >= int(level) + 1
                ),
                len(bucket.sizes),
            )
            for bucket in buckets
        )
        assert cost(buckets, more) > seconds


@pytest.fixture(scope="module")
def samples(sample: Callable[..., Sample]) -> list[Sample]:
    kinds = [("a", "easy", 10), ("a", "hard", 20), ("b", "easy", 6)]
    numbers: Iterator[int] = iter(range(1000))
    return [
        sample(next(numbers), capability=capability, difficulty=difficulty)
        for capability, difficulty, count in kinds
        for _ in range(count)
    ]


def by_capability(sample: Sample) -> str:
    return sample.capability


def test_cut_orders_all_and_mixes_difficulties(samples: list[Sample]) -> None:
    pieces = planning.cut(samples, by_capability)
    assert list(pieces) == ["a", "b"]
    assert sorted(id_ for ids in pieces["a"] for id_ in ids) == sorted(s.id for s in samples[:30])
    hard = {s.id for s in samples if s.difficulty == "hard"}
    for third in range(3, 31, 3):
        kept = planning.kept_ids(pieces, (third, 0))
        assert len(kept) == third
        assert abs(len(kept & hard) - 2 * third / 3) <= 1


def test_cut_does_not_depend_on_file_order_and_does_on_the_seed(samples: list[Sample]) -> None:
    pieces = planning.cut(samples, by_capability)
    assert planning.cut(samples[::-1], by_capability) == pieces
    assert planning.cut(samples, by_capability, seed=1) != pieces


def test_cut_gives_every_sample_the_same_chance(samples: list[Sample]) -> None:
    times = dict.fromkeys((s.id for s in samples), 0)
    for seed in range(400):
        for id_ in planning.kept_ids(planning.cut(samples, by_capability, seed), (12, 3)):
            times[id_] += 1
    for s in samples:
        expected = 0.4 if s.capability == "a" else 0.5
        assert times[s.id] / 400 == pytest.approx(expected, abs=0.1)  # 4 standard errors


def test_clusters_stay_whole(sample: Callable[..., Sample]) -> None:
    clustered = [sample(i, cluster=str(i // 3), capability="a") for i in range(30)]
    pieces = planning.cut(clustered, by_capability)
    assert [len(ids) for ids in pieces["a"]] == [3] * 10
    kept = planning.kept_ids(pieces, (4,))
    assert {s.cluster for s in clustered if s.id in kept}.isdisjoint(
        s.cluster for s in clustered if s.id not in kept
    )


def test_a_cluster_in_two_buckets_cannot_be_cut(sample: Callable[..., Sample]) -> None:
    clustered = [sample(i, cluster="text 1", capability="ab"[i]) for i in range(2)]
    with pytest.raises(GateUsageError) as error:
        planning.check_clusters(clustered, by_capability)
    assert str(error.value) == (
        "cluster 'text 1' has samples in 'a' and in 'b', so the buckets cannot be cut one by one; "
        "choose buckets that hold it whole: --by …"
    )
    planning.check_clusters(clustered, lambda _: "all")


def test_the_plan_of_what_is_kept() -> None:
    buckets = [singles("a", 60, 2.0), singles("b", 40, 1.0)]
    kept = planning.plan_kept(buckets, (30, 30), QUESTION)
    alone = planning.plan(
        [singles("a", 30, 2.0), singles("b", 30, 1.0)], singles("all", 60, 1.5), QUESTION
    )
    assert kept == alone
    assert kept.seconds == kept.pooled.all_seconds == 90
