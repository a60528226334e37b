"""A matrix in colours: with its numbers in the cells where they fit, else as a drawing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pytest_modellab.records.diagnosis import Heat
from pytest_modellab.reports.page.charts import shortened
from pytest_modellab.reports.page.diagnosis import svg
from pytest_modellab.reports.page.diagnosis.scale import (
    STEPS,
    Scale,
    drawable,
    rounded,
    scale,
    shown,
)
from pytest_modellab.reports.page.markup import Content, Html, drawing, el, scroll
from pytest_modellab.reports.page.words import MISSING

NUMBERED = 16
"""Of so many columns the cells hold their numbers."""


_MOST_CELLS = 8192


_MOST_ROWS = 96


_EMPTY = 4  # rows without a value, from which on they are one


_CELL, _HIGH = 12, 12  # of a drawing, in pixels


_FRAMES = 64


_LABEL = 22  # characters


_SMALL = 6.6  # width of a character of a label


def heat(panel: Heat, ident: str, title: str) -> Html:
    """Draw a matrix.

    Args:
        panel: the matrix.
        ident: unique on the page.
        title: what it shows.
    """
    panel, pooled = _pooled(panel)
    values = [v for row in panel.values for v in row]
    if not values:
        return el("p", "There are no values.", class_="aside")
    found = scale(values, panel.middle)
    wide = len(panel.columns) > NUMBERED
    body = _drawing(panel, found, ident, title) if wide else _table(panel, found, title)
    return el("div", body, _legend(panel, found, pooled, hatched=wide))


def colour(step: int, scale: Scale) -> str:
    """The class of a colour."""
    if scale.middle is None:
        return f"q{step}"
    return f"m{-step}" if step < 0 else f"p{step}"


def _table(panel: Heat, scale: Scale, title: str) -> Html:
    framed = set(panel.framed)
    rows, columns = _marks(panel)
    head = el(
        "tr",
        el("td"),
        [
            el("th", _marked(name, i in columns), scope="col")
            for i, name in enumerate(panel.columns)
        ],
    )
    body = []
    for first, last in _stretches(panel):
        if last - first > 1:  # nothing in any of them
            names = f"{panel.rows[first]} to {panel.rows[last - 1]}"
            nothing = el("td", MISSING, class_="nothing", colspan=str(len(panel.columns)))
            body.append(el("tr", el("th", names, scope="row"), nothing))
            continue
        named = [(first, k) in framed for k in range(len(panel.columns))]
        cells = [
            _cell(value, scale, frame, frame and not all(named))
            for value, frame in zip(panel.values[first], named, strict=False)
        ]
        body.append(
            el("tr", el("th", _marked(panel.rows[first], first in rows), scope="row"), cells)
        )
    table = el(
        "table",
        el("caption", title, class_="unseen"),
        el("thead", head),
        el("tbody", body),
        class_="heat numbered",
    )
    return scroll(title, table)


def _marks(panel: Heat) -> tuple[set[int], set[int]]:
    """Rows and columns whose names are marked; of whole rows no columns, and the other way."""
    framed = set(panel.framed)
    rows, columns = {r for r, _ in framed}, {c for _, c in framed}
    if len(columns) == len(panel.columns) > 1 and len(rows) < len(panel.rows):
        columns = set()
    elif len(rows) == len(panel.rows) > 1 and len(columns) < len(panel.columns):
        rows = set()
    return rows, columns


def _stretches(panel: Heat) -> Iterator[tuple[int, int]]:
    """Rows one by one, and many in a row together where there is nothing in them."""
    framed = {r for r, _ in panel.framed}
    count = min(len(panel.rows), len(panel.values))
    start = 0
    while start < count:
        end = start
        while (
            end < count and end not in framed and all(value is None for value in panel.values[end])
        ):
            end += 1
        if end - start < _EMPTY:
            end = start + 1
        yield start, end
        start = end


def _cell(value: float | None, scale: Scale, frame: bool, mark: bool) -> Html:
    if value is None:
        return el("td", MISSING, class_="nothing framed" if frame else "nothing")
    known = drawable(value)
    style = colour(scale.step(value), scale) if known else "odd"
    text: Content = rounded(value, scale.high - scale.low) if known else "✕"
    if mark:
        text = [el("span", "named: ", class_="unseen"), "◆ ", text]
    return el("td", text, class_=f"{style} framed" if frame else style)


def _marked(name: str, named: bool) -> Content:
    text = _breakable(shortened(name, 2 * _LABEL))
    return [el("span", "◆ ", class_="alarm"), el("strong", text)] if named else text


def _breakable(name: str) -> Content:
    """A name that may be broken after a dot or an underscore."""
    return [[part, Html("<wbr>")] for part in re.split(r"(?<=[._])(?=.)", name)]


def _drawing(panel: Heat, scale: Scale, ident: str, title: str) -> Html:
    """Two drawings: the rows' names, which stay in sight, and the cells beside them."""
    rows, columns = len(panel.rows), len(panel.columns)
    framed_rows, framed_columns = _marks(panel)
    heads = [shortened(_spaced(name), 14) for name in panel.columns]
    top = 14 + _SMALL * max(map(len, heads)) * 0.9
    height = top + rows * _HIGH + 4
    names = [shortened(name, _LABEL) for name in panel.rows]
    left = 16 + _SMALL * max(map(len, names), default=0)
    every = max(1, round(columns / 64))
    ticks: list[Content] = []
    for i, name in enumerate(heads):
        named = i in framed_columns
        if named or i % every == 0:
            x, y = (i + 0.8) * _CELL, top - 5
            ticks.append(
                svg.text(
                    x, y, f"◆ {name}" if named else name, "tick on" if named else "tick",
                    transform=f"rotate(-60 {svg.at(x)} {svg.at(y)})",
                )
            )  # fmt: skip
    labels = [
        svg.text(
            left - 6,
            top + (i + 0.8) * _HIGH,
            f"◆ {name}" if i in framed_rows else name,
            "tick end on" if i in framed_rows else "tick end",
        )
        for i, name in enumerate(names)
    ]
    cells: list[Content] = [
        el("path", d=d, class_=style) for style, d in sorted(_paths(panel, scale).items())
    ]
    frames = [
        el(
            "rect",
            x=svg.at(first * _CELL),
            y=svg.at(row * _HIGH),
            width=svg.at((last - first + 1) * _CELL),
            height=svg.at(_HIGH),
            class_="frame",
        )
        for row, first, last in _frames(panel)
    ]
    moved = el("g", cells, frames, transform=f"translate(0 {svg.at(top)})")
    width = columns * _CELL + 40
    seen = _seen(panel)
    return scroll(
        title,
        el(
            "div",
            drawing(f"{ident}-r", "Rows", "Their names.", left, height, labels, style="names"),
            drawing(ident, title, seen, width, height, ticks, moved),
            class_="map",
        ),
    )


