"""A baseline of many samples, narrowed to those that a limit leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.baselines.accepted import Anchor, Baseline, Repeat
from pytest_modellab.baselines.part import narrowed
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tasksets.limit import limited

Make = Callable[..., Any]


@pytest.fixture
def whole(make_tasks: Make, sample: Make) -> TaskSet:
    made: TaskSet = make_tasks([sample(k, capability="ab"[k % 2]) for k in range(20)])
    return made


@pytest.fixture
def baseline(whole: TaskSet, record: Make) -> Baseline:
    run = record(
        whole,
        [k / 20 for k in range(20)],
        probes={"seconds": 10.0, "tokens": 400.0, "tokens_per_second": 40.0},
    )
    run = dataclasses.replace(run, samples=run.samples[::-1])  # a baseline's own order
    scores = tuple(sample.score for sample in run.samples)
    return Baseline(
        run,
        Repeat(scores, {"seed": 1}, {"probability": scores}),
        Anchor(scores, "key", "2026-01-01", 2),
    )


def test_scores_of_all_runs_are_those_of_the_same_samples(
    whole: TaskSet, baseline: Baseline
) -> None:
    part = limited(whole, 5, "limit")
    found = narrowed(baseline, part, whole)
    wanted = {s.id: int(s.id[1:]) / 20 for s in part.samples}
    assert {s.id: s.score for s in found.run.samples} == wanted
    scores = tuple(sample.score for sample in found.run.samples)
    assert found.repeat == Repeat(scores, {"seed": 1}, {"probability": scores})
    assert found.anchor == Anchor(scores, "key", "2026-01-01", 2)
    assert found.run.task_set == part.identity
    assert found.run.task_set["limited"] == "5 of 20"
    assert found.run.probes == {"seconds": 2.5, "tokens": 100.0, "tokens_per_second": 40.0}


def test_of_a_larger_part(whole: TaskSet, baseline: Baseline) -> None:
    large, small = (limited(whole, limit, "limit") for limit in (12, 4))
    recorded = narrowed(baseline, large, whole)
    assert narrowed(recorded, small, whole) == narrowed(baseline, small, whole)
    assert narrowed(recorded, large, whole) is recorded


@pytest.mark.parametrize("change", ["hash", "sample", "fewer"])
def test_of_other_samples(whole: TaskSet, baseline: Baseline, change: str) -> None:
    part = limited(whole, 5, "limit")
    run = baseline.run
    if change == "hash":  # of another corpus, say
        run = dataclasses.replace(run, task_set={**run.task_set, "hash": "0" * 16})
    elif change == "sample":
        edited = [
            dataclasses.replace(one, hash="0" * 16) if one.id == part.samples[0].id else one
            for one in run.samples
        ]
        run = dataclasses.replace(run, samples=tuple(edited))
    else:
        part, run = limited(whole, 8, "limit"), narrowed(baseline, part, whole).run
    given = Baseline(run)
    assert narrowed(given, part, whole) is given
