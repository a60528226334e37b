"""A run's samples are found by id; what is not the same samples is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.records import pairing
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.runs.summary import summarize

Make = Callable[..., Any]
MEND = "Run it again, and where it was accepted record it again: modellab accept plain --task-set"


@pytest.fixture
def tasks(sample: Make, make_tasks: Make) -> TaskSet:
    made: TaskSet = make_tasks([sample(k, capability="ab"[k % 2]) for k in range(8)])
    return made


@pytest.fixture
def run(record: Make, tasks: TaskSet) -> RunRecord:
    made: RunRecord = record(tasks, [float(k % 2) for k in range(8)])
    return made


def turned(run: RunRecord) -> RunRecord:
    return dataclasses.replace(run, samples=(*run.samples[3:], *run.samples[:3]))


def test_any_order_is_brought_into_the_task_sets(run: RunRecord, tasks: TaskSet) -> None:
    assert pairing.in_order(turned(run), tasks.samples) == run
    assert pairing.paired(turned(run), tasks.samples) == run.samples
    assert pairing.places(run, turned(run)) == (5, 6, 7, 0, 1, 2, 3, 4)


def test_a_summary_is_of_the_samples_and_not_of_their_places(
    run: RunRecord, tasks: TaskSet
) -> None:
    found = summarize(turned(run), tasks)
    assert found == summarize(run, tasks)
    assert [(c.name, c.mean) for c in found.capabilities] == [("a", 0.0), ("b", 1.0)]


def test_a_part_is_paired_where_it_may_be_one(run: RunRecord, tasks: TaskSet) -> None:
    part = dataclasses.replace(run, samples=run.samples[5:1:-1])
    assert pairing.paired(part, tasks.samples, partly=True) == run.samples[2:6]
    said = (
        r"^the run of 'plain' on 'tiny' is not one of the 8 samples asked for: 4 not in the run: "
        rf"'s0', 's1', 's6', 's7'\. {MEND} tiny$"
    )
    with pytest.raises(ComparisonRefused, match=said):
        pairing.paired(part, tasks.samples)


def test_other_samples_are_refused(run: RunRecord, tasks: TaskSet) -> None:
    changed = dataclasses.replace(run.samples[0], hash="other")
    added = dataclasses.replace(run.samples[0], id="more")
    other = dataclasses.replace(run, samples=(changed, *run.samples[1:], added))
    said = r"asked for: 1 only in the run: 'more'; 1 changed since: 's0'\. "
    for partly in (False, True):
        with pytest.raises(ComparisonRefused, match=said):
            pairing.paired(other, tasks.samples, partly=partly)
    assert pairing.places(run, other) is None


def test_doubles_are_refused(run: RunRecord, tasks: TaskSet) -> None:
    twice = dataclasses.replace(run, samples=(*run.samples, *run.samples[:7]))
    said = r"has 7 samples twice: 's0', 's1', 's2', 's3', 's4', …\. Run it again"
    with pytest.raises(ComparisonRefused, match=said):
        pairing.paired(twice, tasks.samples, partly=True)
    with pytest.raises(ComparisonRefused, match=said):
        pairing.places(run, twice)
