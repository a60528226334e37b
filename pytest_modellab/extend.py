"""What a plugin or conftest file needs to add to pytest-modellab (docs/extending.md)."""

from __future__ import annotations

from pytest_modellab.engines.interface import (
    Done,
    Engine,
    GenerationRequest,
    ReadingRequest,
    ScoringRequest,
    Texts,
)
from pytest_modellab.errors import (
    ConfigError,
    FloorViolated,
    ModelError,
    OutOfMemory,
    RegressionDetected,
    ScoringError,
    Unscorable,
    VariantLoadError,
    near_misses,
)
from pytest_modellab.judging.assertions import Assertion
from pytest_modellab.judging.words import Words
from pytest_modellab.media.generators import Generator
from pytest_modellab.observatory.added import Probe, Seen
from pytest_modellab.recipes.data import Data
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.diagnosis import (
    Finding,
    Heat,
    Lines,
    Picture,
    Piece,
    Series,
    Sides,
)
from pytest_modellab.records.media import Media
from pytest_modellab.records.runs import Output
from pytest_modellab.records.setting import Setting, at_least, check_options, positive
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.interface import Scored, Scorer, SetScorer
from pytest_modellab.variants.plan import Kind, Plan, Step

__all__ = [
    "Assertion",
    "ConfigError",
    "Data",
    "Done",
    "Engine",
    "Finding",
    "FloorViolated",
    "GenerationRequest",
    "Generator",
    "Heat",
    "Kind",
    "Lines",
    "Media",
    "ModelError",
    "ModelSource",
    "Order",
    "OutOfMemory",
    "Outcome",
    "Output",
    "Picture",
    "Piece",
    "Plan",
    "Probe",
    "ReadingRequest",
    "Recipe",
    "RegressionDetected",
    "Sample",
    "Scored",
    "Scorer",
    "ScoringError",
    "ScoringRequest",
    "Seen",
    "Series",
    "SetScorer",
    "Setting",
    "Sides",
    "Step",
    "Texts",
    "Unscorable",
    "VariantLoadError",
    "VariantSpec",
    "Words",
    "at_least",
    "check_options",
    "near_misses",
    "positive",
]
