"""The head of a GGUF file, looked at before a library makes an object of each of its values."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

VALUES = 4_000_000
"""Values in all lists of a head; the largest vocabularies have a twentieth of it."""

ENTRIES = 100_000
"""Keys of a head, and tensors of a file."""

DEPTH = 4
"""Lists in lists."""

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _LIST = 8, 9


def check(path: Path) -> None:
    """Refuse a head that says more than the file can hold, or than a model has.

    Args:
        path: of a GGUF file; what is none is left to its reader.

    Raises:
        ValueError: it does.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            return
        raw = file.read(4)
        order = "<" if raw[:2] != b"\0\0" else ">"
        head = _Head(file, order, path.stat().st_size)
        tensors, keys = head.number(8), head.number(8)
        if max(tensors, keys) > ENTRIES:
            raise ValueError(f"says that it has {tensors:,} tensors and {keys:,} keys")
        for _ in range(keys):
            head.skip(head.number(8))
            head.value(head.number(4), 0)


class _Head:
    def __init__(self, file: BinaryIO, order: str, size: int) -> None:
        self._file, self._order, self._size = file, order, size
        self._values = 0

    def number(self, size: int) -> int:
        raw = self._file.read(size)
        if len(raw) < size:
            raise ValueError("ends within its head")
        return int(struct.unpack(self._order + {4: "I", 8: "Q"}[size], raw)[0])

    def skip(self, count: int) -> None:
        if count > self._size - self._file.tell():
            raise ValueError("ends within its head")
        self._file.seek(count, 1)

    def value(self, kind: int, depth: int) -> None:
        if kind in _SIZES:
            self.skip(_SIZES[kind])
        elif kind == _STRING:
            self.skip(self.number(8))
        elif kind == _LIST and depth < DEPTH:
            inner, count = self.number(4), self.number(8)
            self._values += count
            if self._values > VALUES:
                raise ValueError(f"has lists of more than {VALUES:,} values in its head")
            if inner in _SIZES:
                self.skip(count * _SIZES[inner])
            else:
                for _ in range(count):
                    self.value(inner, depth + 1)
        else:
            raise ValueError("has lists in lists in its head, or values of an unknown type")
