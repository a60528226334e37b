"""A full checkpoint beside the model that it was trained from: what training cost."""

from __future__ import annotations

from pytest_modellab.starter.kind import CHECKPOINT, COST, REGRESSION, Kind
from pytest_modellab.starter.kinds import tuned
from pytest_modellab.starter.kinds.prompted import NEEDS

KIND = Kind(
    name="finetuned",
    extra="transformers",
    needs=NEEDS,
    accepted=("prompting", "finetuned"),
    question="May a fine-tuned model ship?",
    marks='kind="finetuned"',
    tests=(REGRESSION, COST),
    declared=tuned.declared("finetuned", "finetuned"),
    takes=(CHECKPOINT,),
)
