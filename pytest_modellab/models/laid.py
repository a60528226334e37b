"""Folders laid together to one model, with files that come in parts joined to whole ones.

Package indices limit the size of a file; what is larger comes as ``model.bin.part1``, ``.part2`` in
several packages.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_modellab.errors import ModelError
from pytest_modellab.models import ctranslate2
from pytest_modellab.models.files import ModelFiles, check_hash, hash_files, says
from pytest_modellab.models.reads import of_tokenizer
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.records.hashing import digest
from pytest_modellab.store import folders, hashes

Pieces = Mapping[str, tuple[Path, ...]]
"""Name of a file → what it is made of, in order."""

_PART = re.compile(r"(?P<name>.+)\.part(?P<number>\d{1,4})")

_CHUNK = 1 << 20


def find(source: ModelSource, places: Sequence[Path]) -> ModelFiles:
    """Hash what a model's folders hold, as it lies there.

    Args:
        source: as declared.
        places: its folders, in order; the order says nothing, numbers do.

    Raises:
        ModelError: a part is missing, a file is there twice, or it is no model.
    """
    if source.revision is not None:
        raise ModelError(
            says(source, f"revision = {source.revision!r} is for a hub id; folders have none")
        )
    pieces = _pieces(source, places)
    if "config.json" not in pieces:
        where = ", ".join(str(place) for place in places)
        raise ModelError(says(source, f"config.json is missing; looked in {where}"))
    tokenizer = [name for name in pieces if of_tokenizer(name)]
    if not tokenizer:
        raise ModelError(
            says(source, "its folders hold no tokenizer; lay the one that has it with them")
        )
    rest = [[name, *(hash_files([one]) for one in pieces[name])] for name in sorted(pieces)]
    found = digest([part for part in rest if part[0] not in tokenizer])
    check_hash(source, places[0], found)
    words = digest([part for part in rest if part[0] in tokenizer])
    hashed = frozenset(path for parts in pieces.values() for path in parts)
    return ModelFiles(source, places[0], found, words, hashed=hashed, pieces=pieces)


def join(files: ModelFiles, target: Path) -> None:
    """Write a model's files to ``target``, each whole.

    Raises:
        ModelError: a part is not what was hashed, or parts make no whole.
        OSError: the disk is full.
    """
    needed = sum(path.stat().st_size for parts in files.pieces.values() for path in parts)
    if shutil.disk_usage(target).free < 1.1 * needed:
        raise folders.disk_full()
    for name, parts in files.pieces.items():
        whole = target / name
        with whole.open("wb") as file:
            for part in parts:
                read = hashlib.sha256()
                with part.open("rb") as piece:
                    while chunk := piece.read(_CHUNK):
                        read.update(chunk)
                        file.write(chunk)
                if read.hexdigest() != hashes.sha256(part):
                    raise ModelError(
                        says(files.source, f"{part} has changed while it was read; try again")
                    )
        if name == ctranslate2.NAME and not files.source.allow_pickle:
            try:
                ctranslate2.head(whole)
            except ctranslate2.Damaged as error:
                made = ", ".join(str(part) for part in parts)
                raise ModelError(
                    says(
                        files.source,
                        f"{name} is not whole: {error}. It is made of {made}: install the packages "
                        "again, all of the same release, and see that no further part is missing",
                    )
                ) from error


def _pieces(source: ModelSource, places: Sequence[Path]) -> Pieces:
    wholes: dict[str, tuple[Path, ...]] = {}
    parts: dict[str, dict[int, Path]] = {}
    for place in places:
        if not place.is_dir():
            raise ModelError(says(source, f"{place} is no folder; only folders are laid together"))
        for path in sorted(place.iterdir()):
            if path.name.startswith(".") or path.suffix == ".md" or not path.is_file():
                continue
            if said := _PART.fullmatch(path.name):
                found, key = parts.setdefault(said["name"], {}), int(said["number"])
                other = found.setdefault(key, path)
            else:
                (other,) = wholes.setdefault(path.name, (path,))
            if other != path:
                raise ModelError(
                    says(
                        source,
                        f"{path.name} is there twice: {other} and {path}; which one counts "
                        "nobody can say, so name folders that hold it once",
                    )
                )
    for name, found in parts.items():
        if name in wholes:
            raise ModelError(
                says(
                    source,
                    f"{wholes[name][0]} is whole, and {min(found.values())} a part of it; "
                    "remove one of them",
                )
            )
        missing = next(n for n in range(1, len(found) + 2) if n not in found)
        if missing <= max(found):
            raise ModelError(
                says(
                    source,
                    f"{name}.part{missing} is missing beside {found[max(found)]}; name the folder "
                    'that holds it, too: source = ["…", "…"]',
                )
            )
    joined = {name: tuple(found[n] for n in sorted(found)) for name, found in parts.items()}
    return {**wholes, **joined}
