"""The one variant that is loaded."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.engines import state
from pytest_modellab.engines.interface import Engine, Source
from pytest_modellab.errors import VariantLoadError


class Loaded:
    """Holds at most one loaded engine.

    Args:
        cache: the store's root.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._held: tuple[Source, Engine] | None = None
        self._same: list[Source] = []

    def engine(self, source: Source) -> Engine:
        """Return the engine of a source, freeing another one before it is loaded.

        Raises:
            ModelError: its files cannot be read.
            VariantLoadError: a library is missing.
        """
        self.keep(source)
        if self._held is None:
            self._held = (source, source.open(self._cache))
        return self._held[1]

    def again(self, source: Source) -> Engine:
        """Return the engine of a source, loaded anew and found to be the same model, once.

        Raises:
            ModelError: its files cannot be read.
            VariantLoadError: a library is missing, or another model was loaded.
        """
        if not any(one is source for one in self._same):
            first = state.of(self.engine(source))
            if first:
                self.release()
                _check_same(first, state.of(self.engine(source)))
            self._same.append(source)
        return self.engine(source)

    def keep(self, source: Source) -> None:
        """Free the engine of any other source."""
        if self._held is not None and self._held[0] is not source:
            self.release()

    def release(self) -> None:
        """Free the engine, if there is one."""
        if self._held is not None:
            self._held[1].close()
            self._held = None


def _check_same(first: state.State, second: state.State) -> None:
    differs = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    if differs:
        more = f" and {len(differs) - 1} more" if len(differs) > 1 else ""
        raise VariantLoadError(
            f"loaded twice, it is not the same model: {differs[0]!r}{more} of {len(first)} tensors "
            "differ. A part of it is drawn at random, or computed anew, whenever it is loaded: "
            "save the whole model as it is to be judged, and declare that"
        )
