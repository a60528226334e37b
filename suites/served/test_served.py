"""Is a model behind a server the model that was judged? `pytest suites -m served`."""

import pytest

from pytest_modellab import Candidate, Gate

SHORT = 60  # tokens of a prompt

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


def test_same_answers(candidate: Candidate) -> None:
    """Prompts have the same tokens, and the short ones the same answers; the others are named.

    In process a prompt is computed at once, by the server token by token: from about 60 tokens on
    llama.cpp then rounds otherwise, by tenths of a nat.
    """
    task_set = candidate.lab.task_set("core")
    here = candidate.lab.record(candidate.lab.variant("in_process"), task_set).samples
    there = candidate.record(task_set).samples
    assert [one.tokens_in for one in here] == [one.tokens_in for one in there]
    other = [a for a, b in zip(here, there, strict=True) if a.output != b.output]
    print(f"{len(other)} of {len(here)} answers differ: {[(a.id, a.tokens_in) for a in other]}")
    assert not [a.id for a in other if a.tokens_in < SHORT]
