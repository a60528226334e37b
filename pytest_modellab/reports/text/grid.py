"""Tables for a terminal, by rich; where there is none they are as wide as their figures."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_modellab.visible import CELL, line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDE = 10_000
"""Columns where nobody's terminal says how many there are: no table is cut."""


def grid(
    head: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    right: Collection[int],
    wraps: Collection[int] = (),
    ruled: bool = False,
) -> Table:
    """Lay out a table.

    Args:
        head: the columns' names.
        rows: their cells; a string is made visible, a text has its own style.
        right: columns that are flush right.
        wraps: columns that may take several lines on a narrow terminal.
        ruled: whether a rule stands below the head.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    looks: dict[str, Any] = (
        {"box": box.SIMPLE_HEAD} if ruled else {"box": None, "padding": (0, 2, 0, 0)}
    )
    table = Table(pad_edge=False, show_edge=False, **looks)
    for i, name in enumerate(head):
        side: Any = "right" if i in right else "left"
        table.add_column(Text(shown(name)), justify=side, no_wrap=i not in wraps)
    for row in rows:
        table.add_row(*(Text(shown(cell)) if isinstance(cell, str) else cell for cell in row))
    return table


def shown(cell: str) -> str:
    """A cell's text on one line, of bounded length."""
    return line(cell, CELL)  # the first one begins the table's line


def console() -> Console:
    """Return the standard output's console; what is no terminal has room for every table."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDE
    return Console(width=width, markup=False, highlight=False, emoji=False)


def lines(table: Table) -> list[str]:
    """Draw a table as plain lines without spaces at their ends."""
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=WIDE, color_system=None).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]
