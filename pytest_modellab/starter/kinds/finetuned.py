"""A full checkpoint beside the model that it was trained from: what training cost."""

from __future__ import annotations

from pytest_modellab.starter.kind import COST, REGRESSION, Kind
from pytest_modellab.starter.kinds.prompted import NEEDS

_DECLARED = """
[variants.finetuned]
kind = "finetuned"
base = "prompting"
model = "finetuned"
"""


KIND = Kind(
    name="finetuned",
    extra="transformers",
    needs=NEEDS,
    accepted=("prompting", "finetuned"),
    question="May a fine-tuned model ship?",
    marks='kind="finetuned"',
    tests=(REGRESSION, COST),
    declared=lambda _: _DECLARED,
    tuned="a folder with the fine-tuned model's config.json and weights",
)
