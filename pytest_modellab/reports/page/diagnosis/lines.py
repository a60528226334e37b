"""Series over the same places: lines or bars, told apart by dashes and marks too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pytest_modellab.records.diagnosis import Lines, Series
from pytest_modellab.reports.diagnosed import layer_of
from pytest_modellab.reports.page.charts import GLYPHS, NARROW, SERIES, WIDE, shortened
from pytest_modellab.reports.page.diagnosis import svg
from pytest_modellab.reports.page.diagnosis.scale import decades, drawable, shown, ticks
from pytest_modellab.reports.page.markup import Content, Html, drawing, el
from pytest_modellab.reports.page.words import MISSING

LISTED = 24
"""So many bars are a list with names and numbers; more are drawn."""


_DASHES = ("", "7 4", "2 4", "9 3 2 3", "12 4", "1 3", "6 2 1 2 1 2", "3 3")


_HEIGHT = 260


_RIGHT, _TOP = 14, 22


_MOST = 512  # places that are drawn


_MARKED = 48  # places of which each has its mark


_CHARACTER = 6.6


def lines(panel: Lines, ident: str, title: str) -> Html:
    """Draw series over places.

    Args:
        panel: what to draw.
        ident: unique on the page.
        title: what it shows.
    """
    every = max(1, -(-len(panel.x) // _MOST))
    panel = _thinned(panel, every)
    known = [v for s in panel.series for v in s.values if v is not None and drawable(v)]
    if not known:
        return el("p", "There are no values.", class_="aside")
    if panel.bars and len(panel.x) * len(panel.series) <= LISTED:
        body: Content = _list(panel)
    else:
        body = [
            _chart(panel, f"{ident}-w", title, WIDE, "wide"),
            _chart(panel, f"{ident}-n", title, NARROW, "narrow"),
        ]
    note = f" Every {every}th place is drawn." if every > 1 else ""
    return el("div", body, _legend(panel, known, note))


def _thinned(panel: Lines, every: int) -> Lines:
    if every == 1:
        return panel
    return Lines(
        panel.x[::every],
        tuple(Series(s.name, s.values[::every]) for s in panel.series),
        panel.x_name,
        panel.unit,
        panel.title,
        panel.log,
        panel.bars,
        tuple(dict.fromkeys(i // every for i in panel.framed)),
    )


def _list(panel: Lines) -> Html:
    """Bars with their names and numbers, one below the other."""
    values = [v for s in panel.series for v in s.values if v is not None and drawable(v)]
    low, high = min(0.0, *values), max(0.0, *values)
    span = high - low or 1.0
    rows = []
    for i, name in enumerate(panel.x):
        named = i in panel.framed
        for k, series in enumerate(panel.series):
            value = series.values[i] if i < len(series.values) else None
            known = value is not None and drawable(value)
            start = ((min(value or 0.0, 0.0) if known else 0.0) - low) / span
            width = abs(value or 0.0) / span if known else 0.0
            style = f"margin-left:{100 * start:.1f}%;width:{100 * width:.1f}%"
            who: Content = [el("span", "◆ ", class_="alarm"), el("strong", name)] if named else name
            if len(panel.series) > 1:
                who = [
                    el("span", GLYPHS[k % SERIES], class_=f"glyph g{k % SERIES}"),
                    who if k == 0 else el("span", name, class_="unseen"),
                ]
            rows.append(
                el(
                    "li",
                    el("span", who, class_="who"),
                    el("span", el("span", style=style, class_=f"b{k % SERIES}"), class_="track"),
                    el("span", MISSING if value is None else shown(value), class_="num"),
                )
            )
    return el("ul", rows, class_="shares bars")


def _chart(panel: Lines, ident: str, title: str, width: int, style: str) -> Html:
    known = [v for s in panel.series for v in s.values if v is not None and drawable(v)]
    positive = [v for v in known if v > 0]
    log = panel.log and bool(positive)
    if log:
        low, high = min(positive), max(positive)
        low = max(low, high * 1e-12, 1e-300)  # further down is nothing to be seen
        marks = decades(low, high)
    else:
        low = min(0.0, *known) if panel.bars or min(known) > 0 else min(known)
        high = max(0.0, *known) if panel.bars else max(known)
        if min(known) > 0 and min(known) > 0.5 * high and not panel.bars:
            low = min(known)
        if not high > low:
            high = low + max(1.0, abs(low))
        marks = ticks(low, high)
    bottom, top = marks[0], marks[-1]
    places = _ticks(panel.x)
    longest = max((len(name) for _, name in places), default=0)
    slanted = longest > 4 and len(panel.x) > 1
    left = max(12 + _CHARACTER * max(len(shown(m)) for m in marks), 64 if slanted else 0)
    foot = 38 + (min(longest, 16) * _CHARACTER * 0.72 if slanted else 0)
    height = _HEIGHT + foot
    plot = width - left - _RIGHT
    count = max(1, len(panel.x))

    def x(i: float) -> float:
        return left + (i + 0.5) * plot / count

    def y(value: float) -> float:
        if log:
            value = max(value, bottom)
            share = math.log(value / bottom) / math.log(top / bottom)
        else:
            share = (value - bottom) / (top - bottom)
        return _TOP + (1 - share) * (_HEIGHT - _TOP)

    grid: list[Content] = []
    for mark in marks:
        grid.append(svg.rule(left, y(mark), width - _RIGHT, y(mark), "grid"))
        grid.append(svg.text(left - 6, y(mark) + 4, shown(mark), "tick end"))
    if not log and bottom < 0 < top:
        grid.append(svg.rule(left, y(0), width - _RIGHT, y(0), "axis"))
    bands: list[Content] = []
    for i in panel.framed:
        bands.append(
            el(
                "rect",
                x=svg.at(x(i) - plot / count / 2),
                y=svg.at(_TOP),
                width=svg.at(max(3.0, plot / count)),
                height=svg.at(_HEIGHT - _TOP),
                class_="band",
            )
        )
        bands.append(svg.text(x(i), _TOP - 7, "◆", "tick mid on"))
    names = _names(panel, places, x, plot, slanted=slanted)
    base = y(0) if not log else y(bottom)
    drawn: list[Content] = [
        _bars(panel, k, x, y, plot / count, base) if panel.bars else _line(panel, k, x, y)
        for k in range(len(panel.series))
    ]
    by_layer = len(places) < len(panel.x)
    name = shortened(panel.x_name, 40) + (", by layer" if by_layer else "")
    what = svg.text(left + plot / 2, height - 6, name, "tick mid")
    return drawing(
        ident, title, _seen(panel), width, height, bands, grid, drawn, names, what, style=style
    )


def _ticks(x: Sequence[str]) -> list[tuple[int, str]]:
    """Places that may be named: of many parts of layers the first of each layer, as its number."""
    layers = [layer_of(name) for name in x]
    if len(x) <= _MARKED or sum(at is not None for at in layers) < 0.6 * len(x):
        return list(enumerate(x))
    found: dict[int, int] = {}
    for i, at in enumerate(layers):
        if at is not None:
            found.setdefault(at, i)
    return [(i, str(at)) for at, i in found.items()]


def _names(
    panel: Lines,
    places: Sequence[tuple[int, str]],
    x: Callable[[float], float],
    plot: float,
    *,
    slanted: bool,
) -> list[Content]:
    longest = max((len(name) for _, name in places), default=0)
    needed = 18 if slanted else _CHARACTER * (longest + 2)
    every = max(1, -(-len(places) * needed // plot))
    framed = set(panel.framed)
    named = [k for k, (i, _) in enumerate(places) if i in framed]
    found: list[Content] = []
    for k, (i, name) in enumerate(places):
        if k not in named and (k % every or any(abs(k - n) < every for n in named)):
            continue
        at_x, at_y = x(i), _HEIGHT + 15
        style = "tick on" if k in named else "tick"
        text = shortened(name, 16)
        if slanted:
            turn = f"rotate(-45 {svg.at(at_x)} {svg.at(at_y)})"
            found.append(svg.text(at_x, at_y, text, f"{style} end", transform=turn))
        else:
            found.append(svg.text(at_x, at_y, text, f"{style} mid"))
    return found


def _line(panel: Lines, k: int, x: Callable[[float], float], y: Callable[[float], float]) -> Html:
    points = [
        (x(i), y(v)) for i, v in enumerate(panel.series[k].values) if v is not None and drawable(v)
    ]
    path = "M" + "L".join(f"{svg.at(a)} {svg.at(b)}" for a, b in points) if points else ""
    every = max(1, -(-len(points) // _MARKED))
    marks = [_mark(k, a, b) for a, b in points[::every]]
    return el(
        "g",
        el("path", d=path, class_="line", stroke_dasharray=_DASHES[k % SERIES] or None)
        if len(points) > 1
        else None,
        el("path", d="".join(marks), class_="mark"),
        class_=f"g{k % SERIES}",
    )


def _bars(
    panel: Lines,
    k: int,
    x: Callable[[float], float],
    y: Callable[[float], float],
    place: float,
    base: float,
) -> Html:
    count = len(panel.series)
    width = max(1.0, 0.8 * place / count)
    parts = []
    for i, value in enumerate(panel.series[k].values):
        if value is None or not drawable(value):
            continue
        left = x(i) - 0.4 * place + k * width
        parts.append(
            f"M{svg.at(left)} {svg.at(base)}V{svg.at(y(value))}h{svg.at(width)}V{svg.at(base)}z"
        )
    return el("path", d="".join(parts), class_=f"bar g{k % SERIES}")


def _mark(k: int, x: float, y: float) -> str:
    """A mark's outline: the same shapes as the legend's."""
    r = 3.6
    if k % SERIES == 0:
        return f"M{svg.at(x - r)} {svg.at(y)}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
    corners = {
        1: ((-r, -r), (r, -r), (r, r), (-r, r)),
        2: ((0, -r), (r, r), (-r, r)),
        3: ((0, -1.3 * r), (1.3 * r, 0), (0, 1.3 * r), (-1.3 * r, 0)),
        4: ((0, r), (r, -r), (-r, -r)),
    }.get(k % SERIES)
    if corners is None:
        points = {5: 4, 6: 5, 7: 8}[k % SERIES]
        corners = tuple(
            (
                (1.5 if i % 2 == 0 else 0.6) * r * math.sin(math.pi * i / points),
                -(1.5 if i % 2 == 0 else 0.6) * r * math.cos(math.pi * i / points),
            )
            for i in range(2 * points)
        )
    return "M" + "L".join(f"{svg.at(x + a)} {svg.at(y + b)}" for a, b in corners) + "z"


def _legend(panel: Lines, known: Sequence[float], note: str) -> Html:
    several = len(panel.series) > 1
    keys = [
        el("span", el("span", GLYPHS[k % SERIES], class_=f"glyph g{k % SERIES}"), s.name,
           class_="key")
        for k, s in enumerate(panel.series)
        if several or s.name
    ]  # fmt: skip
    more = [f" {panel.unit}{', logarithmic' if panel.log else ''}."]
    if panel.framed:
        more.append(" ◆: what is named.")
    values = [v for s in panel.series for v in s.values if v is not None]
    if len(values) > len(known):
        more.append(" What is not finite is left out.")
    if panel.log and any(v <= 0 for v in known):
        more.append(" Zeros lie on the lowest line.")
    return el("p", keys, more, note, class_="aside legend")


def _seen(panel: Lines) -> str:
    """The range of each series, for who does not see them."""
    parts = []
    for series in panel.series[:SERIES]:
        known = [v for v in series.values if v is not None and drawable(v)]
        if known:
            name = shortened(series.name, 40)
            parts.append(f"{name} from {shown(min(known))} to {shown(max(known))}")
    return f"{'; '.join(parts)}."
