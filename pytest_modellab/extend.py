"""What a plugin or conftest file needs to add a kind, a scorer or a recipe."""

from __future__ import annotations

from pytest_modellab.recipes.recipe import Order, Outcome, Recipe, Setting
from pytest_modellab.records import GenerationRequest, Output, Sample, Scorer, ScoringRequest
from pytest_modellab.variants.plan import Kind, Plan, Step, check_options

__all__ = [
    "GenerationRequest",
    "Kind",
    "Order",
    "Outcome",
    "Output",
    "Plan",
    "Recipe",
    "Sample",
    "Scorer",
    "ScoringRequest",
    "Setting",
    "Step",
    "check_options",
]
