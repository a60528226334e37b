"""Arrays of vectors that are made once and mapped into memory."""

from __future__ import annotations

import errno
import io
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import StoreError
from pytest_modellab.records.hashing import canonical_json
from pytest_modellab.store import files, folders
from pytest_modellab.store.files import checksum

if TYPE_CHECKING:
    from numpy.typing import NDArray

Known = Mapping[str, Any]
"""What was gathered of the rows so far; in JSON beside them."""


def keep(
    folder: Path,
    shape: tuple[int, int],
    dtype: str,
    make: Callable[[int, Known], Iterator[tuple[NDArray[Any], Known]]],
    *,
    block: int,
) -> tuple[NDArray[Any], Known]:
    """Return an array of the store, making it once.

    It is written as a plain file, not through memory: a full disk is then an error and not a
    signal that kills the process. A file that is damaged (its checksum says so) is made anew, one
    that was cut off is taken up after the last block that had reached the disk.

    Args:
        folder: the array's own, named by all that it depends on.
        shape: of the whole array.
        dtype: numpy's name of it.
        make: called with the first row that is missing and what is known of those before; yields
            the rows from there on, all of them, and what is then known.
        block: rows that ``make`` yields at a time.

    Returns:
        The array, mapped read-only, and what was known at its end.

    Raises:
        StoreError: no disk space.
    """
    found = _read(folder, shape, dtype)
    if found is None:
        with folders.lock(folder):
            again = "vectors are made again"
            found = _read(folder, shape, dtype, lost=again)  # another may have made it meanwhile
            if found is None:
                known = _write(folder, shape, dtype, make, block)
                found = _open(folder), known
    return found


def _open(folder: Path) -> NDArray[Any]:
    import numpy as np

    data: NDArray[Any] = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    return data


def _read(
    folder: Path, shape: tuple[int, int], dtype: str, *, lost: str = ""
) -> tuple[NDArray[Any], Known] | None:
    def made(meta: Mapping[str, Any]) -> tuple[NDArray[Any], Known] | None:
        known = dict(meta["known"])
        # before anything of it is parsed: numpy reads a head that was damaged as Python
        if _sealed(checksum(folder / "vectors.npy"), known) != meta["crc32"]:
            raise files.Damaged("has another checksum than vectors.npy, which is damaged")
        data = _open(folder)
        return (data, known) if data.shape == shape and data.dtype == dtype else None

    return files.read(folder / "meta.json", made, of=folder.name, lost=lost)


def _write(
    folder: Path,
    shape: tuple[int, int],
    dtype: str,
    make: Callable[[int, Known], Iterator[tuple[NDArray[Any], Known]]],
    block: int,
) -> Known:
    import numpy as np

    path, unfinished, meta = (folder / n for n in ("vectors.npy", "progress.json", "meta.json"))
    head = _head(shape, dtype)
    width = shape[1] * np.dtype(dtype).itemsize
    plan = {"block": block, "shape": list(shape), "dtype": dtype}
    files.remove(meta)
    done, crc, known = _taken_up(path, unfinished, plan, len(head), width)
    try:
        if not done:
            files.remove(path)  # others may still have the damaged one mapped
            crc, known = zlib.crc32(head), {}
            path.write_bytes(head)
        kept = len(head) + done * width
        if shutil.disk_usage(folder).free < (shape[0] - done) * width:
            raise no_space(folder, shape[0] * width)
        with path.open("r+b") as file:
            file.truncate(kept)
            file.seek(kept)
            for rows, gathered in make(done, known):
                known = gathered
                content = np.ascontiguousarray(rows, dtype).data
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                crc = zlib.crc32(content, crc)
                done += len(rows)
                state = {"plan": plan, "done": done, "crc32": _sealed(crc, known), "known": known}
                files.write(unfinished, state, of=folder.name)
        files.write(meta, {"crc32": _sealed(crc, known), "known": known}, of=folder.name)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise no_space(folder, shape[0] * width) from error
        raise
    files.remove(unfinished)
    return known


def _head(shape: tuple[int, int], dtype: str) -> bytes:
    """What numpy's file format puts before the numbers."""
    import numpy as np

    file = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def _taken_up(
    path: Path, unfinished: Path, plan: Mapping[str, Any], head: int, width: int
) -> tuple[int, int, Known]:
    """Return rows that are there, their checksum and what is known of them; 0 to begin anew."""

    def begun(state: Mapping[str, Any]) -> tuple[int, int, Known] | None:
        done, known = int(state["done"]), dict(state["known"])
        crc = checksum(path, head + done * width)
        right = state["plan"] == plan and _sealed(crc, known) == state["crc32"]
        return (done, crc, known) if right else None

    return files.read(unfinished, begun, of=path.parent.name) or (0, 0, {})


def _sealed(crc: int, known: Known) -> int:
    """Return the checksum of numbers and what is known of them together."""
    return zlib.crc32(canonical_json(known).encode(), crc)


def no_space(folder: Path, needed: int) -> StoreError:
    """Return the error of a disk that cannot hold ``needed`` bytes."""
    return StoreError(folders.no_space(folder, f"{needed / 1e9:.1f} GB of vectors"))
