"""What a table is read for, which is what the messages about a bad one say."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

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
    """

    error: type[ModellabError]
    what: str
    smaller: str
    wanted: str
    row: str
    header: str
    known: Collection[str]
