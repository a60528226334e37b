"""The one variant that is loaded."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.engines.interface import Engine, Source


class Loaded:
    """Holds at most one loaded engine.

    Args:
        cache: the store's root.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._held: tuple[Source, Engine] | None = None

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

    def keep(self, source: Source) -> None:
        """Free the engine of any other source."""
        if self._held is not None and self._held[0] is not source:
            self.release()

    def release(self) -> None:
        """Free the engine, if there is one."""
        if self._held is not None:
            self._held[1].close()
            self._held = None