def _frames(panel: Heat) -> list[tuple[int, int, int]]:
    """Framed cells, neighbours in a row as one: the row, the first and the last of them."""
    found: list[tuple[int, int, int]] = []
    for row, column in sorted(set(panel.framed)):
        if found and found[-1][0] == row and found[-1][2] == column - 1:
            found[-1] = (row, found[-1][1], column)
        else:
            found.append((row, column, column))
    return found[:_FRAMES]


def _paths(panel: Heat, scale: Scale) -> dict[str, str]:
    """A path for each colour, and hatching over the strongest: cells are too many for elements."""
    found: dict[str, list[str]] = {}
    for r, row in enumerate(panel.values):
        for style, start, stop in _runs(row, scale):
            x, y = start * _CELL, r * _HIGH
            width = (stop - start) * _CELL
            found.setdefault(style, []).append(f"M{x} {y}h{width}v{_HIGH}h{-width}z")
            if hatch := _hatch(style):
                found.setdefault(f"z{hatch}", []).extend(
                    f"M{k * _CELL + 2} {y + 2}l{_CELL - 4} {_HIGH - 4}"
                    if hatch == "minus"
                    else f"M{k * _CELL + 2} {y + _HIGH - 2}l{_CELL - 4} {4 - _HIGH}"
                    for k in range(start, stop)
                )
    return {style: "".join(parts) for style, parts in found.items()}


