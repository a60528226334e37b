"""What the store says: what it does not believe, what is made again; and a day that is pinned.

And what begins that takes long, which is shown where somebody waits for it, and is no note.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from pytest_modellab.visible import line

_LOG = logging.getLogger("pytest_modellab.store")
_LOG.addHandler(logging.NullHandler())  # who listens shows it; else it is for who logs

_LISTENERS: list[Callable[[str], None]] = []
_WARNED: list[Callable[[str], None]] = []
_WAITING: list[Callable[[str], None]] = []


def say(text: str, *, at_once: bool = False) -> None:
    """Tell all who listen, and log it.

    Listeners hear it whatever the user, or a library while a model loads, has made of logging.

    Args:
        text: what is said.
        at_once: whether it is of use only now, so that those who gather it also show it.
    """
    text = line(text)
    for listener in (*_LISTENERS, *(_WARNED if at_once else ())):
        listener(text)
    _LOG.warning("%s", text)


@contextlib.contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Call ``listener`` with each line that the store says meanwhile."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


@contextlib.contextmanager
def warned(listener: Callable[[str], None]) -> Iterator[None]:
    """Call ``listener`` with each line that is of use only at once, meanwhile."""
    _WARNED.append(listener)
    try:
        yield
    finally:
        _WARNED.remove(listener)


def begin(text: str) -> None:
    """Tell those who wait what begins."""
    for listener in _WAITING:
        listener(line(text))


@contextlib.contextmanager
def waiting(listener: Callable[[str], None]) -> Iterator[None]:
    """Call ``listener`` with each line of what begins meanwhile."""
    _WAITING.append(listener)
    try:
        yield
    finally:
        _WAITING.remove(listener)
