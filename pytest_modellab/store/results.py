"""Single sealed files of the store that machines share, as far as they share a store."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pytest_modellab.store import files

T = TypeVar("T")


class Sharing(Protocol):
    """A store that machines share, as :class:`.remote.Remote` is one."""

    def fetch(self, result: Result[T]) -> T | None:
        """Bring a file into this machine's store; returns what it holds, or None."""

    def send(self, result: Result[T], *, anew: bool = False) -> T | None:
        """Share a file; returns what another machine had shared before, if that is taken."""


@dataclasses.dataclass(frozen=True)
class Result(Generic[T]):
    """One file: in this machine's store, and under the same name in the one that is shared.

    Attributes:
        file: where it lies on this machine.
        kind: of thing; see :data:`.remote.KINDS`.
        key: what it answers for, and its name in the store that is shared.
        make: reads its content; None, or an error, where it is not what this version writes.
        remote: the store that is shared, asked where this machine's has nothing; None without one.
        agree: whether two of them say the same.
    """

    file: Path
    kind: str
    key: str
    make: Callable[[dict[str, Any]], T | None]
    remote: Sharing | None = None
    agree: Callable[[T, T], bool] = operator.eq

    @property
    def name(self) -> str:
        """Where it lies in the store that is shared."""
        return f"{self.kind}/{self.key}.json"

    def read(self, *, lost: str = "") -> T | None:
        """Return what is stored, or None; a file that is not to be believed counts as none.

        Args:
            lost: what a reader is told then (see :func:`files.read`).
        """
        found = files.read(self.file, self.make, of=self.key, lost=lost)
        return found if found is not None or self.remote is None else self.remote.fetch(self)

    def write(self, content: Mapping[str, Any], *, anew: bool = False) -> T | None:
        """Keep something, and share it.

        Args:
            content: plain data.
            anew: whether it was made whatever was stored, and is to stand on this machine.

        Returns:
            What another machine had shared before, which has then taken its place; else None.

        Raises:
            OSError: this machine's store cannot be written.
        """
        files.write(self.file, content, of=self.key)
        return self.share(anew=anew)

    def share(self, *, anew: bool = False) -> T | None:
        """Send what this machine has to the store that is shared, where that has none.

        Args:
            anew: as :meth:`write`.

        Returns:
            As :meth:`write`.
        """
        if self.remote is None or not self.file.is_file():  # what is fetched may not be kept
            return None
        return self.remote.send(self, anew=anew)
