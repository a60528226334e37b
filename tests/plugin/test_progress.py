"""Progress is seen while a session runs: through a pipe, and on a terminal between the dots."""

import os
import re
import subprocess
import sys

import pytest

SUITE = """
import time
from pathlib import Path

import pytest


@pytest.mark.task_set("words")
@pytest.mark.variants("plain")
def test_waits_until_its_progress_was_read(candidate, gate):
    gate.worst_bucket(candidate)
    end = time.monotonic() + 60
    while not Path("read").exists():
        assert time.monotonic() < end, "nobody has read the progress"
        time.sleep(0.05)
"""


@pytest.mark.usefixtures("warmed")
@pytest.mark.parametrize("capture", ["fd", "sys", "no"])
def test_a_pipe_shows_lines_before_the_first_test_ends(
    project: pytest.Pytester, capture: str
) -> None:
    project.path.joinpath("test_suite.py").write_text(SUITE)
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--capture={capture}"],
        cwd=project.path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith("modellab: plain on words: 132/132 samples, "):
                (project.path / "read").touch()
    assert process.returncode == 0, lines
    shown = [line for line in lines if line.startswith("modellab: plain on words: ")]
    assert shown[0] == "modellab: plain on words: 0/132 samples, 0 s"
    assert shown[1].endswith(" s left")
    assert ", about " in shown[1]


TWO_TESTS = """
import pytest


def test_of_nothing():
    pass


@pytest.mark.task_set("words")
@pytest.mark.variants("plain")
def test_of_a_variant(candidate, gate):
    gate.worst_bucket(candidate)
"""


@pytest.mark.parametrize("colour", ["yes", "no"])
def test_a_terminal_s_line_lives_with_the_dots(project: pytest.Pytester, colour: str) -> None:
    pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
    project.path.joinpath("test_suite.py").write_text(TWO_TESTS)
    shown, terminal = pty.openpty()
    environment = {n: v for n, v in os.environ.items() if n not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--color={colour}"],
        cwd=project.path,
        env={**environment, "TERM": "xterm-256color", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        text = b"".join(iter(lambda: _read(shown), b"")).decode()
    os.close(shown)
    assert ("\x1b[3" in text) == (colour == "yes")
    plain = re.sub("\x1b\\[[0-9;]*m", "", text).replace("\r\n", "\n")
    assert process.returncode == 0, plain
    dots, *states, last = re.split("\r\x1b\\[2K", plain)
    assert dots.endswith("\ntest_suite.py .\n"), plain
    loading = [state for state in states if state.startswith("modellab: loading ")]
    assert sorted(loading) == [
        "modellab: loading torch …\n",
        "modellab: loading transformers …\n",
    ]
    states = states[len(loading) :]
    assert states[0].startswith("modellab: plain on words ")
    assert states[0].endswith(" 0/132 samples, 0 s")
    assert not any("\n" in state for state in states)
    assert re.match(r"modellab: plain on words: 132/132 samples, \d+ s\n", last)
    assert re.search(r"\n(test_suite\.py )?\. +\[100%\]\n", last)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux, when the other end is closed
        return b""


@pytest.mark.usefixtures("warmed")
@pytest.mark.parametrize("options", ["-q", "-n1"])
def test_how_long_a_run_takes_is_said_where_no_line_shows_it(
    project: pytest.Pytester, options: str
) -> None:
    if options == "-n1":
        pytest.importorskip("xdist", reason="it has the workers")
    project.path.joinpath("test_suite.py").write_text(TWO_TESTS)
    project.path.joinpath("conftest.py").write_text(
        "from pytest_modellab.reports.text import progress\nprogress.WORTH_SAYING = 0.0\n"
    )
    asked = [options, "--modellab-token-budget=300", "--modellab-json=report.json"]
    shown = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *asked],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(
        r"^modellab: plain on words: about \d+ s for 132 samples$", shown.stderr, re.MULTILINE
    )
    assert len(found) == 1, shown.stderr
    assert "about" not in shown.stdout
    report = (project.path / "report.json").read_text()
    assert re.search(r'"token_budget": ?300\b', report)
