"""Does a retrieval regression show in answers? `pytest suites -m rag`."""

import pytest

from pytest_modellab import Candidate, Gate

pytestmark = [pytest.mark.task_set("help_centre_qa_v1"), pytest.mark.variants(kind="rag")]


def test_answers(candidate: Candidate, gate: Gate) -> None:
    """Answers from the passages got no worse since the last accepted run."""
    gate.no_regression(candidate)
