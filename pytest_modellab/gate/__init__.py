"""The gate: block, pass or inconclusive, from two sets of scores of the same samples.

Numpy and scipy only; usable without pytest. The rules are in docs/gate.md.
"""

from pytest_modellab.gate.compare import compare, decide, drop, drop_family
from pytest_modellab.gate.floor import floor_family
from pytest_modellab.gate.planner import detectable_drop
from pytest_modellab.gate.results import Figures, GateResult, Verdict, combine
from pytest_modellab.gate.validate import (
    EmptyError,
    GateInputError,
    LabelError,
    LengthError,
    MissingScoresError,
    ScoreError,
    SettingError,
)

__all__ = [
    "EmptyError",
    "Figures",
    "GateInputError",
    "GateResult",
    "LabelError",
    "LengthError",
    "MissingScoresError",
    "ScoreError",
    "SettingError",
    "Verdict",
    "combine",
    "compare",
    "decide",
    "detectable_drop",
    "drop",
    "drop_family",
    "floor_family",
]
