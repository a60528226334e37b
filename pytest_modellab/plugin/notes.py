"""What the store says while a session runs, for the report's notes."""

from __future__ import annotations

import logging

import pytest

NOTES: pytest.StashKey[StoreNotes] = pytest.StashKey()


class StoreNotes(logging.Handler):
    """Gathers what the store logs: what it does not believe, and what is made again."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logger = logging.getLogger("pytest_modellab.store")
        self._said: list[str] = []

    @classmethod
    def listen(cls, config: pytest.Config) -> None:
        """Gather from now on until the session's end."""
        notes = config.stash[NOTES] = cls()
        before = notes._logger.level
        notes._logger.setLevel(logging.WARNING)  # whatever level the user's tests log at
        notes._logger.addHandler(notes)
        config.add_cleanup(lambda: notes._logger.removeHandler(notes))
        config.add_cleanup(lambda: notes._logger.setLevel(before))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self._said.append(record.getMessage())

    def take(self) -> list[str]:
        """Return what was said since the last call."""
        said, self._said = self._said, []
        return said
