"""The values behind a picture, as tables and as CSV."""

from __future__ import annotations

import csv
import io
import urllib.parse
from collections.abc import Sequence

from pytest_modellab.records.diagnosis import Heat, Lines, Panel, Picture
from pytest_modellab.reports.page.diagnosis.scale import shown
from pytest_modellab.reports.page.markup import Html, el, table
from pytest_modellab.reports.page.words import MISSING
from pytest_modellab.visible import CELL, cell, shortened, visible


def count(picture: Picture) -> int:
    """How many values a picture has."""
    return sum(map(_count, picture.panels))


def tables(panel: Panel, caption: str) -> Html | None:
    """A panel's values as a table; None where it shows texts, or shows its numbers itself."""
    if not isinstance(panel, Heat | Lines):
        return None
    head, rows = _grid(panel)
    return table(caption, head, [[_shown(v) for v in row] for row in rows], style="values")


def to_csv(picture: Picture) -> str:
    """The values of all panels, one below the other, exact; texts as pieces."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for i, panel in enumerate(picture.panels):
        if i:
            writer.writerow([])
        head, rows = _grid(panel)
        if panel.title:
            writer.writerow([_cell(panel.title)])
        writer.writerow([_cell(name) for name in head])
        for row in rows:
            writer.writerow(
                ["" if v is None else _cell(v) if isinstance(v, str) else f"{v:.6g}" for v in row]
            )
    return file.getvalue()


def link(picture: Picture) -> Html:
    """The CSV as a link that saves it, without any other file."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in picture.name)
    data = urllib.parse.quote(to_csv(picture), safe="/,.-_~+*:")
    return el(
        "a",
        "values as CSV",
        href=Html(f"data:text/csv;charset=utf-8,{data}"),
        download=f"{shortened(name, 60) or 'values'}.csv",
    )


def _count(panel: Panel) -> int:
    if isinstance(panel, Heat):
        return len(panel.rows) * len(panel.columns)
    if isinstance(panel, Lines):
        return len(panel.x) * len(panel.series)
    return len(panel.base) + len(panel.candidate)


def _grid(panel: Panel) -> tuple[list[str], list[list[float | str | None]]]:
    """A panel's head and rows; the first cell of each is its name."""
    if isinstance(panel, Heat):
        named = zip(panel.rows, panel.values, strict=False)
        return ["", *panel.columns], [[name, *row] for name, row in named]
    if isinstance(panel, Lines):
        return (
            [panel.x_name, *(s.name for s in panel.series)],
            [[name, *_at(panel, i)] for i, name in enumerate(panel.x)],
        )
    both = (("base", panel.base), ("candidate", panel.candidate))
    return (
        ["side", "differs", "text"],
        [
            [side, "yes" if piece.differs else "no", piece.text]
            for side, pieces in both
            for piece in pieces
        ],
    )


def _shown(value: float | str | None) -> str:
    if isinstance(value, str):
        return value
    return MISSING if value is None else shown(value)


def _at(panel: Lines, i: int) -> Sequence[float | None]:
    return [s.values[i] if i < len(s.values) else None for s in panel.series]


def _cell(text: str) -> str:
    return cell(visible(shortened(text, CELL)))
