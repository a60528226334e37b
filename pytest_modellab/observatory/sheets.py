"""Tables of numbers that people hand in: CSV with a header, within limits."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.store import regular
from pytest_modellab.visible import CELL, shortened, visible


def text(path: Path, most: int) -> str:
    """Read a text file.

    Args:
        path: UTF-8.
        most: bytes that it may have.

    Raises:
        DiagnosisError: it cannot be read, is larger, or is no text.
    """
    try:
        regular.check(path)
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DiagnosisError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise DiagnosisError(f"{path}: more than {most >> 20} MB, which is no log of a run")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DiagnosisError(f"{path}: not UTF-8 at byte {error.start}") from error


def rows(path: Path, text: str, needed: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Read CSV with a header, row by row.

    Args:
        path: for messages.
        text: of the file.
        needed: columns that it must have.

    Yields:
        File and line, and column → cell.

    Raises:
        DiagnosisError: a column is missing, or a row is cut.
    """
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        named = [name.strip() for name in next(reader, [])]
        header = [name.lower() for name in named]
        for name in needed:
            if name not in header:
                known = shortened(visible(", ".join(named)), CELL) or "nothing"
                raise DiagnosisError(
                    f"{path}: no column is called {name}; its header names {known}"
                )
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if cells and len(cells) != len(header):
                raise DiagnosisError(f"{where}: {len(cells)} cells under {len(header)} columns")
            if cells:
                yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DiagnosisError(f"{path}:{reader.line_num}: {error}") from error
