"""The model after preference optimization, an adapter or a checkpoint: what alignment cost."""

from __future__ import annotations

from pytest_modellab.starter.kind import ADAPTER, CHECKPOINT, COST, REGRESSION, Kind
from pytest_modellab.starter.kinds import tuned
from pytest_modellab.starter.kinds.prompted import NEEDS

KIND = Kind(
    name="aligned",
    extra="adapters",
    needs=(*NEEDS, "peft"),
    accepted=("prompting", "aligned"),
    question="May a model after preference optimization ship?",
    marks='kind="aligned"',
    tests=(REGRESSION, COST),
    declared=tuned.declared("aligned", "aligned"),
    takes=(ADAPTER, CHECKPOINT),
)
