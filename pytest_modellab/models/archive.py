"""Zipped models, which are unpacked within limits and nowhere but under their folder."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from pytest_modellab.errors import ModelError
from pytest_modellab.models.files import ModelFiles, says
from pytest_modellab.records.reading import shown
from pytest_modellab.store import folders, regular

ENTRIES = 10_000
"""Files that a zipped model may hold."""


RATIO = 50
"""How many times its size a zipped model may unpack to, beyond :data:`SMALL`."""


SMALL = 1 << 28
"""Bytes that any zipped model may unpack to."""


TEXT = 1 << 20
"""Bytes of a file that is read without unpacking the others."""


DAMAGED = (zipfile.BadZipFile, zlib.error)
"""What zipfile raises of an archive beside the usual."""


_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Other ways of packing take memory as an archive says."""

_DEVICES = frozenset(
    ["aux", "con", "nul", "prn", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))]
)
"""Names that are no file where Windows reads them."""


def unpack(files: ModelFiles, target: Path) -> None:
    """Unpack a zipped folder to ``target``, if its contents keep to the limits of a model.

    Archives in it stay packed, and a member's mode is not taken over.

    Raises:
        ModelError: the archive is damaged or no model, or there is no space.
    """
    try:
        with zipfile.ZipFile(files.path) as archive:
            if problem := _problem(archive.infolist(), files.path.stat().st_size):
                raise ModelError(says(files.source, f"{files.path} is not unpacked: {problem}"))
            # the directory's sizes are the truth: zipfile reads no byte beyond them
            if shutil.disk_usage(target).free < 1.1 * _size(archive.infolist()):
                raise folders.disk_full()
            archive.extractall(target)
    except (*DAMAGED, EOFError, RuntimeError, ValueError) as error:
        raise ModelError(
            says(files.source, f"{files.path} cannot be unpacked: {error}; fetch it again")
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise ModelError(
            says(files.source, f"{files.path} cannot be unpacked: {error.strerror}; fetch it again")
        ) from error


def member(path: Path, name: str) -> bytes | None:
    """Return a small file of a zipped folder, or None where there is none that can be read.

    Args:
        path: of the archive; what is wrong with it is told when it is unpacked.
        name: of the file, from the archive's root.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if _odd(archive.getinfo(name)):
                return None
            with archive.open(name) as file:
                return file.read(TEXT)
    except (KeyError, OSError, EOFError, RuntimeError, ValueError, *DAMAGED):
        return None


def texts(path: Path, names: Collection[str], most: int) -> dict[str, bytes]:
    """Return the files of a small archive, none of which is unpacked to the disk.

    Args:
        path: of the archive.
        names: of the files that it must hold, and no other.
        most: bytes of one of them.

    Raises:
        ValueError: it is damaged, holds something else or too much, or lacks a file.
        OSError: it cannot be read.
    """
    regular.check(path)
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > len(names):
                raise ValueError(f"it holds more than {len(names)} files")
            for one in archive.infolist():
                name = one.orig_filename
                if name not in names or name in found:
                    raise ValueError(f"it holds {shown(name)}, which does not belong into it")
                if why := _odd(one):
                    raise ValueError(f"{name} in it {why}")
                if one.file_size > most:
                    raise ValueError(f"{name} in it has more than {most:,} bytes")
                with archive.open(one) as file:
                    found[name] = file.read(most)
    except (EOFError, RuntimeError, *DAMAGED) as error:
        raise ValueError(f"it is damaged: {error}") from error
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{missing[0]} is missing in it")
    return found


def _size(members: list[zipfile.ZipInfo]) -> int:
    return sum(member.file_size for member in members)


def _problem(members: list[zipfile.ZipInfo], packed: int) -> str | None:
    """Say why an archive is no zipped model, or None."""
    size = _size(members)
    if len(members) > ENTRIES:
        return f"it holds {len(members):,} files, and a model has no more than {ENTRIES:,}"
    if size > max(SMALL, RATIO * packed):
        return (
            f"its {packed:,} bytes unpack to {size:,}, more than {RATIO} times as many, and "
            "weights do not; fetch it again, or unpack it yourself and name the folder"
        )
    seen: set[str] = set()
    for member in members:
        name = member.orig_filename
        if why := _odd(member):
            return f"{name!r} in it {why}; pack the model's plain files anew"
        if name.casefold() in seen:
            return f"it holds {name!r} twice, and which one counts nobody can say; pack it anew"
        seen.add(name.casefold())
    return None


def _odd(member: zipfile.ZipInfo) -> str | None:
    """Say what makes a member no plain file or folder under the archive's root."""
    name = member.orig_filename  # zipfile would mend it in silence
    path, mode = PurePosixPath(name), member.external_attr >> 16
    if path.is_absolute() or ".." in path.parts or any(c in name for c in '\\:\0<>|"?*'):
        return "has a name that leads elsewhere, or that not every system can write"
    if any(part.split(".")[0].strip().casefold() in _DEVICES for part in path.parts):
        return "has the name of a device"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, not a file"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in _PACKED:
        return f"is packed by method {member.compress_type}, only deflate is unpacked"
    return None
