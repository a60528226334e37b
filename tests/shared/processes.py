"""Processes that serve on this machine: a port that is free, and their end."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import Any

SECONDS = 60
"""For a process to end by itself."""


def free_port() -> int:
    """Return a local port on which nobody listens."""
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def ended(process: subprocess.Popen[Any]) -> None:
    """Wait for a process that was told to end, and kill one that does not."""
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
