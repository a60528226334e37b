"""A small trade-off with everything in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.config.lab_config import SCENARIOS
from pytest_modellab.records.declared import Price, TaskSetConfig, VariantSpec
from pytest_modellab.records.runs import Fingerprint, RunRecord, SampleResult
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.records.timings import Performance, Timings
from pytest_modellab.tradeoff import assemble
from pytest_modellab.tradeoff.entry import Entry
from pytest_modellab.tradeoff.figures import TradeOff

PROMPTS, ROUNDS = 4, 6


@pytest.fixture
def tasks() -> TaskSet:
    """120 samples of two capabilities and two difficulties."""
    return TaskSet(
        "words",
        "1.0",
        tuple(
            Sample(
                id=f"s{i:03}",
                input=f"question {i}",
                target=0,
                scorer="choice",
                capability="reading" if i % 2 else "sums",
                difficulty="hard" if i % 4 < 2 else "easy",
                choices=("right", "wrong"),
            )
            for i in range(120)
        ),
    )


def timings(factor: float = 1.0, wobble: float = 0.01) -> Timings:
    """Prompts of 1 to 4 tenths of a second, with a small regular wobble between rounds."""
    rows = [
        [factor * 0.1 * (k + 1) * (1 + wobble * ((r * 7 + k * 3) % 5 - 2)) for k in range(PROMPTS)]
        for r in range(ROUNDS)
    ]
    end = tuple(tuple(row) for row in rows)
    return Timings(
        first_token=tuple(tuple(0.25 * s for s in row) for row in end),
        end_to_end=end,
        tokens_in=(10, 20, 30, 40),
        tokens_out=(1, 4, 4, 7),
        loaded=tuple((max(row[:2]), max(row[2:])) for row in end),
        groups=(2, 2),
    )


@pytest.fixture
def entry(tasks: TaskSet) -> Callable[..., Entry]:
    """Make an entry whose `wrong` samples fail; `slower` than the reference by a factor."""

    def make(
        name: str = "base",
        wrong: Sequence[int] = (),
        *,
        strategy: str = "prompting",
        slower: float = 1.0,
        timed: bool = True,
        memory: float = 4e8,
        **more: Any,
    ) -> Entry:
        base = None if name == "base" else "base"
        record = RunRecord(
            task_set={"name": tasks.name, "version": tasks.version, "hash": tasks.hash},
            variant={"name": name, "kind": "prompted", "strategy": strategy, "base": base},
            fingerprint=Fingerprint("w", "t", "p", {"device": "cpu"}),
            scorers={"choice": 1},
            samples=tuple(
                SampleResult(
                    id=s.id,
                    hash=s.content_hash,
                    score=0.0 if i in wrong else 1.0,
                    output="right",
                    tokens_in=10,
                    tokens_out=2,
                    seconds=0.1,
                    confidence=0.75,
                )
                for i, s in enumerate(tasks.samples)
            ),
            probes={"parameter_bytes": memory, "seconds": 12.0, "tokens": 1440.0},
            environment={"device": "cpu", "recorded": "2026-01-02"},
        )
        performance = None
        if timed:
            performance = Performance(
                timings(slower),
                None if base is None else timings(1.0, 0.02),
                {"peak_host_bytes": 9e8},
                {"device": "cpu", "workers": 0},
            )
        values: dict[str, Any] = {"price": Price("cpu", 0.36), "churn": 0.0, "disk_bytes": 1e8}
        return Entry(
            spec=VariantSpec(name, "prompted", strategy, base),
            record=record,
            source="stored",
            performance=performance,
            **{**values, **more},
        )

    return make


@pytest.fixture
def weigh(tasks: TaskSet, entry: Callable[..., Entry]) -> Callable[..., TradeOff]:
    """Assemble entries; the reference is `base`, whose second run is its first."""

    def run(*entries: Entry, **changes: Any) -> TradeOff:
        values: dict[str, Any] = {
            "task_set": tasks,
            "settings": TaskSetConfig(tasks.name, Path(), 0.02, 0.05, 0.3),
            "reference": "base",
            "second": entry("base", WRONG).record,
            "scenarios": list(SCENARIOS.values()),
            "resamples": 400,
        }
        return assemble.assemble(entries, **{**values, **changes})

    return run


WRONG = tuple(range(0, 120, 5))
"""What the base gets wrong: a fifth of both capabilities."""


@pytest.fixture
def wrong() -> tuple[int, ...]:
    return WRONG
