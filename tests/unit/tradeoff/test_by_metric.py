"""A comparison by another figure than the score."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.lab.by_metric import by_metric
from pytest_modellab.records.declared import MetricConfig, TaskSetConfig
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.reports.text import tradeoff as words
from pytest_modellab.reports.tracking import runs
from pytest_modellab.tradeoff import figures
from pytest_modellab.tradeoff.entry import Entry
from pytest_modellab.tradeoff.figures import TradeOff

Make = Callable[..., Entry]
Weigh = Callable[..., TradeOff]

NO_LAB: Any = None
"""Nothing is run where nobody reads replies."""


def sure(entry: Entry, value: float, metric: str = "probability") -> Entry:
    """The same, sure of the right option by so much in every other sample, and a bit less else."""
    samples = [
        dataclasses.replace(one, metrics={metric: value - 0.1 * (k % 2)})
        for k, one in enumerate(entry.record.samples)
    ]
    return dataclasses.replace(
        entry, record=dataclasses.replace(entry.record, samples=tuple(samples))
    )


@pytest.fixture
def found(tasks: TaskSet, entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> TradeOff:
    """A variant that is right as often as the base, and less sure of it."""
    metrics = {"probability": MetricConfig(0.01, 0.02, 0.5)}
    settings = TaskSetConfig(tasks.name, Path(), 0.02, 0.05, 0.3, metrics)
    return weigh(
        sure(entry("base", wrong), 0.8),
        sure(entry("unsure", wrong), 0.6),
        metric="probability",
        settings=settings,
    )


def test_quality_is_the_metric(found: TradeOff) -> None:
    base, unsure = found.profiles
    assert [base.success.value, unsure.success.value] == pytest.approx([0.75, 0.55])
    assert {c.name: c.reference for c in base.capabilities} == {
        "reading": pytest.approx(0.7),
        "sums": pytest.approx(0.8),
    }
    assert (found.metric, found.quality, found.floor) == ("probability", "probability", 0.5)
    judged = {(d.variant, d.what): d.verdict for d in found.deltas}
    assert judged["unsure", "probability"] == "block"
    assert judged["unsure", "forgetting"] == "block"
    assert base.risk.calibration is not None
    assert base.risk.calibration.brier == pytest.approx((0.8 * 0.25**2) + 0.2 * 0.75**2)
    assert figures.loads(figures.dumps(found)) == found


def test_every_line_says_by_what(found: TradeOff) -> None:
    lines = words.lines(found)
    assert lines[0].startswith("[Prompted] base probability=0.75 ±")
    text = "\n".join(lines)
    assert "unsure probability BLOCK: the mean score fell from 0.75 to 0.55 (n = 120)" in text
    assert "probability: mean of the samples ± one standard error" in text
    assert "success" not in text
    assert "| probability |" in words.markdown(found)
    assert "| probability verdict |" in words.markdown(found)


def test_an_experiment_keeps_them_apart_from_scores(found: TradeOff) -> None:
    family = runs.of_tradeoff(found, {})
    assert family.parent.params["metric"] == "probability"
    _, unsure = family.children
    assert unsure.metrics["probability"] == pytest.approx(0.55)
    assert unsure.metrics["capability_probability/sums"] == pytest.approx(0.6)
    assert unsure.tags["modellab.verdict.probability"] == "block"
    assert not any(name.startswith(("success", "capability/")) for name in unsure.metrics)


def test_a_margin_of_0_is_not_judged(
    tasks: TaskSet, entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    runs_ = [sure(entry(name, wrong), 0.8) for name in ("base", "other")]
    none = TaskSetConfig(tasks.name, Path())
    deltas = weigh(*runs_, metric="probability", settings=none).deltas
    (success, *_) = [d for d in deltas if d.what == "probability"]
    assert success.verdict is None
    assert "metric 'probability' at a margin of 0" in success.words


def test_what_lacks_the_metric_is_left_out(
    tasks: TaskSet, entry: Make, wrong: tuple[int, ...]
) -> None:
    entries = [sure(entry("base", wrong), 0.8), entry("old", wrong)]
    notes: list[str] = []
    kept, asked = by_metric(NO_LAB, entries, tasks, "base", "probability", notes, stored=False)
    assert [one.spec.name for one in kept] == ["base"]
    assert asked == tasks
    (note,) = notes
    assert note.startswith("old is left out: metric 'probability': the run of 'old' on 'words' has")
    with pytest.raises(ComparisonRefused, match="the run of 'old'"):
        by_metric(NO_LAB, entries, tasks, "old", "probability", notes, stored=False)


def test_samples_without_the_metric_are_left_out_of_every_run(
    tasks: TaskSet, entry: Make, wrong: tuple[int, ...]
) -> None:
    """Replies of a run that is stored are not read: a page of a session runs nothing."""
    replies = tuple(
        dataclasses.replace(s, choices=(), target="four", max_tokens=8) if k < 30 else s
        for k, s in enumerate(tasks.samples)
    )
    mixed = dataclasses.replace(tasks, samples=replies)
    entries = [sure(entry(name, wrong), 0.8, "likelihood") for name in ("base", "other")]
    notes: list[str] = []
    kept, asked = by_metric(NO_LAB, entries, mixed, "base", "likelihood", notes, stored=True)
    assert len(asked.samples) == 90
    assert [len(one.record.samples) for one in kept] == [90, 90]
    assert notes[0].startswith("likelihood is compared on multiple choice: ")
    assert notes[1].startswith("likelihood is judged on 90 of 120 samples")
