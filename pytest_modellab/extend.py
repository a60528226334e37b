"""What a plugin or conftest file needs to add a kind, a scorer or a recipe."""

from __future__ import annotations

from pytest_modellab.records import GenerationRequest, Output, Sample, Scorer, ScoringRequest
from pytest_modellab.variants.plan import Kind, Plan, Step, check_options

__all__ = [
    "GenerationRequest",
    "Kind",
    "Output",
    "Plan",
    "Sample",
    "Scorer",
    "ScoringRequest",
    "Step",
    "check_options",
]
