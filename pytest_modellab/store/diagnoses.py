"""Diagnoses in the store: one sealed file each, by all that it depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.records import diagnosed, reading
from pytest_modellab.records.diagnosis import SCHEMA, Diagnosis
from pytest_modellab.store import folders
from pytest_modellab.store.place import entry
from pytest_modellab.store.results import Result
from pytest_modellab.version import __version__

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from pytest_modellab.store.remote import Remote


Chat = tuple[Mapping[str, str], ...]
"""Messages with ``role`` and ``content``."""


@dataclasses.dataclass(frozen=True)
class Examined:
    """What an examination left behind.

    Attributes:
        diagnosis: what was found.
        texts: what both models read, as rendered; empty where they were the built-in ones.
        chats: of each text the messages that it was rendered from.
    """

    diagnosis: Diagnosis
    texts: tuple[str, ...] = ()
    chats: tuple[Chat, ...] = ()


class DiagnosisEntry:
    """One diagnosis' place.

    Args:
        cache: the store's root.
        base: key of the base's fingerprint.
        candidate: key of the candidate's.
        asked: all else that it depends on, as built-in types.
        remote: the store that is shared, asked where this machine's has nothing; None without one.
    """

    def __init__(
        self,
        cache: Path,
        base: str,
        candidate: str,
        asked: object,
        remote: Remote | None = None,
    ) -> None:
        made_of = [SCHEMA, __version__, base, candidate, asked]
        self.folder = entry(cache, "diagnoses", made_of)
        self.key = self.folder.name
        file = self.folder / "diagnosis.json"
        self._result = Result(file, "diagnoses", self.key, _built, remote, _agree)

    def lock(self) -> BaseFileLock:
        """Return the lock that whoever examines the two holds."""
        return folders.lock(self.folder)

    def read(self, *, lost: str = "") -> Examined | None:
        """Return what is stored, or None; a file that is not to be believed counts as none.

        Args:
            lost: what a reader is told then (see :func:`files.read`).
        """
        return self._result.read(lost=lost)

    def write(self, found: Examined, *, anew: bool = False) -> Examined:
        """Keep a diagnosis, whole, and share it.

        Args:
            found: the diagnosis.
            anew: whether it was made whatever was stored, and is to stand on this machine.

        Returns:
            The diagnosis, or the one that another machine has shared before.

        Raises:
            OSError: the store cannot be written.
        """
        content = {
            "diagnosis": diagnosed.to_json(found.diagnosis, most=None),
            "texts": list(found.texts),
            "chats": [[dict(one) for one in chat] for chat in found.chats],
        }
        theirs = self._result.write(content, anew=anew)
        return found if theirs is None else theirs


def _built(data: Mapping[str, Any]) -> Examined:
    texts = reading.checked(tuple[str, ...], data["texts"], "texts")
    chats = reading.checked(tuple[Chat, ...], data["chats"], "chats")
    return Examined(diagnosed.from_json(data["diagnosis"]), texts, chats)


def _agree(one: Examined, other: Examined) -> bool:
    """Whether two examinations found the same, however long they took."""
    return _untimed(one) == _untimed(other)


def _untimed(found: Examined) -> Examined:
    return dataclasses.replace(found, diagnosis=dataclasses.replace(found.diagnosis, seconds={}))
