"""The gate: block, pass or inconclusive, from two sets of scores of the same samples.

Numpy and scipy only; usable without pytest. The rules are in docs/gate.md.
"""

from pytest_modellab.gate._spending import nominal_levels
from pytest_modellab.gate._stages import cut_stages
from pytest_modellab.gate.bounds import drop_bounds, score_bounds
from pytest_modellab.gate.churn import Churn, abnormal, churn
from pytest_modellab.gate.compare import compare, decide, drop, drop_family
from pytest_modellab.gate.errors import (
    AlignmentError,
    EmptyError,
    GateInputError,
    LabelError,
    LengthError,
    MeasurementError,
    MissingScoresError,
    ScoreError,
    SettingError,
)
from pytest_modellab.gate.family import split_alpha, weighted_holm
from pytest_modellab.gate.fidelity import fidelity
from pytest_modellab.gate.floor import floor_family
from pytest_modellab.gate.forgetting import Forgetting, forgetting_family
from pytest_modellab.gate.graded import (
    Spread,
    graded_drop,
    graded_pass_power,
    graded_pass_size,
    graded_power,
    graded_size,
)
from pytest_modellab.gate.planner import (
    any_power,
    detectable_drop,
    effective_size,
    pass_size,
    power,
    samples_for,
)
from pytest_modellab.gate.ratios import RatioResult, cost_ratio, latency_ratio
from pytest_modellab.gate.results import Figures, GateResult, Verdict, combine
from pytest_modellab.gate.sequential import (
    SequentialResult,
    sequential_drop,
    sequential_family,
    sequential_floor,
)

__all__ = [
    "AlignmentError",
    "Churn",
    "EmptyError",
    "Figures",
    "Forgetting",
    "GateInputError",
    "GateResult",
    "LabelError",
    "LengthError",
    "MeasurementError",
    "MissingScoresError",
    "RatioResult",
    "ScoreError",
    "SequentialResult",
    "SettingError",
    "Spread",
    "Verdict",
    "abnormal",
    "any_power",
    "churn",
    "combine",
    "compare",
    "cost_ratio",
    "cut_stages",
    "decide",
    "detectable_drop",
    "drop",
    "drop_bounds",
    "drop_family",
    "effective_size",
    "fidelity",
    "floor_family",
    "forgetting_family",
    "graded_drop",
    "graded_pass_power",
    "graded_pass_size",
    "graded_power",
    "graded_size",
    "latency_ratio",
    "nominal_levels",
    "pass_size",
    "power",
    "samples_for",
    "score_bounds",
    "sequential_drop",
    "sequential_family",
    "sequential_floor",
    "split_alpha",
    "weighted_holm",
]
