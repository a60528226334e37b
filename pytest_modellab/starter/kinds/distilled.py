"""A smaller student beside its teacher: how far behind it is."""

from __future__ import annotations

from pytest_modellab.starter.kind import BEHIND, CHECKPOINT, REGRESSION, Kind
from pytest_modellab.starter.kinds import tuned
from pytest_modellab.starter.kinds.prompted import NEEDS

KIND = Kind(
    name="distilled",
    extra="transformers",
    needs=NEEDS,
    accepted=("prompting", "student"),
    question="May a smaller student ship?",
    marks='kind="distilled"',
    tests=(REGRESSION, BEHIND),
    declared=tuned.declared("distilled", "student"),
    takes=(CHECKPOINT,),
)
