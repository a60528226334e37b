"""What the store says while a session runs, for the report's notes."""

from __future__ import annotations

import contextlib

import pytest

from pytest_modellab.store import said

NOTES: pytest.StashKey[StoreNotes] = pytest.StashKey()


class StoreNotes:
    """Gathers what the store says until it is taken."""

    def __init__(self) -> None:
        self._said: list[str] = []

    @classmethod
    def listen(cls, config: pytest.Config) -> None:
        """Gather from now on until the session's end, and show at once what cannot wait."""

        def warn(text: str) -> None:
            from pytest_modellab.plugin import (
                progress,
            )  # heavier than all else here, and seldom asked

            progress.warn(config, text)

        notes = config.stash[NOTES] = cls()
        stack = contextlib.ExitStack()
        stack.enter_context(said.listening(notes._said.append))
        stack.enter_context(said.warned(warn))
        config.add_cleanup(stack.close)

    def take(self) -> list[str]:
        """Return what was said since the last call."""
        found = [*self._said]
        self._said.clear()
        return found
