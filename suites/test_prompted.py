"""May a changed prompt ship? `pytest suites -m prompted`."""

import pytest

from pytest_modellab import Candidate, Gate

pytestmark = [pytest.mark.task_set("assistant_core_v2"), pytest.mark.variants(kind="prompted")]


def test_capability(candidate: Candidate, capability: str, gate: Gate) -> None:
    gate.no_regression(candidate, capability=capability)


def test_overall(candidate: Candidate, gate: Gate) -> None:
    gate.no_regression(candidate)


def test_drift(candidate: Candidate, gate: Gate) -> None:
    gate.no_drift(candidate)


def test_worst_bucket(candidate: Candidate, gate: Gate) -> None:
    gate.worst_bucket(candidate, by="capability")
