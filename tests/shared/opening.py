"""Which files below a folder are opened by whom ever: Python, Rust or C++. Linux tells it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_OPENED = 0x20
_EVENT = struct.Struct("iIII")


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[set[str]]:
    """Fill a set with the files that are opened below a folder, when the block ends."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells which files are opened")
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0, os.strerror(ctypes.get_errno())
    places = {}
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        places[libc.inotify_add_watch(watch, os.fsencode(place), _OPENED)] = place
    found: set[str] = set()
    try:
        yield found
        raw = b""
        with contextlib.suppress(BlockingIOError):
            while more := os.read(watch, 1 << 20):
                raw += more
    finally:
        os.close(watch)
    while raw:
        place, _, _, length = _EVENT.unpack_from(raw)
        name = os.fsdecode(raw[_EVENT.size : _EVENT.size + length].rstrip(b"\0"))
        raw = raw[_EVENT.size + length :]
        path = places[place] / name
        if path.is_file():
            found.add(path.relative_to(folder).as_posix())
