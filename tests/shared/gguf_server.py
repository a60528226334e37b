"""llama.cpp's own server with a GGUF file, in a process of its own on this machine.

``python gguf_server.py FILE NAME [ROOM [KEY]]`` prints its base URL and serves till its input ends.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from processes import ended


@contextlib.contextmanager
def running(script: str, *arguments: str) -> Iterator[str]:
    """Run a script that serves until its input ends, and yield the line that it prints.

    Args:
        script: its file.
        arguments: of its command line.
    """
    process = subprocess.Popen(
        [sys.executable, script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = process.stdout.readline().strip()
        assert said, "the server did not start"
        yield said
    finally:
        process.stdin.close()
        ended(process)
        process.stdout.close()


@contextlib.contextmanager
def serving(file: Path, name: str, *, key: str = "", room: int = 2048) -> Iterator[str]:
    """Serve a file, and yield the base URL.

    Args:
        file: the GGUF file.
        name: what the server calls it.
        key: what requests must name; empty for none.
        room: tokens of context.
    """
    with running(__file__, str(file), name, str(room), key) as url:
        yield url


def settings(file: str, name: str, room: int) -> Any:
    """Return xllamacpp's settings of a server that answers the same, whatever it was asked before.

    Args:
        file: the GGUF file.
        name: what the server calls it.
        room: tokens of context.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = file
    params.model_alias = {name}
    params.n_ctx = room
    params.n_parallel = 1
    params.n_ubatch = 1  # the same numbers cached, alone and among others
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_ram_mib = 0
    params.fit_params = params.warmup = params.ui = False
    params.verbosity = -1
    return params


def _serve(file: str, name: str, room: str = "2048", key: str = "") -> None:
    import xllamacpp

    params = settings(file, name, int(room))
    if key:
        params.api_keys = [key]
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
