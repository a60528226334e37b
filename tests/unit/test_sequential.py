"""Task sets in stages, and runs put together again."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_modellab import sequential
from pytest_modellab.records import Fingerprint, RunRecord, Sample, SampleResult, TaskSet


def task_set(size: int = 90) -> TaskSet:
    samples = tuple(
        Sample(
            id=f"s{i}",
            input=str(i),
            target=0,
            scorer="choice",
            capability="ab"[i % 2],
            difficulty=("easy", "hard")[i % 3 == 0],
            choices=("x", "y"),
            cluster=f"c{i // 4}" if i < 20 else None,
        )
        for i in range(size)
    )
    return TaskSet("words", "1", samples)


def record(samples: TaskSet, seconds: float) -> RunRecord:
    return RunRecord(
        task_set={"name": samples.name, "version": samples.version, "hash": samples.hash},
        variant={"name": "plain", "kind": "prompted", "strategy": "prompting", "base": None},
        fingerprint=Fingerprint("w", "t", "p", {}),
        scorers={"choice": 1},
        samples=tuple(SampleResult(s.id, s.content_hash, 1.0, "x", 3, 1) for s in samples.samples),
        probes={"seconds": seconds, "tokens": 20.0, "parameter_bytes": 8.0},
        environment={"threads": 1},
    )


def test_stages_are_a_partition_in_the_order_of_the_whole() -> None:
    whole = task_set()
    stages = sequential.cut(whole)
    assert len(stages.sets) == 10
    ids = [s.id for one in stages.sets for s in one.samples]
    assert sorted(ids) == sorted(s.id for s in whole.samples)
    order = {s.id: i for i, s in enumerate(whole.samples)}
    for one in (*stages.sets, stages.first(4)):
        places = [order[s.id] for s in one.samples]
        assert places == sorted(places)
    clusters = {s.cluster: set[int]() for s in whole.samples if s.cluster}
    for number, one in enumerate(stages.sets):
        for sample in one.samples:
            if sample.cluster:
                clusters[sample.cluster].add(number)
    assert all(len(found) == 1 for found in clusters.values())


def test_stages_do_not_depend_on_the_order_of_the_file() -> None:
    whole = task_set()
    turned = dataclasses.replace(whole, samples=whole.samples[::-1])
    assert sequential.cut(turned).of == sequential.cut(whole).of[::-1]


def test_the_runs_of_some_stages_are_put_together() -> None:
    whole = task_set()
    stages = sequential.cut(whole)
    records = [record(one, 2.0) for one in stages.sets[:3]]
    joined = sequential.join(stages, records)
    assert [s.id for s in joined.samples] == [s.id for s in stages.first(3).samples]
    assert joined.task_set["hash"] == whole.hash != records[0].task_set["hash"]
    assert joined.probes == {
        "seconds": 6.0,
        "tokens": 60.0,
        "tokens_per_second": 10.0,
        "parameter_bytes": 8.0,
    }
    everything = sequential.join(stages, [record(one, 2.0) for one in stages.sets])
    assert everything.samples == record(whole, 0.0).samples


@pytest.mark.parametrize("size", [1, 3])
def test_a_small_task_set_has_few_stages(size: int) -> None:
    stages = sequential.cut(task_set(size))
    assert 1 <= len(stages.sets) <= size
    assert all(one.samples for one in stages.sets)
