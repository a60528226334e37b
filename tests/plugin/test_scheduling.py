"""Which xdist worker gets which tests: a model is loaded where that saves time, only there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("xdist")

from pytest_modellab.plugin.scheduler import Expected, VariantScheduling

TESTS = 3
"""Tests of a group."""


class Worker:
    """A worker in simulated time: a group's first test answers, the others find what is known."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self.world = name, world
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.queue: list[int] = []
        self.now = 0.0
        self.loaded = ""
        self.loads: list[str] = []
        self.ran: list[str] = []

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        assert not self.shutting_down
        self.queue += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    def ready(self) -> bool:
        return len(self.queue) > (0 if self.shutting_down else 1)

    def step(self) -> int:
        index = self.queue.pop(0)
        group = self.world.tests[index].partition("-")[0]
        if group not in self.ran:
            expected = self.world.groups[group]
            family = group[0]
            if self.loaded != family:
                self.loads.append(family)
                self.now += expected.loading
            self.loaded = family
            if expected.gpu:  # one after another
                self.now = max(self.now, self.world.gpu_free)
            self.now += expected.seconds if math.isfinite(expected.seconds) else 1.0
            if expected.gpu:
                self.world.gpu_free = self.now
            self.ran.append(group)
        return index


class World:
    """Groups whose family is their first letter, run by workers until all is done."""

    def __init__(
        self, groups: Mapping[str, Expected], workers: int, gpus: int | None = None
    ) -> None:
        self.groups = groups
        self.gpu_free = 0.0
        self.tests = [f"{group}-{k}" for group in groups for k in range(TESTS)]
        config: Any = SimpleNamespace(
            getoption=lambda _name: None, getvalue=lambda _name: ["popen"] * workers
        )
        self.workers = [Worker(f"gw{k}", self) for k in range(workers)]
        self.scheduler: Any = VariantScheduling(
            config,
            None,
            group_of=lambda nodeid: nodeid.partition("-")[0],
            family_of=lambda group: group[0],
            expected=lambda group: groups[group],
            gpus=gpus,
        )
        self.done: list[int] = []

    def run(self, *, dies: int = -1) -> World:
        """Run all tests; worker 0 dies in its test of that number, and another takes its place."""
        scheduler = self.scheduler
        for worker in self.workers:
            scheduler.add_node(worker)
            scheduler.add_node_collection(worker, self.tests)
        scheduler.schedule()
        alive = list(self.workers)
        while ready := [worker for worker in alive if worker.ready()]:
            worker = min(ready, key=lambda one: one.now)
            index = worker.step()
            self.done.append(index)
            if worker is self.workers[0] and len(worker.ran) > dies >= 0:
                dies = -1
                alive.remove(worker)
                scheduler.remove_node(worker)
                new = Worker("new", self)
                new.now = worker.now
                alive.append(new)
                self.workers.append(new)
                scheduler.add_node(new)
                scheduler.add_node_collection(new, self.tests)
                scheduler.schedule()
            else:
                scheduler.mark_test_complete(worker, index)
        assert all(not worker.queue for worker in alive)
        return self

    @property
    def end(self) -> float:
        return max(worker.now for worker in self.workers)

    @property
    def loads(self) -> list[str]:
        return sorted(family for worker in self.workers for family in worker.loads)


def groups(loading: float, **seconds: float) -> dict[str, Expected]:
    return {name: Expected(value, loading) for name, value in seconds.items()}


def adapters(count: int, seconds: float, family: str = "a") -> dict[str, float]:
    return {f"{family}{k}": seconds for k in range(count)}


def test_each_worker_keeps_a_base_of_its_own() -> None:
    two = {**adapters(4, 10.0), **adapters(4, 10.0, "b")}
    done = World(groups(5.0, **two), workers=2).run()
    assert done.loads == ["a", "b"]
    assert done.end == 45.0


