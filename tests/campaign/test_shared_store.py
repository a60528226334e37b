"""Two writers of one bucket, killed at random: what is there is whole, and is what was asked."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import s3_server
import sharing_writer

from pytest_modellab.runs.executor import InProcess
from pytest_modellab.store import said
from pytest_modellab.store.remote import Remote

s3fs = pytest.importorskip("s3fs", reason="extra [s3]")
pytest.importorskip("moto.server", reason="the S3 server of these tests")
pytestmark = pytest.mark.campaign

LONG, SHORT = 100, 4
"""Kills."""

RUNS = 40


def writer(url: str, folder: Path, found: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, sharing_writer.__file__, url, str(folder), str(RUNS)]
    env = {**os.environ, **found}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)


def test_shared_store(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: Callable[[str], AbstractContextManager[Any]],
    seed: int,
    long: bool,
) -> None:
    drawn = random.Random(seed)
    with s3_server.serving() as found, part("shared store: kills of two writers") as counted:
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        for number in range(LONG if long else SHORT):
            s3fs.S3FileSystem.clear_instance_cache()
            url = f"s3://{s3_server.BUCKET}/{number}"
            folders = [tmp_path / f"{number}-{k}" for k in range(3)]
            processes = [writer(url, folder, found) for folder in folders[:2]]
            time.sleep(drawn.uniform(0.8, 3.0))
            processes[0].kill()
            processes[0].wait()
            if drawn.random() < 0.5:
                processes[1].kill()
            processes[1].wait()
            lines: list[str] = []
            with said.listening(lines.append):
                problem = _problem(InProcess(folders[2], sharing_writer.opened, remote=Remote(url)))
            problem = f"{problem} {lines}" if problem or lines else ""
            counted.count((problem and f"kill {number}, seed {seed}: {problem}") or None)


def _problem(reader: InProcess) -> str:
    """Say what is wrong with what was stored; empty where nothing is."""
    for job in sharing_writer.jobs(RUNS):
        stored = reader.recall(job)
        expected = [f"said {sample.input}" for sample in job.task_set.samples]
        if stored is not None and [one.text for one in stored.outputs] != expected:
            return f"{job.spec.name} has other answers"
        if [one.text for one in reader.obtain(job).outputs] != expected:
            return f"{job.spec.name} cannot be run again"
    return ""
