"""A run beside its base: what is worse beyond chance, with no drop allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.judging.beside import Beside, beside
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.reports.text import accepting

Make = Callable[..., Any]


@pytest.fixture
def tasks(sample: Make, make_tasks: Make) -> TaskSet:
    made: TaskSet = make_tasks(
        [sample(k, capability="naming" if k < 20 else "counting") for k in range(40)]
    )
    return made


@pytest.fixture
def compare(
    tasks: TaskSet, spec: Callable[..., VariantSpec], record: Make
) -> Callable[[list[float], list[float]], Beside]:
    def compare(before: list[float], after: list[float]) -> Beside:
        runs = (record(tasks, after), record(tasks, before))
        variant = spec(name="nf4", kind="quantized")
        return beside(variant, tasks, *runs, against="its base plain", alpha=0.05)

    return compare


def test_one_capability_that_fell_and_one_that_did_not(compare: Make) -> None:
    found = compare([1.0] * 40, [1.0] * 8 + [0.0] * 12 + [1.0] * 20)
    assert [one.name for one in found.figures] == ["all", "counting", "naming"]
    assert [one.name for one in found.worse] == ["all", "naming"]
    assert accepting.lines(found, "its base plain") == [
        "  beside its base plain:",
        "                 samples  success",
        "    all samples       40  1.00 -> 0.70  worse beyond chance",
        "    counting          20  1.00 -> 1.00  the same",
        "    naming            20  1.00 -> 0.40  worse beyond chance",
    ]


def test_a_few_flips_are_chance(compare: Make) -> None:
    found = compare([1.0] * 20 + [0.0] * 20, [0.0] * 3 + [1.0] * 17 + [1.0] + [0.0] * 19)
    assert found.worse == ()
    assert [line.rpartition("  ")[2] for line in accepting.lines(found, "it")[2:]] == [
        "lower, within chance",
        "higher",
        "lower, within chance",
    ]


def test_where_not_even_a_total_loss_would_show_it_is_not_called_chance(
    spec: Make, record: Make, make_tasks: Make, sample: Make
) -> None:
    capabilities = ["naming"] * 20 + ["language"] * 4 + ["counting"] * 20
    tasks = make_tasks([sample(k, capability=name) for k, name in enumerate(capabilities)])
    before = record(tasks, [1.0] * 25 + [0.0] * 19)  # one of the twenty is right
    after = record(tasks, [1.0] * 19 + [0.0] * 25)
    found = beside(spec(kind="quantized"), tasks, after, before, against="it", alpha=0.05)
    assert [line.strip() for line in accepting.lines(found, "it")[3:]] == [
        "counting          20  0.05 -> 0.00  too few (20) to tell",
        "language           4  1.00 -> 0.00  too few (4) to tell",
        "naming            20  1.00 -> 0.95  lower, within chance",
    ]


def test_a_metric_that_moved_is_subtracted_as_it_is_printed(tasks: TaskSet, record: Make) -> None:
    runs = []
    for value in (0.92349, 0.91040, 0.91049):
        run = record(tasks)
        samples = (dataclasses.replace(one, metrics={"likelihood": value}) for one in run.samples)
        runs.append(dataclasses.replace(run, samples=tuple(samples)))
    first, second, third = runs
    assert accepting.metrics(first, second, "the last accepted run") == [
        "  compared with the last accepted run: likelihood 0.923 -> 0.910 (-0.013)"
    ]
    assert accepting.metrics(second, third, "the last accepted run") == []


def test_half_of_alpha_is_for_all_samples(compare: Make) -> None:
    """Six losses and no gain: 2^-6 / 2 by mid-p, 0.0078, and five 0.0156; 0.025 is allowed."""
    for losses, worse in ((4, False), (5, True), (6, True)):
        after = [0.0] * losses + [1.0] * (20 - losses) + [1.0] * 20
        assert ("all" in [one.name for one in compare([1.0] * 40, after).worse]) == worse


def test_what_cannot_be_compared_is_said(
    tasks: TaskSet, spec: Callable[..., VariantSpec], record: Make, make_tasks: Make, sample: Make
) -> None:
    other = make_tasks([sample(k) for k in range(2)], version="9")
    found = beside(
        spec(kind="quantized"), tasks, record(tasks), record(other), against="x", alpha=0.05
    )
    assert (found.figures, found.worse) == ((), ())
    (line,) = accepting.lines(found, "its base plain")
    assert line.startswith("  not compared with its base plain: task set ")
