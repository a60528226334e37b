"""The files beside a model's file that hold its weights: an ONNX graph's, and a split GGUF's.

A graph names the file of each tensor that lies outside, as the pair ``location`` and name. The
names are found in the graph's bytes, so that neither the package onnx is needed, nor memory for
the weights that lie inside.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path, PurePosixPath

from pytest_modellab.errors import ModelError
from pytest_modellab.models.files import says
from pytest_modellab.records.declared import ModelSource

_ENTRY = re.compile(rb"\n\x08location\x12([\x00-\x7f]|[\x80-\xff][\x00-\x7f])")
"""An entry as protobuf writes it, up to the length of the name in 7 or 14 bits."""


_TAG = b"j"
"""Begins the external data of a tensor, one or two bytes of length before the first entry."""


_PART = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf")
"""How llama.cpp names the parts of a split file."""


def of_file(source: ModelSource, path: Path) -> list[Path]:
    """Return the files that hold weights of another, which names them; mostly there are none.

    Args:
        source: the model, for messages.
        path: an ``.onnx`` file, the first ``.gguf`` file of several, or any other.

    Raises:
        ModelError: one is missing, or not below the file's folder, or the first is another.
    """
    if path.suffix == ".onnx":
        return _of_graph(source, path)
    if path.suffix == ".gguf" and (match := _PART.fullmatch(path.name)):
        return _of_split(source, path, match[1], int(match[2]), int(match[3]))
    return []


def _of_split(source: ModelSource, path: Path, name: str, number: int, count: int) -> list[Path]:
    first, *others = (
        path.with_name(f"{name}-{k:05}-of-{count:05}.gguf") for k in range(1, count + 1)
    )
    if number != 1:
        raise ModelError(
            says(source, f"{path} is a part of a split file; name the first: {first.name}")
        )
    for part in others:
        if not part.is_file():
            raise ModelError(
                says(
                    source,
                    f"{part} is missing: by its name, {path.name} is the first of {count} files; "
                    "copy all of them, or rename the file if it is whole",
                )
            )
    return others


def _of_graph(source: ModelSource, graph: Path) -> list[Path]:
    found = []
    for name in sorted(_names(graph)):
        place = PurePosixPath(name)
        path = graph.parent / place
        if place.is_absolute() or ".." in place.parts:
            raise ModelError(
                says(
                    source,
                    f"{graph} has weights in {name!r}, which is not below its own folder; save "
                    "them beside it: onnx.save(onnx.load(…), …, save_as_external_data=True)",
                )
            )
        if not path.is_file():
            raise ModelError(
                says(
                    source,
                    f"{path} is missing, but {graph.name} has weights in it; copy it from where "
                    "the graph is from, to the same place beside it",
                )
            )
        found.append(path)
    return found


def _names(graph: Path) -> set[str]:
    if not graph.stat().st_size:
        return set()
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = set()
        for entry in _ENTRY.finditer(data):
            if _TAG not in data[max(entry.start() - 3, 0) : entry.start() - 1]:
                continue  # metadata of that name
            low, high = (*entry[1], 0)[:2]
            name = data[entry.end() : entry.end() + low % 128 + 128 * high]
            found.add(name.decode("utf-8", errors="replace"))
        return found
