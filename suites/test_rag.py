"""Does a regression of the search show in answers? `pytest suites -m rag`."""

import pytest

from pytest_modellab import Candidate, Gate

pytestmark = [pytest.mark.task_set("help_centre_qa_v1"), pytest.mark.alpha_weight(10)]


@pytest.mark.variants("rag")
def test_answers(candidate: Candidate, gate: Gate) -> None:
    """Answers from the passages got no worse since the last accepted run (token F1)."""
    gate.no_regression(candidate)


@pytest.mark.variants("rag_sre")
def test_answers_cost(candidate: Candidate, gate: Gate) -> None:
    """Nor does another search make them worse."""
    gate.no_regression(candidate, against="base", margin=0.0)


@pytest.mark.variants("rag_sre")
def test_supported_cost(candidate: Candidate, gate: Gate) -> None:
    """Nor does the model say more that no passage says."""
    gate.no_regression(candidate, against="base", margin=0.0, metric="supported")
