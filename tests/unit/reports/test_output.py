"""A stream that never fails, whatever stands behind it."""

from __future__ import annotations

import io
import sys
from typing import TextIO

import pytest
from streams import broken

from pytest_modellab.reports.text import grid
from pytest_modellab.reports.text.output import Output, guarded


def stream(encoding: str, file: io.RawIOBase | io.BytesIO | None = None) -> TextIO:
    return io.TextIOWrapper(file or io.BytesIO(), encoding=encoding, newline="")  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("cp1252", "Köln, Łódź", "Köln, \\u0141ód\\u017a"),
        ("ascii", "0.5 ±0.1, 1 – 2 … ≤ 3 → 4 × 5", "0.5 +-0.1, 1 - 2 ... <= 3 -> 4 x 5"),
        ("latin-1", "±⣿⠀⡇ 你\U0001f600", "±* * \\u4f60\\U0001f600"),
        ("utf-8", "Łódź ± \ud800", "Łódź ± \\ud800"),
        ("utf-16", "Łódź", "Łódź"),
    ],
)
def test_letters_that_a_console_lacks_are_replaced(encoding: str, text: str, shown: str) -> None:
    file = io.BytesIO()
    out = Output(stream(encoding, file))
    assert out.write(text) == len(text)
    out.flush()
    assert file.getvalue().decode(encoding) == shown
    assert (out.failed, out.lost) == (None, None)


@pytest.mark.parametrize(
    ("what", "lost"), [("gone", None), ("full", "No space left on device")], ids=["gone", "full"]
)
def test_a_stream_that_fails_is_left_alone(what: str, lost: str | None) -> None:
    with broken(what) as stream:
        out = Output(stream)
        out.write("x" * 100_000)
        out.flush()
        out.write("more")
        out.flush()
    assert isinstance(out.failed, OSError)
    assert out.lost == lost


def test_a_stream_that_was_closed_takes_everything() -> None:
    out = Output(None)
    assert out.write("text") == 4
    out.flush()
    assert (out.isatty(), out.encoding, out.lost) == (False, "utf-8", None)
    with pytest.raises(io.UnsupportedOperation, match="the stream is closed"):
        out.fileno()


def test_rich_prints_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with broken("gone") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with guarded() as out:
            grid.console().print("text")  # rich's own way is to end the process with 1
    assert isinstance(out.failed, BrokenPipeError)


def test_both_streams_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    with broken("full") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with guarded():
            print("text")
        assert (sys.stdout, sys.stderr) == (out, err)
    assert err.getvalue() == (
        "modellab: the standard output cannot be written: No space left on device\n"
    )
