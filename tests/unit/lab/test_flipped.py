"""Which samples two models are asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.lab.flipped import Flip, chosen
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet

Make = Callable[..., Any]


def test_what_flipped_for_the_worse_comes_first_capabilities_in_turns(
    sample: Make, make_tasks: Make, record: Make
) -> None:
    named = ["b", "b", "a", "b", "a", "a"]
    tasks: TaskSet = make_tasks([sample(i, capability=name) for i, name in enumerate(named)])
    before: RunRecord = record(tasks, [1.0, 1.0, 1.0, 1.0, 0.0, 1.0])
    after: RunRecord = record(tasks, [0.0, 0.0, None, 1.0, 1.0, 1.0])
    found = chosen(tasks, before, after)
    assert [flip.sample.id for flip in found] == ["s2", "s0", "s1", "s5", "s3"]
    assert [flip.worse for flip in found] == [True, True, True, False, False]
    assert found[0].reply == "one"
    assert [flip.sample.id for flip in chosen(tasks, before, after, most=2)] == ["s2", "s0"]


def test_a_sample_that_was_another_one_is_left_out(
    sample: Make, make_tasks: Make, record: Make
) -> None:
    tasks: TaskSet = make_tasks([sample(0), sample(1)])
    other: TaskSet = make_tasks([sample(0, input="Else?"), sample(1)])
    found = chosen(tasks, record(other), record(tasks, [0.0, 0.0]))
    assert [flip.sample.id for flip in found] == ["s1"]


@given(st.floats(0, 1), st.floats(0, 1), st.none() | st.floats(0, 1))
def test_right_again_is_nearer_to_the_base(
    before: float, after: float, again: float | None
) -> None:
    flip = Flip(Sample("s", "?", 0, "choice", "c", "easy"), "one", before, after)
    nearer = again is not None and again >= (before + after) / 2
    assert flip.right_again(again) == nearer
    assert flip.worse == (before - after >= 0.5)
