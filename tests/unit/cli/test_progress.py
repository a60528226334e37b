"""When progress is worth a line, and how long a run says that it will take."""

import io
import sys
from collections.abc import Callable

import pytest

from pytest_modellab.cli.common import Progress
from pytest_modellab.plugin.progress import Pace, span
from pytest_modellab.records.progress import Advance, Work

Note = Callable[[float, int], str | None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that it is now, in a list of one."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def note(clock: list[float], *, terminal: bool = False, total: int = 100) -> Note:
    """``note(seconds, done)``: the line of a run that began at second 0, if it is worth one."""
    pace = Pace(terminal=terminal)

    def line(seconds: float, done: int) -> str | None:
        clock[0] = 100.0 + seconds
        return pace.line(Advance(Work.RUN, "nf4", "core", done, total))

    return line


def test_the_estimate_comes_after_three_batches(clock: list[float]) -> None:
    line = note(clock)
    assert line(0, 0) == "nf4 on core: 0/100 samples, 0 s"
    assert line(1, 5) is None
    assert line(2, 10) is None
    assert line(4, 20) == "nf4 on core: 20/100 samples, 4 s, about 16 s left"
    assert line(5, 25) is None
    assert line(33, 50) is None, "29 seconds after the last"
    assert line(34, 60) == "nf4 on core: 60/100 samples, 34 s, about 23 s left"
    assert line(55, 100) == "nf4 on core: 100/100 samples, 55 s"


def test_what_was_answered_before_is_not_counted_as_fast(clock: list[float]) -> None:
    line = note(clock)
    assert line(0, 60) == "nf4 on core: 60/100 samples, 0 s"
    for done in (61, 62):
        assert line(done - 60, done) is None
    assert line(10, 70) == "nf4 on core: 70/100 samples, 10 s, about 30 s left"


def test_batches_of_one_long_prompt_are_no_measure(clock: list[float]) -> None:
    line = note(clock, total=500)
    assert line(0, 0)
    for done in range(1, 10):
        assert line(done, done) is None
    assert line(10, 10) == "nf4 on core: 10/500 samples, 10 s, about 8 min left"
    assert line(11, 11) is None


def test_another_total_begins_anew(clock: list[float]) -> None:
    pace = Pace(terminal=False)
    for done in range(4):
        pace.line(Advance(Work.RUN, "bm25", "docs", done, 900))
    assert pace.line(Advance(Work.RUN, "bm25", "docs", 0, 40)) == "bm25 on docs: 0/40 samples, 0 s"
    assert pace.begins
    assert pace.line(Advance(Work.RUN, "bm25", "docs", 30, 40)) is None
    assert (
        pace.line(Advance(Work.RUN, "bm25", "docs", 0, 40)) == "bm25 on docs: 0/40 samples, 0 s"
    ), "out of memory"


def test_a_terminal_is_told_often(clock: list[float]) -> None:
    line = note(clock, terminal=True)
    assert line(0, 0)
    assert line(0.1, 1) is None
    assert line(0.3, 2) == "nf4 on core: 2/100 samples, 0 s"


def test_rounds_of_a_latency(clock: list[float]) -> None:
    assert Pace(terminal=False).line(Advance(Work.LATENCY, "nf4", "core", 0, 6)) == (
        "latency of nf4 on core: 0/6 rounds, 0 s"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119, "119 s"), (121, "2 min"), (7199, "120 min"), (9000, "2.5 h")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_commands_flush_every_line(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(pipe, encoding="utf-8"))
    Progress()(Advance(Work.RUN, "nf4", "core", 0, 4))
    assert pipe.getvalue() == b"nf4 on core: 0/4 samples, 0 s\n"
