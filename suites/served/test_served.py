"""Is a model behind a server the model that was judged? `pytest suites -m served`."""

import pytest

from pytest_modellab import Candidate, Gate

pytestmark = [
    pytest.mark.task_set("core"),
    pytest.mark.variants("served"),
]


def test_overall(candidate: Candidate, gate: Gate) -> None:
    """The server answers as the same file in process does."""
    gate.no_regression(candidate, against="base")


def test_overall_likelihood(candidate: Candidate, gate: Gate) -> None:
    """And it says with the same readiness what it says."""
    gate.no_regression(candidate, against="base", metric="likelihood")
