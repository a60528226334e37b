"""What a table is read for, which is what the messages about a bad one say."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection
from pathlib import Path

from pytest_modellab.errors import ModellabError


@dataclasses.dataclass(frozen=True)
class Purpose:
    """What a table is read for.

    Attributes:
        error: what is raised where it cannot be read.
        what: what the file should be, for example ``file of scores``.
        smaller: how it is made smaller, an imperative.
        wanted: what it should hold, an imperative.
        row: what an object of it should hold.
        header: the line that names its columns, for example ``id,score``.
        known: names of columns by which a header is recognized.
        most_rows: rows that it may have.
        most_cells: cells that its rows may have together.
    """

    error: type[ModellabError]
    what: str
    smaller: str
    wanted: str
    row: str
    header: str
    known: Collection[str]
    most_rows: int = sys.maxsize
    most_cells: int = sys.maxsize

    def check(self, path: Path, rows: int, cells: int = 0) -> None:
        """Refuse a table that is too large, as soon as that is known.

        Args:
            path: for the message.
            rows: how many were read so far.
            cells: how many these have.

        Raises:
            ModellabError: of its kind: they are too many.
        """
        if rows > self.most_rows:
            raise self.error(f"{path}: more than {self.most_rows:,} rows; {self.smaller}")
        if cells > self.most_cells:
            raise self.error(
                f"{path}: more than {self.most_cells:,} cells in {rows:,} rows; leave columns out, "
                f"or {self.smaller}"
            )
