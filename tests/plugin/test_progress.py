"""Progress is seen while a session runs, also through a pipe."""

import os
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
