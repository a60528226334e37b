"""What a killed writer leaves goes with the next write of the same file, and nothing else does."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_modellab.store import atomic

WRITER = """
import os, pathlib, sys, time
from pytest_modellab.store import atomic
os.fsync = lambda _: time.sleep(60)
atomic.write_text(pathlib.Path(sys.argv[1]), "new\\n")
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_next_write_removes_what_a_kill_left(tmp_path: Path) -> None:
    target = tmp_path / "int8.json"
    target.write_text("old\n")
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(target)])
    while len(names(tmp_path)) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(names(tmp_path)) == 2
    assert target.read_text() == "old\n"
    atomic.write_text(target, "newer\n")
    assert names(tmp_path) == ["int8.json"]
    assert target.read_text() == "newer\n"


def test_nothing_of_another_file_is_removed(tmp_path: Path) -> None:
    kept = [".aXb.01234567.tmp", ".a.b.0123.tmp", ".a.b.01234567.tmp.md", "a.b.01234567.tmp"]
    for name in (*kept, ".a.b.01234567.tmp", ".a.b.k_x9z0q1.tmp"):  # the last of an older version
        (tmp_path / name).touch()
    atomic.write_text(tmp_path / "a.b", "x")
    assert names(tmp_path) == sorted([*kept, "a.b"])


def test_writers_that_clear_each_other_all_write(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def write(text: str) -> None:
        try:
            for _ in range(30):
                atomic.write_text(tmp_path / "file", text)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=write, args=(f"{k}\n" * 99,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() in {f"{k}\n" * 99 for k in range(4)}


def test_a_folder_that_takes_no_file_is_an_error() -> None:
    """Where one can be listed and none can be made, a second try would never end."""
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc here")
    with pytest.raises(FileNotFoundError):
        atomic.write_text(Path("/proc/modellab.json"), "")
