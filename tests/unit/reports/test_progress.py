"""When progress is worth a line, what the line says, and how long a run says that it will take."""

import io
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modellab.records.progress import Advance, Work
from pytest_modellab.reports.text.progress import (
    Announcements,
    BuildProgress,
    RunProgress,
    rounded_span,
    span,
)

Note = Callable[[float, int], str]

ESCAPES = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    """A file that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that it is now, in a list of one."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")


def note(clock: list[float], file: io.StringIO | None = None, total: int = 100) -> Note:
    """``note(seconds, done)``: what a run that began at second 0 writes then."""
    shown = io.StringIO() if file is None else file
    progress = RunProgress(shown)

    def line(seconds: float, done: int) -> str:
        clock[0] = 100.0 + seconds
        before = len(shown.getvalue())
        progress(Advance(Work.RUN, "nf4", "core", done, total))
        return shown.getvalue()[before:]

    return line


def test_the_estimate_comes_after_four_batches_and_the_first_is_not_measured(
    clock: list[float],
) -> None:
    line = note(clock)
    assert line(0, 0) == "nf4 on core: 0/100 samples, 0 s\n"
    assert line(3, 2) == "", "the longest prompts, and whatever is done once"
    assert line(4, 7) == ""
    assert line(5, 12) == ""
    assert line(6, 20) == "nf4 on core: 20/100 samples, 6 s, about 13 s left\n"
    assert line(7, 25) == ""
    assert line(35, 50) == "", "29 seconds after the last"
    assert line(36, 60) == "nf4 on core: 60/100 samples, 36 s, about 23 s left\n"
    assert line(55, 100) == "nf4 on core: 100/100 samples, 55 s\n"


def test_what_was_answered_before_is_not_counted_as_fast(clock: list[float]) -> None:
    line = note(clock)
    assert line(0, 60) == "nf4 on core: 60/100 samples, 0 s\n"
    for done in (61, 62, 63):
        assert line(done - 60, done) == ""
    assert line(7, 70) == "nf4 on core: 70/100 samples, 7 s, about 20 s left\n"


def test_a_run_that_begins_again_with_smaller_batches_is_measured_anew(clock: list[float]) -> None:
    line = note(clock)
    assert line(0, 0)
    assert line(5, 60) == ""
    assert line(6, 0) == "nf4 on core: 0/100 samples, 0 s\n", "memory did not hold the second batch"
    assert [line(8, 10), line(9, 15), line(10, 20)] == [""] * 3
    assert line(11, 25) == "nf4 on core: 25/100 samples, 5 s, about 15 s left\n"


def test_batches_of_one_long_prompt_are_no_measure(clock: list[float]) -> None:
    line = note(clock, total=500)
    assert line(0, 0)
    for done in range(1, 10):
        assert line(done, done) == ""
    assert line(10, 10) == "nf4 on core: about 8 min 20 s for 500 samples\n"
    assert line(11, 11) == ""


def test_a_run_that_takes_long_is_announced_once(clock: list[float]) -> None:
    line = note(clock, total=606)
    assert line(0, 0)
    assert [line(1, 4), line(2, 10), line(3, 20), line(10, 46)] == [
        "",
        "",
        "",
        "nf4 on core: about 2 min 10 s for 606 samples\n",
    ]
    assert line(12, 50) == ""
    assert line(41, 200) == "nf4 on core: 200/606 samples, 41 s, about 83 s left\n"


def test_what_was_answered_before_is_not_announced(clock: list[float]) -> None:
    line = note(clock, total=606)
    assert line(0, 306)
    assert [line(0, 306), line(1, 310), line(2, 320), line(60, 426)] == [
        "",
        "",
        "",
        "nf4 on core: about 2 min 30 s for 300 samples\n",
    ]


def test_on_a_terminal_the_announcement_stays_above_the_line(clock: list[float]) -> None:
    terminal = Terminal()
    line = note(clock, terminal, total=606)
    assert line(0, 0)
    assert line(1, 4)
    assert line(2, 10)
    assert line(3, 20)
    announced = line(10, 46)
    assert announced.startswith("\r\x1b[2Knf4 on core: about 2 min 10 s for 606 samples\n")
    assert announced.endswith("46/606 samples, 10 s, about 2 min left")
    assert "for 606 samples" not in line(20, 92)


def test_announcements_alone(clock: list[float]) -> None:
    said: list[str] = []
    watch = Announcements(said.append, "modellab: ")
    for seconds, done in ((0, 0), (1, 4), (2, 10), (3, 20), (10, 46), (60, 250), (130, 606)):
        clock[0] = 100.0 + seconds
        watch(Advance(Work.REPEAT, "nf4\x1b", "core", done, 606))
    assert said == ["modellab: second run of nf4\\x1b on core: about 2 min 10 s for 606 samples"]
    for seconds, done in ((200, 0), (201, 10), (202, 20), (203, 26), (204, 46), (210, 606)):
        clock[0] = 100.0 + seconds
        watch(Advance(Work.RUN, "fp4", "core", done, 606))
    assert len(said) == 2, "another run"
    for seconds, done in ((300, 0), (301, 100), (302, 200), (303, 300), (304, 400)):
        clock[0] = 100.0 + seconds
        watch(Advance(Work.RUN, "int8", "core", done, 606))
    assert len(said) == 2, "six seconds are not worth a line"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (31.2, "31 s"),
        (114, "114 s"),
        (119.4, "2 min"),
        (131, "2 min 10 s"),
        (179.9, "3 min"),
        (540, "9 min"),
        (700, "12 min"),
        (7300, "2.0 h"),
    ],
)
def test_spans_that_are_known_roughly(seconds: float, said: str) -> None:
    assert rounded_span(seconds) == said


def test_another_total_begins_anew(clock: list[float]) -> None:
    shown = io.StringIO()
    progress = RunProgress(shown, "modellab: ")
    for done in range(4):
        progress(Advance(Work.INDEX, "bm25", "docs", done, 900))
    progress(Advance(Work.INDEX, "bm25", "docs", 0, 40))
    assert shown.getvalue().splitlines() == [
        "modellab: index of bm25 on docs: 0/900 documents, 0 s",
        "modellab: index of bm25 on docs: 0/40 documents, 0 s",
    ]
    assert progress.timekeeper.begins


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (Work.RUN, "nf4 on core: 0/6 samples, 0 s"),
        (Work.REPEAT, "second run of nf4 on core: 0/6 samples, 0 s"),
        (Work.LATENCY, "latency of nf4 on core: 0/6 rounds, 0 s"),
        (Work.INDEX, "index of nf4 on core: 0/6 documents, 0 s"),
    ],
)
def test_works(clock: list[float], work: Work, said: str) -> None:
    shown = io.StringIO()
    RunProgress(shown)(Advance(work, "nf4", "core", 0, 6))
    assert shown.getvalue() == f"{said}\n"


def test_a_run_s_second_run_begins_anew(clock: list[float]) -> None:
    shown = io.StringIO()
    progress = RunProgress(shown)
    progress(Advance(Work.RUN, "nf4", "core", 6, 6))
    clock[0] += 9
    progress(Advance(Work.REPEAT, "nf4", "core", 0, 6))
    assert shown.getvalue().splitlines()[-1] == "second run of nf4 on core: 0/6 samples, 0 s"


def test_a_terminal_s_line_rewrites_itself_and_ends_as_words(clock: list[float]) -> None:
    terminal = Terminal()
    line = note(clock, terminal)
    first = line(0, 0)
    assert first.startswith("\r\x1b[2K")
    assert "\n" not in first
    assert ESCAPES.sub("", first).strip() == f"nf4 on core {'━' * 20} 0/100 samples, 0 s"
    assert line(0.1, 1) == ""
    assert line(0.3, 2)
    assert line(0.6, 4)
    assert line(0.9, 5).endswith("5/100 samples, 1 s, about 19 s left")
    assert line(9, 100) == "\r\x1b[2Knf4 on core: 100/100 samples, 9 s\n"


def test_a_line_is_no_wider_than_the_terminal(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    progress = RunProgress(terminal)
    progress(Advance(Work.RUN, "a_variant_of_a_long_name", "assistant_core_v2", 1, 726))
    shown = ESCAPES.sub("", terminal.getvalue()).lstrip("\r")
    assert len(shown) <= 40
    assert "\n" not in shown


def test_a_name_is_no_markup(clock: list[float]) -> None:
    terminal = Terminal()
    progress = RunProgress(terminal)
    for done in (0, 2):
        progress(Advance(Work.RUN, "[red]x", "[/]", done, 2))
    assert ESCAPES.sub("", terminal.getvalue()).count("[red]x on [/]") == 2


@pytest.mark.parametrize(("colour", "environment"), [(False, ""), (None, "1")])
def test_no_colour(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, colour: bool | None, environment: str
) -> None:
    monkeypatch.setenv("NO_COLOR", environment)
    terminal = Terminal()
    RunProgress(terminal, colour=colour)(Advance(Work.RUN, "nf4", "core", 1, 2))
    assert set(ESCAPES.findall(terminal.getvalue())) <= {"\x1b[2K", "\x1b[0m"}
    assert "━" * 10 in terminal.getvalue()


def test_a_terminal_that_cannot_rewrite_gets_plain_lines(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    line = note(clock, Terminal())
    assert line(0, 0) == "nf4 on core: 0/100 samples, 0 s\n"
    assert line(1, 5) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119, "119 s"), (121, "2 min"), (7199, "120 min"), (9000, "2.5 h")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_every_line_is_flushed(clock: list[float], tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as file:
        RunProgress(file)(Advance(Work.RUN, "nf4", "core", 0, 4))
        assert path.read_text(encoding="utf-8") == "nf4 on core: 0/4 samples, 0 s\n"


def test_a_build(clock: list[float]) -> None:
    shown = io.StringIO()
    progress = BuildProgress(shown, "new")
    for second, done in zip((0, 1, 2, 3, 4, 31, 32, 50), range(1, 9), strict=True):
        clock[0] = 100.0 + second
        progress(done, 8, 0.5)
    progress(1, 2, what="row")
    assert shown.getvalue().splitlines() == [
        "new: step 1/8, loss 0.5",
        "new: step 5/8, loss 0.5, about 3 s left",
        "new: step 8/8, loss 0.5",
        "new: row 1/2",
    ]


def test_rounds_that_are_alike_tell_the_time_left_after_the_first_that_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The warm-up's is not counted, and no more is said to be left than what is allowed."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown = io.StringIO()
    progress = RunProgress(shown)
    for done, seconds, most in ((0, 0, 60.0), (1, 20, 40.0), (2, 32, 28.0), (3, 44, 16.0)):
        now[0] = seconds
        progress(Advance(Work.LATENCY, "nf4", "core", done, 6, most))
    now[0] = 56
    progress(Advance(Work.LATENCY, "nf4", "core", 4, 4, 0.0))
    assert shown.getvalue().splitlines() == [
        "latency of nf4 on core: 0/6 rounds, 0 s",
        "latency of nf4 on core: about 60 s for 6 rounds",
        "latency of nf4 on core: 4/4 rounds, 56 s",
    ]
