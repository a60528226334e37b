"""Task sets in stages, and runs put together again."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pytest_modellab import gate
from pytest_modellab.baselines.accepted import OWN_BASELINE
from pytest_modellab.judging.comparison import Comparison, Looked
from pytest_modellab.records.runs import Fingerprint, RunRecord, SampleResult
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.reports import advice, session
from pytest_modellab.reports.text import table
from pytest_modellab.runs.stages import cut, join


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
    stages = cut(whole)
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
    assert cut(turned).of == cut(whole).of[::-1]


def test_the_runs_of_some_stages_are_put_together() -> None:
    whole = task_set()
    stages = cut(whole)
    records = [record(one, 2.0) for one in stages.sets[:3]]
    joined = join(stages, records)
    assert [s.id for s in joined.samples] == [s.id for s in stages.first(3).samples]
    assert joined.task_set["hash"] == whole.hash != records[0].task_set["hash"]
    assert joined.probes == {
        "seconds": 6.0,
        "tokens": 60.0,
        "tokens_per_second": 10.0,
        "parameter_bytes": 8.0,
    }
    everything = join(stages, [record(one, 2.0) for one in stages.sets])
    assert everything.samples == record(whole, 0.0).samples


def test_what_all_stages_have_heard_and_seen_is_added_up() -> None:
    stages = cut(task_set())
    probes = [
        {"audio_seconds": 10.0, "real_time_factor": 0.5},
        {},
        {"audio_seconds": 30.0, "real_time_factor": 0.1, "images": 2.0, "seconds_per_image": 3.0},
    ]
    plain = [record(one, 2.0) for one in stages.sets[:3]]
    records = [
        dataclasses.replace(one, probes={**one.probes, **more})
        for one, more in zip(plain, probes, strict=True)
    ]
    found = join(stages, records).probes
    assert (found["audio_seconds"], found["real_time_factor"]) == (40.0, 0.2)
    assert (found["images"], found["seconds_per_image"]) == (2.0, 3.0)


@pytest.mark.parametrize("size", [1, 3])
def test_a_small_task_set_has_few_stages(size: int) -> None:
    stages = cut(task_set(size))
    assert 1 <= len(stages.sets) <= size
    assert all(one.samples for one in stages.sets)


LOOKED = Looked(look=4, looks=10, used=36, total=90, certain=False, seed=0)


def comparison(looked: Looked, **changes: Any) -> Comparison:
    figures = gate.drop([1.0] * 36, [1.0] * 36, margin=changes.pop("margin", 0.1))
    made = Comparison(
        assertion="no_regression",
        test="t",
        task_set="words",
        candidate="plain",
        kind="prompted",
        against=OWN_BASELINE,
        capability=None,
        verdict=figures.verdict,
        figures=(figures,),
        family=1,
        share=0.05,
        notes=("threads: 1 here, 2 in the reference",),
        looked=looked,
    )
    return dataclasses.replace(made, **changes)


def words(*comparisons: Comparison) -> str | None:
    report = session.SessionReport(
        runs=(),
        comparisons=comparisons,
        errors=(),
        alpha=0.05,
        assertions=1,
        on_inconclusive="warn",
        complete=True,
        notes=(),
    )
    return advice.saved(report, "plain", "words")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "stopped at look 4 of 10, after 36 of 90 samples (54 saved, 60%)"),
        ({"used": 90}, "all 90 samples were needed"),
        (
            {"certain": True},
            "stopped at look 4 of 10, after 36 of 90 samples (54 saved, 60%), as the others could "
            "not change the verdict",
        ),
    ],
)
def test_how_far_a_comparison_went_is_a_remark(changes: dict[str, Any], text: str) -> None:
    made = comparison(dataclasses.replace(LOOKED, **changes))
    assert made.remarks == (*made.notes, f"sequential: {text}")
    assert Comparison.from_json(made.to_json()) == made
    assert f"note: sequential: {text}" in table.render_text(made)
    assert text.split(" (", maxsplit=1)[0] in table.render_markdown(made)


def test_the_most_demanding_comparison_says_what_a_variant_was_asked() -> None:
    less = comparison(dataclasses.replace(LOOKED, used=9), capability="a")
    assert words(comparison(LOOKED), less) == (
        "sequential: 36 of 90 samples, 54 saved (60%); most for all samples"
    )
    everything = dataclasses.replace(LOOKED, used=90)
    assert words(less, comparison(everything, capability="b", against="baseline of base")) == (
        "sequential: all 90 samples were needed, for b against baseline of base"
    )
    assert words(comparison(everything, margin=0.0)) == (
        "sequential: all 90 samples were needed, for all samples, which cannot pass at an allowed "
        "drop of 0"
    )
    assert words(dataclasses.replace(less, looked=None)) is None
