"""What ``modellab init`` says comes next, done as it is printed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import pytest

from pytest_modellab import cli


def commands(said: str) -> list[str]:
    """Return the commands that stand in what was printed."""
    printed, _, _ = said.partition("next:\n")[2].partition("\n\n")
    return [line.strip() for line in printed.splitlines()]


def follow(pytester: pytest.Pytester, printed: Sequence[str]) -> pytest.RunResult:
    """Run commands as they are printed, each to its good end; returns the last one's result."""
    *first, last = map(shlex.split, printed)
    assert len(first) == 2
    for program, *arguments in first:
        assert program == "modellab"
        assert cli.main(arguments) == 0, arguments
    assert last[0] == "pytest"
    result = pytester.runpytest(*last[1:])
    assert result.ret == 0
    return result
