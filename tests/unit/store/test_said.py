"""What the store says reaches who listens, whatever became of logging."""

from __future__ import annotations

import logging

import pytest

from pytest_modellab.store import said


def test_who_listens_hears_it_while_they_listen(caplog: pytest.LogCaptureFixture) -> None:
    first: list[str] = []
    second: list[str] = []
    with said.listening(first.append):
        said.say("a")
        with said.listening(second.append):
            said.say("b")
        said.say("c")
    said.say("d")
    assert (first, second) == (["a", "b", "c"], ["b"])
    assert caplog.messages == ["a", "b", "c", "d"]


def test_it_is_heard_where_logging_is_off() -> None:
    heard: list[str] = []
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with said.listening(heard.append):
            said.say("a")
    finally:
        logging.disable(before)
    assert heard == ["a"]


def test_a_files_name_is_made_visible() -> None:
    heard: list[str] = []
    with said.listening(heard.append):
        said.say("models/key is damaged: \x1b[2J\n::error::x was added")
    assert heard == [r"models/key is damaged: \x1b[2J\n::error::x was added"]
