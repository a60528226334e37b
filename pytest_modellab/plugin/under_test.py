"""What a test is handed as ``candidate``: the variant under test."""

from __future__ import annotations

import dataclasses

from pytest_modellab.engines.interface import Engine
from pytest_modellab.lab.lab import Lab
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet


@dataclasses.dataclass(frozen=True)
class Candidate:
    """The variant under test, as the ``candidate`` fixture hands it out; loaded only on demand."""

    lab: Lab
    spec: VariantSpec

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.spec.name

    @property
    def engine(self) -> Engine:
        """The loaded model, for tests that ask it something themselves."""
        return self.lab.engine(self.lab.variant(self.name))

    def record(self, task_set: TaskSet) -> RunRecord:
        """Return the candidate's run on a task set."""
        return self.lab.record(self.lab.variant(self.name, task_set), task_set)
