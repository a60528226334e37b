"""Does search by a server's vectors find what it found? `pytest suites/served -m embedding`."""

import pytest

from pytest_modellab import Candidate, Gate

pytestmark = [pytest.mark.task_set("across")]


@pytest.mark.variants("served_e5")
def test_overall(candidate: Candidate, gate: Gate) -> None:
    """No ranking got worse since the last accepted run."""
    gate.no_regression(candidate)


@pytest.mark.variants("served_e5_d320")
def test_overall_cost(candidate: Candidate, gate: Gate) -> None:
    """Nor do the first 320 of 384 numbers find less."""
    gate.no_regression(candidate, against="base")
