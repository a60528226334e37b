"""A model behind a prompt: what a changed prompt, or another model, costs."""

from __future__ import annotations

from pytest_modellab.starter.kind import REGRESSION, Kind

NEEDS = ("torch", "transformers", "accelerate", "safetensors", "gguf")


KIND = Kind(
    name="prompted",
    extra="transformers",
    needs=NEEDS,
    accepted=("prompting",),
    question="May a changed prompt ship?",
    marks='kind="prompted"',
    tests=(REGRESSION,),
    declared=lambda _: "",
)
