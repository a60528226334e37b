"""A limit chooses samples: always the same ones, some of every capability, clusters whole."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab import tasksets, testing
from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import DIFFICULTIES, Sample, TaskSet
from pytest_modellab.tasksets.limit import limited

Make = Callable[..., Any]


def ids(task_set: TaskSet) -> set[str]:
    return {sample.id for sample in task_set.samples}


def made(kinds: list[tuple[str, str, str | None]]) -> TaskSet:
    samples = [
        Sample(f"s{k}", f"{k}?", 0, "choice", capability, difficulty, ("a", "b"), cluster)
        for k, (capability, difficulty, cluster) in enumerate(kinds)
    ]
    return TaskSet("words", "1", tuple(samples))


task_sets = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(DIFFICULTIES),
        st.none() | st.integers(0, 9).map(str),
    ),
    min_size=1,
    max_size=60,
).map(made)


@given(task_sets, st.data())
def test_a_part_is_small_enough_and_a_part_of_every_larger_one(
    whole: TaskSet, data: st.DataObject
) -> None:
    small, large = sorted(
        data.draw(st.integers(1, len(whole.samples) + 2), label="limit") for _ in range(2)
    )
    found = []
    for limit in (small, large):
        try:
            found.append(limited(whole, limit, "limit"))
        except TaskSetError:
            largest = max(Counter(s.cluster for s in whole.samples if s.cluster).values())
            assert limit < largest
            return
    assert [len(part.samples) <= limit for part, limit in zip(found, (small, large), strict=True)]
    assert ids(found[0]) <= ids(found[1]) <= ids(whole)
    for part in found:
        kept = {sample.cluster for sample in part.samples if sample.cluster}
        of_them = {s.id for s in whole.samples if s.cluster in kept}
        assert of_them <= ids(part), "clusters are whole"
        places = [whole.samples.index(sample) for sample in part.samples]
        assert places == sorted(places)


@given(task_sets, st.integers(1, 60), st.randoms(use_true_random=False))
def test_the_order_does_not_matter(whole: TaskSet, limit: int, rng: random.Random) -> None:
    mixed = list(whole.samples)
    rng.shuffle(mixed)
    other = TaskSet(whole.name, whole.version, tuple(mixed))
    try:
        assert ids(limited(whole, limit, "limit")) == ids(limited(other, limit, "limit"))
    except TaskSetError:
        with pytest.raises(TaskSetError):
            limited(other, limit, "limit")


@pytest.mark.parametrize("limit", [11, 33, 100, 200, 605])
def test_every_capability_and_difficulty_has_its_share(limit: int) -> None:
    whole = made([(f"c{k % 11:02}", DIFFICULTIES[k // 11 % 3], None) for k in range(726)])
    part = limited(whole, limit, f"limit = {limit}")
    counts = Counter(sample.capability for sample in part.samples)
    assert set(counts) == set(whole.capabilities)
    assert max(counts.values()) - min(counts.values()) <= 1
    buckets = Counter(sample.bucket for sample in part.samples)
    assert len(part.samples) == limit
    if limit >= 33:
        assert max(buckets.values()) - min(buckets.values()) <= 2
    assert (part.whole, part.note) == (726, f"{limit} of 726 samples (limit = {limit})")
    assert part.identity["limited"] == f"{limit} of 726"
    assert part.hash != whole.hash


def test_shares_follow_the_sizes_and_nobody_is_left_out() -> None:
    sizes = {"large": 900, "middle": 90, "small": 10}
    whole = made([(name, "easy", None) for name, size in sizes.items() for _ in range(size)])
    counts = Counter(sample.capability for sample in limited(whole, 100, "limit").samples)
    assert counts["small"] == 1
    assert abs(counts["middle"] - 9) <= 1
    assert sum(counts.values()) == 100
    part = limited(whole, 2, "limit = 2")
    assert part.note == "2 of 1000 samples (limit = 2), none of 1 of 3 capabilities"


def test_a_sample_more_moves_few_others() -> None:
    kinds: list[tuple[str, str, str | None]] = [
        (f"c{k % 5}", DIFFICULTIES[k % 3], None) for k in range(500)
    ]
    before = ids(limited(made(kinds), 200, "limit"))
    after = ids(limited(made([*kinds, ("c1", "easy", None)]), 200, "limit"))
    assert len(before & after) >= 197


def test_a_limit_that_leaves_all(make_tasks: Make, sample: Make) -> None:
    whole = make_tasks([sample(k) for k in range(5)])
    assert limited(whole, 5, "limit") is whole
    assert "limited" not in whole.identity


def test_the_note_of_the_task_set_stays(make_tasks: Make, sample: Make) -> None:
    whole = make_tasks([sample(k) for k in range(5)], note="3 were left out")
    assert limited(whole, 2, "limit = 2").note == "2 of 5 samples (limit = 2); 3 were left out"


def test_a_cluster_that_does_not_fit(make_tasks: Make, sample: Make) -> None:
    whole = make_tasks([sample(k, cluster="story") for k in range(5)], path="tasks/tiny")
    with pytest.raises(TaskSetError) as caught:
        limited(whole, 4, "limit = 4")
    assert str(caught.value) == (
        "tasks/tiny: limit = 4: clusters stay whole, and the first one has 5 samples; allow as many"
    )


def test_documents_all_stay(tmp_path: Path) -> None:
    documents = {f"d{k}": f"About {k}." for k in range(7)}
    queries: dict[str, tuple[str, dict[str, int]]] = {
        f"q{k}": (f"What of {k}?", {f"d{k}": 1}) for k in range(5)
    }
    testing.write_retrieval_set(tmp_path / "beir", documents, queries)
    whole = tasksets.read(tmp_path / "beir", lambda _: None, tmp_path / "cache")
    part = limited(whole, 3, "limit")
    assert whole.corpus is not None
    assert (len(part.samples), part.corpus) == (3, whole.corpus)
    assert len(whole.corpus) == 7
