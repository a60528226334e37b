"""How far a piece of work is, as whoever shows it is told."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable


class Work(enum.StrEnum):
    """What is being done for a variant on a task set; the value is its name for a reader."""

    RUN = "run"
    REPEAT = "second run"
    READING = "reading"
    INDEX = "index"
    LATENCY = "latency"
    FIDELITY = "fidelity"
    DIAGNOSIS = "diagnosis"

    @property
    def unit(self) -> str:
        """What is counted: samples answered, documents indexed, rounds timed, or steps taken."""
        units = {Work.INDEX: "documents", Work.LATENCY: "rounds", Work.DIAGNOSIS: "steps"}
        return units.get(self, "samples")


@dataclasses.dataclass(frozen=True)
class Advance:
    """How far one piece of work is.

    Attributes:
        work: its kind.
        variant: the variant's name.
        task_set: the task set's name.
        done: units done so far.
        total: units in all.
        most: seconds that it takes from now on at most, where it is stopped then; else None.
    """

    work: Work
    variant: str
    task_set: str
    done: int
    total: int
    most: float | None = None


Watch = Callable[[Advance], None]
"""Whoever shows progress."""
