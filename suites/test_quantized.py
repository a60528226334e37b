"""May a quantized model ship? `pytest suites -m quantized`."""

import pytest

from pytest_modellab import Candidate, Gate

COST = 0.05  # what compression may cost of the mean over all samples
CAPABILITY_COST = 0.10  # and of one capability
SLOWER = 1.80  # times the base's latency: int8 is taken for its memory, and slower on a CPU

# Right or wrong comes first, with ten shares of alpha. With one share each stand beside it how sure
# the model is of the right answer (probability) and how readily it says it (likelihood).
pytestmark = [
    pytest.mark.task_set("assistant_core_v2"),
    pytest.mark.variants(kind="quantized", base="prompting"),
    pytest.mark.alpha_weight(10),
]
beside = pytest.mark.alpha_weight(1)


def test_capability(candidate: Candidate, capability: str, gate: Gate) -> None:
    """No capability fell since the last accepted run."""
    gate.no_regression(candidate, capability=capability)


def test_overall(candidate: Candidate, gate: Gate) -> None:
    """Nor did the mean over all samples."""
    gate.no_regression(candidate)


@beside
def test_overall_probability(candidate: Candidate, gate: Gate) -> None:
    """Nor is it less sure of what is right: that shows before answers flip."""
    gate.no_regression(candidate, metric="probability")


def test_drift(candidate: Candidate, gate: Gate) -> None:
    """Nor have the drops that were accepted added up."""
    gate.no_drift(candidate)


def test_forgetting(candidate: Candidate, gate: Gate) -> None:
    """Compression cost no capability that the unquantized base has more than its budget."""
    gate.no_forgetting(candidate, margin=CAPABILITY_COST)


@beside
def test_forgetting_probability(candidate: Candidate, gate: Gate) -> None:
    """Nor so much of how sure the base is of what is right."""
    gate.no_forgetting(candidate, margin=CAPABILITY_COST, metric="probability")


@beside
def test_forgetting_likelihood(candidate: Candidate, gate: Gate) -> None:
    """Nor has it changed what is said in any capability."""
    gate.no_forgetting(candidate, margin=CAPABILITY_COST, metric="likelihood")


def test_overall_cost(candidate: Candidate, gate: Gate) -> None:
    """Nor did it cost more than the budget over all samples."""
    gate.no_regression(candidate, against="base", margin=COST)


@beside
def test_overall_cost_probability(candidate: Candidate, gate: Gate) -> None:
    """Nor more of how sure the base is."""
    gate.no_regression(candidate, against="base", margin=COST, metric="probability")


@beside
def test_overall_cost_likelihood(candidate: Candidate, gate: Gate) -> None:
    """Nor has it changed what is said by more."""
    gate.no_regression(candidate, against="base", margin=COST, metric="likelihood")


def test_worst_bucket(candidate: Candidate, gate: Gate) -> None:
    """No capability lies under the floor (22 samples a difficulty could not show it)."""
    gate.worst_bucket(candidate, by="capability")


def test_latency(candidate: Candidate, gate: Gate) -> None:
    """Nor does it take longer to answer than compression may cost."""
    gate.no_slowdown(candidate, limit=SLOWER)
