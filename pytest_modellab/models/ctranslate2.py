"""CTranslate2's ``model.bin``: told by its first bytes, and measured against its own table.

It is no pickle, whatever its suffix: names, shapes and numbers, read by compiled code.
"""

from __future__ import annotations

import dataclasses
import math
import os
import struct
from pathlib import Path
from typing import BinaryIO

from pytest_modellab.store import regular

NAME = "model.bin"
"""What CTranslate2 calls a model's weights."""

VERSIONS = range(2, 7)
"""Versions of the format that are read here."""

NAME_BYTES = 1 << 10
"""Bytes of a name, at most."""

TENSORS = 1 << 16
"""Tensors of a model, at most."""

AXES = 8

SIZES = (4, 1, 2, 4, 2, 2)
"""Bytes of a number of each type: float32, int8, int16, int32, float16, bfloat16."""


class Damaged(ValueError):
    """A file that is not what its head says."""


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One tensor of a model.

    Attributes:
        name: with the path of its module: ``encoder/layer_norm/gamma``.
        shape: axes, empty for a single number.
        type: an index of :data:`SIZES`.
    """

    name: str
    shape: tuple[int, ...]
    type: int

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class Head:
    """What a file says of itself.

    Attributes:
        architecture: ``WhisperSpec`` …
        tensors: by name.
        aliases: other names of them.
    """

    architecture: str
    tensors: dict[str, Tensor]
    aliases: dict[str, str] = dataclasses.field(default_factory=dict)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape by any of its names; without axes where there is none."""
        found = self.tensors.get(self.aliases.get(name, name))
        return () if found is None else found.shape


def is_in(folder: Path) -> bool:
    """Whether a folder holds a model, or its first part."""
    return is_model(folder / NAME) or is_model(folder / f"{NAME}.part1")


def is_model(path: Path) -> bool:
    """Whether a file begins as CTranslate2 writes it; what else is wrong, :func:`head` says."""
    try:
        with path.open("rb") as file:
            return _architecture(file) is not None
    except (OSError, Damaged):
        return False


def head(path: Path) -> Head:
    """Read what a file holds, without its numbers.

    Raises:
        Damaged: it is cut off, joined in another order, or no such file.
        OSError: it cannot be read.
    """
    regular.check(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        architecture = _architecture(file)
        if architecture is None:
            raise Damaged("it does not begin as CTranslate2 writes a model")
        file.seek(4, os.SEEK_CUR)  # the architecture's revision
        tensors, aliases = {}, {}
        for _ in range(_number(file, "I", TENSORS, "tensors")):
            name = _name(file)
            axes = _number(file, "B", AXES, "axes")
            shape = struct.unpack(f"<{axes}I", _read(file, 4 * axes))
            kind = _number(file, "B", len(SIZES) - 1, "as a type")
            there = _number(file, "I", 1 << 32, "bytes")
            if there != math.prod(shape) * SIZES[kind]:
                raise Damaged(f"{name} has {there:,} bytes, which its shape {shape} has not")
            if file.tell() + there > size:
                raise Damaged(
                    f"it ends within {name}: {size:,} bytes of at least {file.tell() + there:,}"
                )
            file.seek(there, os.SEEK_CUR)
            tensors[name] = Tensor(name, shape, kind)
        for _ in range(_number(file, "I", TENSORS, "aliases")):
            alias, name = _name(file), _name(file)
            if name not in tensors:
                raise Damaged(f"{alias} stands for {name}, which it does not hold")
            aliases[alias] = name
        if file.tell() != size:
            raise Damaged(f"{size - file.tell():,} bytes follow its end")
    return Head(architecture, tensors, aliases)


def _architecture(file: BinaryIO) -> str | None:
    start = file.read(4)
    if len(start) < 4 or struct.unpack("<I", start)[0] not in VERSIONS:
        return None
    name = _name(file)
    return name if name.endswith("Spec") else None


def _read(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        raise Damaged(f"it ends at {file.tell():,} bytes, in the middle of its table")
    return found


def _number(file: BinaryIO, form: str, most: int, what: str) -> int:
    found: int = struct.unpack(f"<{form}", _read(file, struct.calcsize(f"<{form}")))[0]
    if found > most:
        raise Damaged(f"it says {found:,} {what} at {file.tell():,} bytes, and {most:,} are read")
    return found


def _name(file: BinaryIO) -> str:
    length = _number(file, "H", NAME_BYTES, "bytes of a name")
    found = _read(file, length)
    if (
        not found.endswith(b"\0")
        or not found[:-1].isascii()
        or not found[:-1].decode().isprintable()
    ):
        raise Damaged(f"there is no name at {file.tell() - length:,} bytes")
    return found[:-1].decode()
