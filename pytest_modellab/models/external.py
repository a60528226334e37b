"""The files beside an ONNX graph that hold its weights.

A graph names each of them in every tensor that lies there, as the pair ``location`` and name. The
names are found in the file's bytes, so that neither the package onnx nor memory for the weights
that lie in the graph itself is needed.
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


def of_graph(source: ModelSource, graph: Path) -> list[Path]:
    """Return the files that a graph's weights are in, in the order of their names.

    Args:
        source: the model, for messages.
        graph: an ``.onnx`` file.

    Raises:
        ModelError: one is missing, or not below the graph's folder.
    """
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
            low, high = (*entry[1], 0)[:2]
            name = data[entry.end() : entry.end() + low % 128 + 128 * high]
            found.add(name.decode("utf-8", errors="replace"))
        return found
