"""Tables of cells with a header line, as programs and spreadsheets write them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pytest_modellab.records.reading import decimal
from pytest_modellab.tables.purpose import Purpose

_DELIMITERS = (",", ";", "\t", "|")


Rows: TypeAlias = Sequence[tuple[str, dict[str, str]]]


_SPLIT = re.compile(r"\s*[+-]?\d+,\d+\s*%?\s*", re.ASCII)
"""Two cells that may be one number with a decimal comma."""


@dataclass(frozen=True)
class Sheet:
    """Cells as they stand in a file.

    Attributes:
        delimiter: what stands between two cells.
        header: the names of the columns.
        at: the header's line.
        lines: number and cells of each further line that is not blank.
    """

    delimiter: str
    header: Sequence[str]
    at: int
    lines: Sequence[tuple[int, list[str]]]


def sheet(path: Path, text: str, usual: str, purpose: Purpose, named: Sequence[str] = ()) -> Sheet:
    """Split a text into cells.

    Args:
        path: for messages.
        text: the file's content.
        usual: what stands between two cells by the file's name; where the header has other
            columns under another delimiter, that one is taken.
        purpose: what it is read for.
        named: the columns that a caller named.

    Raises:
        ModellabError: of the purpose's kind: a line is malformed, all are blank, or they are too
            many.
    """
    delimiter, text = _delimiter(text, usual, {*purpose.known, *named})
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines: list[tuple[int, list[str]]] = []
    begins, total = 1, 0
    try:
        for cells in reader:
            begins = reader.line_num + 1
            if any(map(str.strip, cells)):  # spreadsheets end tables with empty lines
                lines.append((reader.line_num, cells))
                total += len(cells)
                purpose.check(path, len(lines) - 1, total)
    except csv.Error as error:
        to = f" up to line {reader.line_num} (is a quote left open?)"
        raise purpose.error(
            f"{path}: line {begins}{to if reader.line_num > begins else ''}: malformed CSV: "
            f"{error}; quote cells that hold quotes or line ends, and leave columns of very long "
            "text out"
        ) from error
    if not lines:
        raise purpose.error(f"{path}: empty; {purpose.wanted}")
    (at, header), *lines = lines
    return Sheet(delimiter, [name.strip() for name in header], at, lines)


def rows(path: Path, found: Sheet, purpose: Purpose, named: Sequence[str] = ()) -> Rows:
    """Give the cells the header's names.

    Args:
        path: for messages.
        found: the cells.
        purpose: what it is read for.
        named: the columns that a caller named.

    Returns:
        The place and the values of each line, all values text.

    Raises:
        ModellabError: of the purpose's kind: no header, or a line of another length than it.
    """
    _check_header(path, found, purpose, named)
    return [
        (
            f"line {number}",
            dict(zip(found.header, _cells(path, number, cells, found, purpose), strict=True)),
        )
        for number, cells in found.lines
    ]


def _delimiter(text: str, usual: str, known: set[str]) -> tuple[str, str]:
    """Find what stands between cells, by a line ``sep=;`` or by the names in the header.

    Returns:
        The delimiter, and the text, in which a line ``sep=;`` is blank.
    """
    first, end, rest = text.partition("\n")
    said = first.strip("\r\"' ").lower()
    if said.startswith("sep=") and len(said) <= 5:
        return first.partition("=")[2][:1] or usual, end + rest
    header = text.lstrip("\r\n").partition("\n")[0]

    def names(delimiter: str) -> tuple[int, int]:
        try:
            cells = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            return 0, 0
        return len(known & {cell.strip() for cell in cells}), len(cells)

    best = max(sorted(_DELIMITERS, key=lambda one: one != usual), key=names)
    # more cells alone say little: names may hold commas
    return (best if names(best)[0] or names(usual)[1] < 2 else usual), text


def _check_header(path: Path, found: Sheet, purpose: Purpose, named: Sequence[str]) -> None:
    header = found.header
    if not {*purpose.known, *named} & {*header} and any(map(_is_number, header)):
        cells = ", ".join(repr(cell[:40]) for cell in header[:3])
        raise purpose.error(
            f"{path}: line {found.at}: {cells} are no names of columns; begin the file with a line "
            f"that names them: {purpose.header}"
        )
    first: dict[str, int] = {}
    for place, name in enumerate(header, start=1):
        if name and first.setdefault(name, place) != place:
            raise purpose.error(
                f"{path}: line {found.at}: columns {first[name]} and {place} are both named "
                f"{name!r}; rename one"
            )


def _is_number(cell: str) -> bool:
    try:
        decimal(cell.replace(",", ".").strip("% "))
    except ValueError:
        return False
    return True


def _cells(path: Path, number: int, cells: list[str], found: Sheet, purpose: Purpose) -> list[str]:
    """Return as many cells as the header has; empty ones may be left over."""
    count = len(found.header)
    more = len(cells) > count and not any(cell.strip() for cell in cells[count:])
    if found.delimiter == "," and (more or (len(cells) == count and "" in found.header)):
        _check_commas(path, number, cells, found.header, purpose)
    if more:
        return cells[:count]
    if len(cells) != count:
        comma = " (a decimal comma is one)" if found.delimiter == "," and len(cells) > count else ""
        raise purpose.error(
            f"{path}: line {number}: {len(cells)} cells, but the header names {count} columns; "
            f"quote a cell that holds {found.delimiter!r}{comma}"
        )
    return cells


def _check_commas(
    path: Path, number: int, cells: list[str], header: Sequence[str], purpose: Purpose
) -> None:
    """Refuse two cells that a decimal comma may have parted, where a cell has no column's name.

    Raises:
        ModellabError: of the purpose's kind: there are such.
    """
    names = [*header[1:], *[""] * len(cells)]
    for one, other, name in zip(cells, cells[1:], names, strict=False):
        both = f"{one},{other}"
        if _SPLIT.fullmatch(both) and (not name or len(cells) > len(header)):
            raise purpose.error(
                f"{path}: line {number}: {both} may be one number or two; put quotes around it if "
                "it is one, else name every column, and end lines without a comma"
            )
