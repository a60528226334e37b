"""Standard streams that take nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

FULL = Path("/dev/full")


@contextlib.contextmanager
def broken(what: str) -> Iterator[TextIO]:
    """Open a pipe whose reader has ``gone``, or a file on a disk that is ``full``."""
    if what == "full":
        if not FULL.exists():
            pytest.skip("there is no /dev/full here")
        number = os.open(FULL, os.O_WRONLY)
    else:
        reader, number = os.pipe()
        os.close(reader)
    stream = os.fdopen(number, "w", encoding="utf-8")
    yield stream
    stream.close()  # fails where something still waits