def test_adapters_of_one_base_are_shared_out_where_loading_it_twice_is_faster() -> None:
    done = World(groups(5.0, **adapters(8, 10.0)), workers=2).run()
    assert done.loads == ["a", "a"]
    assert done.end == 45.0  # one worker alone: 85


def test_they_stay_together_where_loading_it_twice_is_slower() -> None:
    done = World(groups(60.0, **adapters(4, 1.0)), workers=2).run()
    assert done.loads == ["a"]
    assert done.end == 64.0


def test_a_worker_without_a_family_of_its_own_helps_with_another() -> None:
    uneven = {**adapters(6, 10.0), **adapters(1, 10.0, "b")}
    done = World(groups(2.0, **uneven), workers=2).run()
    assert done.loads == ["a", "a", "b"]
    assert done.end <= 44.0
    # a model that takes longer to load than the rest takes to answer is waited for
    done = World(groups(100.0, **uneven), workers=2).run()
    assert done.loads == ["a", "b"]


def test_the_most_expensive_family_comes_first() -> None:
    three = {"a1": 1.0, "b1": 50.0, "c1": 30.0, "c2": 30.0}
    done = World(groups(1.0, **three), workers=2).run()
    assert [worker.ran[0] for worker in done.workers] == ["c1", "b1"]
    assert done.end == 61.0


def test_what_nobody_has_timed_is_shared_out() -> None:
    done = World(groups(0.0, **adapters(4, math.inf)), workers=2).run()
    assert sorted(len(worker.ran) for worker in done.workers) == [2, 2]


@pytest.mark.parametrize(("gpus", "end"), [(1, 100.0), (None, 110.0)])
def test_a_worker_that_would_wait_for_the_gpu_first_does_what_needs_none(
    gpus: int | None, end: float
) -> None:
    named = {name: Expected(50.0, 0.0, gpu=True) for name in ("x1", "y1")}
    named |= {name: Expected(30.0, 0.0) for name in ("a1", "b1")}
    done = World(named, workers=2, gpus=gpus).run()
    assert done.end == end
    assert sorted(done.done) == list(range(4 * TESTS))


def test_with_a_gpu_for_each_worker_the_most_expensive_comes_first() -> None:
    named = {"x1": Expected(50.0, 0.0, gpu=True), "y1": Expected(40.0, 0.0, gpu=True)}
    done = World({**named, "a1": Expected(30.0, 0.0)}, workers=2, gpus=2).run()
    assert [worker.ran[0] for worker in done.workers] == ["x1", "y1"]


def test_a_dead_workers_tests_go_on_elsewhere() -> None:
    done = World(groups(60.0, **adapters(4, 1.0)), workers=2).run(dies=1)
    assert sorted(done.done) == list(range(4 * TESTS))
    assert done.loads == ["a", "a"]


times = st.one_of(st.just(math.inf), st.floats(0, 100))
families = st.text("abc", min_size=1, max_size=1)


@given(
    st.dictionaries(st.tuples(families, st.integers(0, 9)), times, min_size=1, max_size=12),
    st.floats(0, 200),
    st.integers(1, 4),
    st.integers(-1, 3),
    st.sampled_from([None, 1, 2]),
)
def test_every_test_is_run_once_and_none_later_than_by_one_worker(
    found: dict[tuple[str, int], float],
    loading: float,
    workers: int,
    dies: int,
    gpus: int | None,
) -> None:
    named = {
        f"{family}{k}": Expected(value, loading, gpu=gpus is not None and family < "c")
        for (family, k), value in found.items()
    }
    done = World(named, workers, gpus).run(dies=dies)
    assert sorted(done.done) == list(range(len(done.tests)))
    known = all(math.isfinite(one.seconds) for one in named.values())
    if known and dies < 0:
        alone = World(named, 1).run()
        assert alone.loads == sorted({name[0] for name in named})
        assert done.end <= alone.end + 1e-6
