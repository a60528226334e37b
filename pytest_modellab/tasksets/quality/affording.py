"""How many samples a device pays for in a given time, and what so many notice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from pytest_modellab.records.runs import RunRecord
from pytest_modellab.tasksets.quality.planning import Aim, Bucket, noticed

MOST = 100_000_000
"""Samples that are planned at most: a run of a few milliseconds tells little of a day."""


@dataclasses.dataclass(frozen=True)
class Pace:
    """How fast a variant answered the samples of a task set.

    Attributes:
        variant: whose run it was.
        device: what it ran on, by its name.
        rate: samples a second, in (0, inf); loading does not count.
        source: where the run is from, in words.
    """

    variant: str
    device: str
    rate: float
    source: str


@dataclasses.dataclass(frozen=True)
class Affordable:
    """What a variant's time pays for.

    Attributes:
        pace: how fast it is.
        samples: how many it answers in the time, of the mix that the task set has.
        notices: the smallest drop of the mean that so many notice; None where they notice none.
    """

    pace: Pace
    samples: int
    notices: float | None

    def to_data(self) -> dict[str, Any]:
        """Return every figure in built-in types."""
        return {**dataclasses.asdict(self.pace), "samples": self.samples, "notices": self.notices}


def pace_of(variant: str, run: RunRecord, source: str) -> Pace | None:
    """Return how fast a run was, or None where that was not measured.

    Args:
        variant: whose run it is.
        run: the run.
        source: where it is from, in words.
    """
    seconds = run.probes.get("seconds", 0.0)
    if not (seconds > 0 and run.samples):
        return None
    told = run.environment
    device = told.get("accelerator") or told.get("device") or run.fingerprint.settings.get("device")
    return Pace(variant, str(device or "cpu"), len(run.samples) / seconds, source)


def by_device(found: Iterable[Pace | None]) -> list[Pace]:
    """Return the first pace of each device, in the order given."""
    kept: dict[str, Pace] = {}
    for pace in found:
        if pace is not None:
            kept.setdefault(pace.device, pace)
    return list(kept.values())


def afford(pace: Pace, seconds: float, whole: Bucket, question: Aim) -> Affordable:
    """Plan what a time pays for.

    Args:
        pace: how fast a variant is.
        seconds: what a run of it may take.
        whole: all samples of the task set; larger sets are taken to have its clusters and spread.
        question: what is asked.

    Raises:
        gate.GateInputError: a setting lies outside its range.
    """
    samples = min(int(seconds * pace.rate), MOST)
    return Affordable(pace, samples, noticed(samples, whole, question) if samples else None)
