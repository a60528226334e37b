"""What a plugin or conftest file needs to add a kind, a scorer or a recipe (docs/extending.md)."""

from __future__ import annotations

from pytest_modellab.engines.interface import Done, Engine, GenerationRequest, ScoringRequest
from pytest_modellab.errors import (
    ConfigError,
    ModelError,
    OutOfMemory,
    VariantLoadError,
    near_misses,
)
from pytest_modellab.recipes.data import Data
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.runs import Output
from pytest_modellab.records.setting import Setting, at_least, check_options, positive
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.interface import Scored, Scorer, SetScorer
from pytest_modellab.variants.plan import Kind, Plan, Step

__all__ = [
    "ConfigError",
    "Data",
    "Done",
    "Engine",
    "GenerationRequest",
    "Kind",
    "ModelError",
    "ModelSource",
    "Order",
    "OutOfMemory",
    "Outcome",
    "Output",
    "Plan",
    "Recipe",
    "Sample",
    "Scored",
    "Scorer",
    "ScoringRequest",
    "SetScorer",
    "Setting",
    "Step",
    "VariantLoadError",
    "VariantSpec",
    "at_least",
    "check_options",
    "near_misses",
    "positive",
]
