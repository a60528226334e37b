"""llama.cpp's server: started silently, and asked why where it does not start.

Its log goes to the process's standard error or nowhere. So a failed start is repeated in a process
of its own, whose log is read: nothing that another thread writes meanwhile is caught with it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ModelError
from pytest_modellab.visible import line

SILENT, ERRORS = -1, 1
"""How much llama.cpp logs."""

SECONDS = 120
"""How long the second start may take; without an answer the reason stays unknown."""

LOG = 20_000
"""Bytes that are read of its log: the first error is the cause, what follows repeats it."""

_REPEATS = re.compile(
    r"failed to load model( '.*'|, '.*')?$|exiting due to|failed to read header|"
    r"error loading model: llama_model_loader: failed to load model from "
)
"""Lines that only say that it failed, after the one that says why."""

_PREFIX = re.compile(r"^[\d.]+ E (?:(?:srv|cmn) +)?(?:[\w ]+: )?(?:error loading model: )?")

_MENDS = (
    (
        ("unknown model architecture",),
        "a newer xllamacpp may know it (pip install --upgrade xllamacpp); or run the folder that "
        "the file was converted from",
    ),
    (
        ("illegal split", "failed to open", "split"),
        "all parts of a split file lie in one folder under the names they were made with, and the "
        "first is named",
    ),
    (
        ("within the file bounds", "read magic", "magic characters", "corrupt", "failed to read"),
        "the file is damaged or not whole: copy or download it again",
    ),
    (
        ("alloc", "memory", "buffer"),
        "it needs more memory than is free: free some, or take a file of fewer bits",
    ),
    (
        ("endianness", "endian", "longer supported", "only supports up to version", "vocabulary"),
        "convert it anew from the base, with a llama.cpp as new as the installed xllamacpp",
    ),
)
"""What stands in a reason → what to do."""


def start(path: Path, room: int, key: str, threads: int) -> Any:
    """Load a file into a server of one slot, on the CPU, that keeps no other prompt than the last.

    Args:
        path: the GGUF file, of a split one the first part.
        room: tokens of context.
        key: what requests to its local port must name.
        threads: how many compute.

    Raises:
        ModelError: llama.cpp cannot load the file; the message has its own reason.
    """
    import xllamacpp

    try:
        return xllamacpp.Server(_parameters(path, room, key, threads, SILENT))
    except RuntimeError as error:
        why = reason(path, room) or str(error)
        raise ModelError(f"{path}: llama.cpp cannot load it: {why}") from error


def reason(path: Path, room: int = 512) -> str:
    """Return why llama.cpp does not load a file, in its own words, and what to do.

    Args:
        path: the file.
        room: tokens of context.

    Returns:
        One line; empty where it loads it now, or does not answer.
    """
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", __name__, str(path), str(room)]
    with tempfile.TemporaryFile() as log:
        try:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                env=here, timeout=SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return ""
        log.seek(0)
        return picked(log.read(LOG).decode("utf-8", errors="replace"))


def picked(log: str) -> str:
    """Pick the reason from llama.cpp's log, fit to be shown, with what to do.

    Args:
        log: its errors, a line each; the first is the cause.
    """
    errors = [entry.strip() for entry in log.splitlines() if re.match(r"[\d.]+ E ", entry)]
    causes = [entry for entry in errors if not _REPEATS.search(entry)]
    if not (causes or errors):
        return ""
    cause = line(_PREFIX.sub("", (causes or errors)[0]))
    mend = next((mend for words, mend in _MENDS if any(word in cause for word in words)), "")
    return f"{cause}; {mend}" if mend else cause


def _parameters(path: Path, room: int, key: str, threads: int, verbosity: int) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = room
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = 0
    params.fit_params = params.warmup = params.ui = False
    params.verbosity = verbosity
    params.api_keys = [key]
    return params


def _again() -> None:
    """Start a server to see it fail; one that starts is left without its orderly end."""
    import secrets

    import xllamacpp

    path, room = Path(sys.argv[1]), int(sys.argv[2])
    server = xllamacpp.Server(_parameters(path, room, secrets.token_hex(), 1, ERRORS))
    os._exit(server is None)  # one that is given up at once may wait for ever


if __name__ == "__main__":
    _again()
