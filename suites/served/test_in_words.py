"""Is a chat, which tells no likelihoods, the model that was judged? `pytest suites -m served`."""

import pytest

from pytest_modellab import Candidate

pytestmark = [
    pytest.mark.task_set("few"),
    pytest.mark.variants("chat"),
]


def test_same_replies(candidate: Candidate) -> None:
    """Multiple choice asked in words is answered by chat as by the same file in process.

    The server's own template makes the same prompts. So small a model knows as much as chance in
    words (docs/served.md), so that the replies are compared and no scores.
    """
    task_set = candidate.lab.task_set("few")
    here = candidate.lab.record(candidate.lab.variant("in_words"), task_set).samples
    there = candidate.record(task_set).samples
    assert [one.tokens_in for one in here] == [one.tokens_in for one in there]
    assert [one.output for one in here] == [one.output for one in there]
