"""May a quantized model ship? `pytest suites -m quantized`."""

import pytest

from pytest_modellab import Candidate, Gate

COST = 0.05  # what compression may cost of the mean over all samples
CAPABILITY_COST = 0.10  # and of one capability
SLOWER = 1.80  # times the base's latency: int8 is taken for its memory, and slower on a CPU

# Right or wrong comes first, with ten shares of alpha. Beside it stand, with one each, how sure the
# model is of the right answer (probability) and how readily it says it (likelihood): any change.
pytestmark = [
    pytest.mark.task_set("assistant_core_v2"),
    pytest.mark.variants(kind="quantized"),
    pytest.mark.alpha_weight(10),
]
SCORE = pytest.param(None, id="score")
PROBABILITY = pytest.param("probability", marks=pytest.mark.alpha_weight(1))
LIKELIHOOD = pytest.param("likelihood", marks=pytest.mark.alpha_weight(1))
right = pytest.mark.parametrize("metric", [SCORE, PROBABILITY])
changed = pytest.mark.parametrize("metric", [SCORE, PROBABILITY, LIKELIHOOD])


def test_capability(candidate: Candidate, capability: str, gate: Gate) -> None:
    """No capability fell since the last accepted run."""
    gate.no_regression(candidate, capability=capability)


@right
def test_overall(candidate: Candidate, metric: str | None, gate: Gate) -> None:
    """Nor did the mean over all samples."""
    gate.no_regression(candidate, metric=metric)


def test_drift(candidate: Candidate, gate: Gate) -> None:
    """Nor have the drops that were accepted added up."""
    gate.no_drift(candidate)


@changed
def test_forgetting(candidate: Candidate, metric: str | None, gate: Gate) -> None:
    """Compression cost no capability that the unquantized base has more than its budget."""
    gate.no_forgetting(candidate, margin=CAPABILITY_COST, metric=metric)


@changed
def test_overall_cost(candidate: Candidate, metric: str | None, gate: Gate) -> None:
    """Nor did it cost more than the budget over all samples."""
    gate.no_regression(candidate, against="base", margin=COST, metric=metric)


def test_worst_bucket(candidate: Candidate, gate: Gate) -> None:
    """No capability lies under the floor (22 samples a difficulty could not show it)."""
    gate.worst_bucket(candidate, by="capability")


def test_latency(candidate: Candidate, gate: Gate) -> None:
    """Nor does it take longer to answer than compression may cost."""
    gate.no_slowdown(candidate, limit=SLOWER)