def _hatch(style: str) -> str:
    """Which stroke is drawn over a colour, so that it is no colour alone."""
    if style[0] == "m" and int(style[1:]) >= STEPS - 1:
        return "minus"
    return "plus" if style == "odd" or (style[0] in "pq" and int(style[1:]) >= STEPS - 1) else ""


def _runs(row: Sequence[float | None], scale: Scale) -> Iterator[tuple[str, int, int]]:
    """Neighbours of one colour: the colour, the first, and the one behind the last."""
    start, last = 0, ""
    for i, value in enumerate([*row, None]):
        if value is None:
            style = ""
        else:
            style = colour(scale.step(value), scale) if drawable(value) else "odd"
        if style != last:
            if last:
                yield last, start, i
            start, last = i, style


def _legend(panel: Heat, scale: Scale, pooled: str, *, hatched: bool) -> Html:
    steps = scale.steps()
    if not hatched:  # the cells hold their numbers
        steps = [steps[0], steps[len(steps) // 2], steps[-1]] if scale.middle is not None else []
    keys: list[Content] = []
    for step, value in steps:
        style = colour(step, scale)
        stroke = {"plus": "/", "minus": "\\"}.get(_hatch(style), "") if hatched else ""
        keys.append(
            el(
                "span",
                f"{stroke} {rounded(value, scale.high - scale.low)}".strip(),
                class_=f"key {style}",
            )
        )
    values = [v for row in panel.values for v in row]
    more: list[Content] = []
    if any(v is None for v in values):
        more.append(f" {f'“{MISSING}”' if not hatched else 'Empty'}: nothing to show.")
    if any(v is not None and not drawable(v) for v in values):
        more.append(f" {'✕' if not hatched else '/ on grey'}: not finite.")
    if panel.framed:
        more.append(" ◆ and the frame: what is named.")
    return el(
        "p",
        el("span", f"{panel.unit}: " if keys else f"{panel.unit}."),
        keys,
        more,
        f" {pooled}".rstrip(),
        class_="aside legend",
    )


def _seen(panel: Heat) -> str:
    """The largest value and its place, for who does not see the colours."""
    known = [
        (abs(v - (panel.middle or 0.0)), v, r, c)
        for r, row in enumerate(panel.values)
        for c, v in enumerate(row)
        if v is not None and drawable(v)
    ]
    if not known:
        return "No value is known."
    _, value, r, c = max(known, key=lambda one: (one[0], -one[2], -one[3]))
    return (
        f"{len(panel.rows)} rows of {len(panel.columns)}; furthest out is {shown(value)} at "
        f"{shortened(panel.rows[r], _LABEL)}, {shortened(panel.columns[c], _LABEL)}."
    )


def _spaced(name: str) -> str:
    """A token's outer blanks as marks that are seen."""
    inner = name.strip(" ")
    before, after = len(name) - len(name.lstrip(" ")), len(name) - len(name.rstrip(" "))
    text = f"{'␣' * before}{inner}{'␣' * after}" if inner else "␣" * len(name)
    return text.replace("\n", "⏎").replace("\t", "⇥")


def _pooled(panel: Heat) -> tuple[Heat, str]:
    """A matrix that is not too large to be drawn, and what was done to it."""
    rows, columns = len(panel.rows), len(panel.columns)
    if rows <= _MOST_ROWS and rows * columns <= _MOST_CELLS:
        return panel, ""
    down = -(-rows // _MOST_ROWS)
    kept_rows = -(-rows // down)
    across = -(-columns * kept_rows // _MOST_CELLS)
    middle = panel.middle or 0.0

    def furthest(r: int, c: int) -> float | None:
        block = [
            v
            for row in panel.values[r * down : (r + 1) * down]
            for v in row[c * across : (c + 1) * across]
            if v is not None
        ]
        return max(block, key=lambda v: abs(v - middle), default=None)

    kept_columns = -(-columns // across)
    values = tuple(tuple(furthest(r, c) for c in range(kept_columns)) for r in range(kept_rows))
    found = Heat(
        panel.rows[::down],
        panel.columns[::across],
        values,
        panel.middle,
        panel.unit,
        panel.title,
        tuple(dict.fromkeys((r // down, c // across) for r, c in panel.framed)),
    )
    return found, f"A cell shows the value that is furthest out of {down} × {across}."
