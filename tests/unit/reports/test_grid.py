"""Tables: what a narrow terminal wraps, nobody cuts in a pipe."""

import re
import sys
import unicodedata

import pytest

from pytest_modellab.reports.text import grid

NAME = "a_long_name_of_a_capability/with_a_bucket"
HEAD = ["bucket", "drop", "verdict"]
ROWS = [[NAME, "0.125", "pass"], ["[red]漢字", "-0.5", "block"]]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "30")


def test_lines() -> None:
    assert grid.lines(grid.grid(HEAD, ROWS, right={1})) == [
        f"bucket{' ' * 37} drop  verdict",
        f"{NAME}  0.125  pass",
        f"[red]漢字{' ' * 34} -0.5  block",
    ]
    assert unicodedata.east_asian_width("漢") == "W", "it takes two columns"


def test_a_rule_below_the_head() -> None:
    head, rule, *_ = grid.lines(grid.grid(HEAD, ROWS, right={1}, ruled=True))
    assert head.split() == HEAD
    assert set(rule) == {"─"}


def test_a_pipe_cuts_and_wraps_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    grid.console().print(grid.grid(HEAD, [[NAME * 9, "0.125", "pass"]], right={1}, wraps={0}))
    _, line = capsys.readouterr().out.splitlines()
    assert line.split() == [NAME * 9, "0.125", "pass"]


def test_a_narrow_terminal_wraps_what_may_be_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    rows = [["the worst of all the buckets that there are", "0.125", "pass"]]
    grid.console().print(grid.grid(HEAD, rows, right={1}, wraps={0}))
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) > 2
    assert max(map(len, lines)) <= 30
    assert lines[1].rstrip().endswith("0.125  pass")
