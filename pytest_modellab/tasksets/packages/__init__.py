"""Task sets that are made of the files of an installed package: ``[package]`` of a header.

The package is found through its metadata and never imported.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pytest_modellab.errors import TaskSetError
from pytest_modellab.models.files import hash_files
from pytest_modellab.records.setting import OPTIONAL, Setting
from pytest_modellab.tasksets import header, kept
from pytest_modellab.tasksets.packages import lee, tau2


@dataclasses.dataclass(frozen=True)
class Reader:
    """What makes a task set of a package's files.

    Attributes:
        version: raised when it writes something else of the same files.
        format: that it writes, ``beir`` or ``sts``.
        files: that it reads, as the package's metadata names them.
        write: takes these files in order and writes the set into a folder.
    """

    version: int
    format: str
    files: tuple[str, ...]
    write: Callable[[Sequence[Path], Path], None]


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "lee-news": Reader(1, "beir", lee.FILES, lee.write_news),
        "lee-similarity": Reader(1, "sts", lee.FILES, lee.write_similarity),
        "tau2-banking": Reader(1, "beir", tau2.FILES, tau2.write),
    }
)


PACKAGE = {
    **dict.fromkeys(("name", "version", "sha256"), Setting(str)),
    "reader": Setting(str, choices=READERS),
    "install": Setting(str, OPTIONAL),
}


def folder(place: Path, table: object, layout: str, cache: Path) -> Path:
    """Return a folder that holds a package's files as a task set, made once.

    Args:
        place: the header's path, for messages.
        table: ``[package]``: ``name`` and ``version`` of the distribution, ``reader``, ``sha256``
            over the files that it reads, and ``install``, the command that installs the package.
        layout: the task set's format.
        cache: root of the store.

    Returns:
        A folder of the cache, with the files of the format.

    Raises:
        TaskSetError: a key is wrong, the package is missing or of another version, or its files are
            missing or changed; the message holds the command that mends it.
    """
    at = f"{place}: package"
    if not isinstance(table, dict):
        raise TaskSetError(f"{at}: must be a table")
    table = header.settings(PACKAGE, table, f"{at}: ")
    name = table["reader"]
    reader = READERS[name]
    if reader.format != layout:
        raise TaskSetError(
            f"{at}: reader: {name!r} writes the format {reader.format!r}, but {layout!r} is "
            f"declared; set format = {reader.format!r}"
        )
    files = _files(at, table, reader)
    target = cache / "tasksets" / f"{name}-{table['sha256'].lower()[:16]}-v{reader.version}"
    return kept.folder(
        target,
        lambda made: reader.write(files, made),
        lambda made: made if made.is_dir() else None,
        what=f"the task set of package {name!r}",
    )


def _files(at: str, table: Mapping[str, str], reader: Reader) -> list[Path]:
    name, version = table["name"], table["version"]
    install = table.get("install", f"pip install --no-deps {name}=={version}")
    try:
        distribution = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError) as error:  # an empty name
        raise TaskSetError(f"{at}: {name!r} is not installed: {install}") from error
    if distribution.version != version:
        raise TaskSetError(
            f"{at}: {name} {distribution.version} is installed, but {version} is declared: "
            f"{install}"
        )
    files = [Path(str(distribution.locate_file(file))) for file in reader.files]
    for path in files:
        if not path.is_file():
            raise TaskSetError(
                f"{at}: {path} is missing from the package; install it again: "
                f"{install} --force-reinstall"
            )
    found = hash_files(files)
    if found != table["sha256"].lower():
        raise TaskSetError(
            f"{at}: the files of {name} have sha256 {found}, but {table['sha256']} is declared. "
            f"If they are damaged: {install} --force-reinstall. If they are wanted: declare their "
            "hash, and raise the task set's version."
        )
    return files
