"""Probes of plugins see an examination; what goes wrong in one is a note."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_modellab.observatory.added import Probe, Seen, look
from pytest_modellab.records.diagnosis import Finding

EXAMINATION: Any = object()


def test_probes_are_asked_by_name_and_what_they_see_is_joined() -> None:
    def see(name: str) -> Probe:
        return Probe(name, lambda _: Seen((Finding(name, "code", "seen"),), notes=(name,)))

    seen = look(EXAMINATION, [see("b"), see("a")])
    assert [one.site for one in seen.findings] == ["a", "b"]
    assert seen.notes == ("a", "b")


def test_an_error_and_something_else_than_seen_are_notes() -> None:
    def fail(_: Any) -> Seen:
        raise ValueError("no such module")

    wrong: Any = lambda _: [1]  # noqa: E731
    seen = look(EXAMINATION, [Probe("wrong", wrong), Probe("fails", fail)])
    assert seen.findings == ()
    assert seen.notes == (
        "the probe 'fails' failed: ValueError: no such module",
        "the probe 'wrong' failed: TypeError: returned a list, expected Seen(findings, …)",
    )


def test_an_interruption_is_none() -> None:
    def interrupt(_: Any) -> Seen:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look(EXAMINATION, [Probe("slow", interrupt)])
