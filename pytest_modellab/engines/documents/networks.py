"""The networks of a reader: PP-OCR's graphs, opened and looked at before RapidOCR has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import graphs, memory
from pytest_modellab.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DETECTION, ORIENTATION, RECOGNITION = "detection", "orientation", "recognition"

NETWORKS = (DETECTION, ORIENTATION, RECOGNITION)
"""In the order that a page goes through them; the second may be missing."""

CHARACTERS = "character"
"""Where a recognition model's metadata has its characters, one a line."""

_DOES: Mapping[str, str] = MappingProxyType(
    {
        DETECTION: "finds lines of text",
        ORIENTATION: "tells which lines are upside down",
        RECOGNITION: "reads a line",
    }
)


class Network:
    """One graph, as RapidOCR asks it; what it is given is kept in ``given``, if that is a list.

    Args:
        part: of :data:`NETWORKS`.
        path: the graph's file.
        threads: that compute.
        advice: ends the message where it cannot be opened.

    Raises:
        ModelError: it cannot be opened, or is no graph for that part.
        OutOfMemory: it does not fit.
    """

    def __init__(self, part: str, path: Path, *, threads: int, advice: str = "") -> None:
        self.path = path
        self.given: list[NDArray[np.float32]] | None = None
        self.session = graphs.open_graph(path, threads=threads, advice=advice)
        told = self.session.get_modelmeta().custom_metadata_map.get(CHARACTERS)
        self.characters = told.splitlines() if told else []
        inputs = self.session.get_inputs()
        outputs = self.session.get_outputs()
        self._input, self._output = inputs[0].name, outputs[0].name
        self.shape: list[Any] = list(inputs[0].shape)
        is_ = _kind(len(inputs), self.shape, list(outputs[0].shape), self.characters)
        if is_ != part:
            what = f"is a model for {is_}" if is_ else "is no model of a reader (PP-OCR)"
            raise ModelError(
                f"{path}: {what}, and one that {_DOES[part]} is asked for; name such a model as "
                f"{part}"
            )

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the graph's output.

        Raises:
            OutOfMemory: it does not fit.
        """
        if self.given is not None:
            self.given.append(values)
        with memory.graph_running_out():
            output: NDArray[np.float32] = self.session.run([self._output], {self._input: values})[0]
        return output


def _kind(inputs: int, taken: list[Any], given: list[Any], characters: list[str]) -> str:
    """Return the part that a graph is for, or nothing where it is for none."""
    if inputs != 1 or len(taken) != 4 or taken[1] != 3:
        return ""
    if characters:
        return RECOGNITION if len(given) == 3 and given[2] == len(characters) + 2 else ""
    fits: Mapping[str, Callable[[], bool]] = {
        DETECTION: lambda: len(given) == 4,
        ORIENTATION: lambda: len(given) == 2 and given[1] == 2,
    }
    return next((part for part, of in fits.items() if of()), "")
