"""May a changed prompt ship? `pytest suites -m prompted`."""

import pytest

from pytest_modellab import Candidate, Gate

pytestmark = [
    pytest.mark.task_set("assistant_core_v2"),
    pytest.mark.alpha_weight(10),  # right or wrong; a metric beside it has one share
]
beside = pytest.mark.alpha_weight(1)
accepted = pytest.mark.variants("prompting", "few_shot")
tried = pytest.mark.variants("chain_of_thought", "self_consistency", "paraphrased")


@accepted
def test_capability(candidate: Candidate, capability: str, gate: Gate) -> None:
    """No capability fell since the last accepted run."""
    gate.no_regression(candidate, capability=capability)


@accepted
def test_overall(candidate: Candidate, gate: Gate) -> None:
    """Nor did the mean over all samples."""
    gate.no_regression(candidate)


@accepted
@beside
def test_overall_probability(candidate: Candidate, gate: Gate) -> None:
    """Nor is it less sure of what is right: that shows before answers flip."""
    gate.no_regression(candidate, metric="probability")


@accepted
def test_drift(candidate: Candidate, gate: Gate) -> None:
    """Nor have the drops that were accepted added up."""
    gate.no_drift(candidate)


@accepted
def test_worst_bucket(candidate: Candidate, gate: Gate) -> None:
    """No capability lies under the floor."""
    gate.worst_bucket(candidate, by="capability")


@tried
def test_against_the_plain_prompt(candidate: Candidate, gate: Gate) -> None:
    """A prompt that was never accepted is compared with the plain one."""
    gate.no_regression(candidate, against="base")
