"""The model with a LoRA adapter: what training cost."""

from __future__ import annotations

from pytest_modellab.starter.kind import COST, REGRESSION, Kind
from pytest_modellab.starter.kinds.prompted import NEEDS
from pytest_modellab.starter.model import Model, quoted


def _declared(tuned: Model | None) -> str:
    assert tuned is not None
    return f"""
[variants.lora]
kind = "lora"
base = "prompting"
adapter = {quoted(tuned.source)}
"""


KIND = Kind(
    name="lora",
    extra="adapters",
    needs=(*NEEDS, "peft"),
    accepted=("prompting", "lora"),
    question="May a model with an adapter ship?",
    marks='kind="lora"',
    tests=(REGRESSION, COST),
    declared=_declared,
    tuned="a folder with adapter_config.json and adapter_model.safetensors",
)
