"""May a fine-tuned model ship? `pytest suites -m finetuned`."""

import pytest

from pytest_modellab import Candidate, Gate

FORGETTING = 0.10  # what a fine-tune may cost of any capability that it was not made for

pytestmark = [
    pytest.mark.variants(strategy="fine-tuning", base="prompting"),
    pytest.mark.alpha_weight(10),  # right or wrong; a metric beside it has one share
]
beside = pytest.mark.alpha_weight(1)
domain = pytest.mark.task_set("support_triage_v1")
core = pytest.mark.task_set("assistant_core_v2")


@domain
def test_better_than_prompting(candidate: Candidate, gate: Gate) -> None:
    """At its own job the fine-tune is no worse than the base that it came from."""
    gate.no_regression(candidate, against="base")


@domain
def test_domain(candidate: Candidate, capability: str, gate: Gate) -> None:
    """No part of the job fell since the last accepted run."""
    gate.no_regression(candidate, capability=capability)


@core
def test_forgetting(candidate: Candidate, gate: Gate) -> None:
    """Nothing else was lost that the base can do."""
    gate.no_forgetting(candidate, margin=FORGETTING)


@core
@beside
def test_forgetting_probability(candidate: Candidate, gate: Gate) -> None:
    """Nor is it less sure of it. Its likelihood falls with the style that it was taught."""
    gate.no_forgetting(candidate, margin=FORGETTING, metric="probability")


@core
def test_drift(candidate: Candidate, gate: Gate) -> None:
    """Nor have the drops that were accepted added up."""
    gate.no_drift(candidate)
