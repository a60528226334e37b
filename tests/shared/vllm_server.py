"""vLLM's OpenAI server with one model and its adapters, in a process of its own on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from processes import ended, free_port

SECONDS = 120
"""For the server to listen; it imports for most of it."""


@contextlib.contextmanager
def serving(model: Path, names: tuple[str, ...], *adapters: Path, key: str) -> Iterator[str]:
    """Serve a model, and yield the base URL.

    ``vllm serve`` looks for a distribution called vllm, which a build for CPUs is not.

    Args:
        model: its folder.
        names: what the server calls it.
        adapters: folders, each called by its name.
        key: what requests must name.
    """
    port = free_port()
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--served-model-name", *names),
        *("--host", "127.0.0.1", "--port", str(port), "--api-key", key),
        *("--dtype", "float32", "--enforce-eager", "--kv-cache-memory-bytes", str(1 << 28)),
        *("--enable-lora", "--lora-modules", *(f"{one.name}={one}" for one in adapters)),
    ]
    settings = {
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
        "TORCH_COMPILE_DISABLE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    process = subprocess.Popen(
        command,
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(process, port)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        ended(process)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, "the server did not start"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise AssertionError(f"the server does not listen after {SECONDS} s")
