"""May a smaller student ship? `pytest suites -m distilled`."""

import pytest

from pytest_modellab import Candidate, Gate

COST = 0.30  # what half the layers may cost of the mean over all samples

pytestmark = [
    pytest.mark.task_set("assistant_core_v2"),
    pytest.mark.variants(kind="distilled", base="prompting"),
    pytest.mark.alpha_weight(10),  # right or wrong; a metric beside it has one share
]
beside = pytest.mark.alpha_weight(1)


def test_capability(candidate: Candidate, capability: str, gate: Gate) -> None:
    """No capability fell since the last accepted run."""
    gate.no_regression(candidate, capability=capability)


def test_drift(candidate: Candidate, gate: Gate) -> None:
    """Nor have the drops that were accepted added up."""
    gate.no_drift(candidate)


def test_overall_cost(candidate: Candidate, gate: Gate) -> None:
    """Nor does the student lag behind its teacher by more than the budget."""
    gate.no_regression(candidate, against="base", margin=COST)


@beside
def test_overall_cost_probability(candidate: Candidate, gate: Gate) -> None:
    """Nor is it so much less sure than its teacher."""
    gate.no_regression(candidate, against="base", margin=COST, metric="probability")
