"""The model with a LoRA adapter: what training cost."""

from __future__ import annotations

from pytest_modellab.starter.kind import ADAPTER, COST, REGRESSION, Kind
from pytest_modellab.starter.kinds import tuned
from pytest_modellab.starter.kinds.prompted import NEEDS

KIND = Kind(
    name="lora",
    extra="adapters",
    needs=(*NEEDS, "peft"),
    accepted=("prompting", "lora"),
    question="May a model with an adapter ship?",
    marks='kind="lora"',
    marker="finetuned",
    tests=(REGRESSION, COST),
    declared=tuned.declared("lora", "lora"),
    takes=(ADAPTER,),
)
