"""Success against cost, latency and memory; of what was heard, against the real-time factor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from pytest_modellab.reports import measured
from pytest_modellab.reports.page import charts
from pytest_modellab.reports.page.markup import (
    Cell,
    Content,
    Html,
    details,
    el,
    section,
    table,
    tabs,
)
from pytest_modellab.reports.page.variants import strategy_mark
from pytest_modellab.reports.page.words import interval, metric_value, recommended, score
from pytest_modellab.reports.words import number
from pytest_modellab.tradeoff.figures import Estimate, Profile, TradeOff

LABELLED = {charts.WIDE: 24, charts.NARROW: 10}
"""How many points are named in the drawing."""


LOG_FROM = 8.0
"""Ranges wider than this factor are drawn on a logarithmic axis."""


NEAR = 12
"""Pixels beside its point up to which a name needs no line to it."""


AXES = {
    "cost": ("cost of 1,000 requests, $", 1.0),
    "latency": ("latency, median seconds {0}", 1.0),
    "memory": ("memory held, GB", 1e-9),
    "real-time factor": ("real-time factor: seconds of computing a second of audio", 1.0),
}


_OF_AUDIO = "real-time factor"


@dataclasses.dataclass(frozen=True)
class Point:
    """A variant in the drawing; ``front`` where no other is as good in both and better in one."""

    profile: Profile
    x: Estimate
    y: Estimate
    front: bool = False


def scatter(tradeoff: TradeOff, ident: str) -> Html | None:
    """A tab for each of :data:`AXES` that some variant was measured by."""
    panels: list[tuple[str, Content]] = []
    for metric in AXES:
        found = points(tradeoff, metric)
        if found:
            label = f"{tradeoff.quality} and {metric}"
            panels.append((label, _panel(tradeoff, metric, found, ident)))
    if not panels:
        return None
    missing = [m for m in AXES if m != _OF_AUDIO and not points(tradeoff, m)]
    return section(
        f"{ident}-scatter",
        f"What {tradeoff.quality} costs",
        tabs(f"{ident}-scatter-by", f"{tradeoff.quality.capitalize()} against", panels),
        el("p", f"Not measured: {', '.join(missing)}.", class_="aside") if missing else None,
    )


def points(tradeoff: TradeOff, metric: str) -> list[Point]:
    """The variants that were measured, with the front of the two figures marked."""
    factor = AXES[metric][1]
    found = []
    for profile in tradeoff.profiles:
        x = _estimate(profile, metric)
        if x is not None:
            scaled = Estimate(x.value * factor, x.low * factor, x.high * factor)
            found.append(Point(profile, scaled, profile.success))
    return [dataclasses.replace(p, front=not any(_dominates(q, p) for q in found)) for p in found]


def _dominates(a: Point, b: Point) -> bool:
    no_worse = a.x.value <= b.x.value and a.y.value >= b.y.value
    return no_worse and (a.x.value < b.x.value or a.y.value > b.y.value)


def _estimate(profile: Profile, metric: str) -> Estimate | None:
    if metric == "cost":
        return None if profile.cost is None else profile.cost.serving
    if metric == "latency":
        return None if profile.latency is None else profile.latency.p50
    if metric == _OF_AUDIO:
        return None if profile.latency is None else profile.latency.real_time_factor
    if profile.memory is None:
        return None
    return Estimate(profile.memory.held, profile.memory.held, profile.memory.held)


def _panel(tradeoff: TradeOff, metric: str, found: Sequence[Point], ident: str) -> Content:
    front = sorted((p for p in found if p.front), key=lambda p: p.x.value)
    names = ", ".join(p.profile.variant for p in front)
    said = f"{len(found)} variants; on the front, from the cheapest: {names}."
    drawings = [
        charts.svg(
            _drawing(tradeoff, metric, found, width),
            ident=f"{ident}-{metric.replace(' ', '-')}-{style}",
            title=f"{tradeoff.quality.capitalize()} against {metric}",
            description=said,
            width=width,
            height=height,
            style=style,
        )
        for width, height, style in ((charts.WIDE, 440, "wide"), (charts.NARROW, 330, "narrow"))
    ]
    used = [s for s in tradeoff.strategies if any(p.profile.strategy == s for p in found)]
    legend = [
        el("span", strategy_mark(tradeoff, strategy), f" {strategy}", class_="key")
        for strategy in used
    ]
    notes = (
        "Filled: on the front of these two, which the dotted line joins: no other variant is as "
        "good in both and better in one.",
        f"Ringed: the reference, {tradeoff.reference}.",
        "Thin lines: 95% intervals.",
    )
    caption = el("figcaption", el("p", legend), [el("p", note) for note in notes])
    return [
        el("figure", el("div", drawings), caption, class_="beside"),
        details(
            f"The numbers: {tradeoff.quality} and {metric}",
            _numbers(metric, found, tradeoff.quality),
        ),
    ]


def _numbers(metric: str, found: Sequence[Point], quality: str) -> Html:
    rows: list[list[Cell | Content]] = []
    for point in found:
        raw = _estimate(point.profile, metric)
        assert raw is not None
        form = {"cost": "dollars", "latency": "seconds", _OF_AUDIO: "number"}.get(metric)
        rows.append(
            [
                point.profile.variant,
                Cell(score(point.y.value), sort=point.y.value),
                interval(point.y),
                Cell(metric_value(metric, raw.value), sort=raw.value),
                interval(raw, form) if form else "exact",
                "yes" if point.front else "no",
                "yes" if point.profile.pareto else "no",
            ]
        )
    head: list[Content] = [
        "variant",
        quality,
        "95% interval",
        metric,
        "95% interval",
        "on this front",
        "on the front of all metrics",
    ]
    caption = f"{quality.capitalize()} and {metric} of each variant"
    return table(caption, head, rows, style="sortable")


def _drawing(tradeoff: TradeOff, metric: str, found: Sequence[Point], width: int) -> Any:
    def draw(figure: Any) -> None:
        height = figure.get_size_inches()[1] * 72
        left, right, top, bottom = 44, 14, 30, 46
        axes = figure.add_axes(
            (
                left / width,
                bottom / height,
                (width - left - right) / width,
                (height - top - bottom) / height,
            )
        )
        _limits(axes, found, narrow=width == charts.NARROW)
        axes.grid(True)
        axes.tick_params(length=0, pad=5)
        front = sorted((p for p in found if p.front), key=lambda p: (p.x.value, p.y.value))
        axes.plot(
            [p.x.value for p in front],
            [p.y.value for p in front],
            color=charts.colour("soft"),
            linewidth=1.4,
            linestyle=(0, (1, 2.5)),
            zorder=2,
        )
        for i, strategy in enumerate(tradeoff.strategies):
            members = [p for p in found if p.profile.strategy == strategy]
            if members:
                _series(axes, members, i)
        for point in found:
            if point.profile.variant == tradeoff.reference:
                axes.plot(
                    [point.x.value],
                    [point.y.value],
                    marker="o",
                    markersize=17,
                    markerfacecolor="none",
                    markeredgecolor=charts.colour("ink"),
                    markeredgewidth=1.2,
                    zorder=5,
                )
        axes.text(
            0,
            1,
            f"{tradeoff.quality} (↑ more is better)",
            transform=axes.transAxes,
            va="bottom",
            ha="left",
            color=charts.colour("soft"),
            fontsize=12,
            position=(0, 1.025),
        )
        until = measured.until(tradeoff.profiles, generates=tradeoff.generates)
        axes.set_xlabel(f"{AXES[metric][0].format(until)} (← less is better)", labelpad=8)
        _names(axes, tradeoff, found, width)

    return draw


def _limits(axes: Any, found: Sequence[Point], *, narrow: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    lows, highs = [p.x.low for p in found], [p.x.high for p in found]
    if min(lows) > 0 and max(highs) / min(lows) > LOG_FROM:
        axes.set_xscale("log")
        axes.set_xlim(min(lows) / 1.25, max(highs) * (1.7 if narrow else 1.35))
        subs = (1.0, 3.0) if max(highs) / min(lows) > 50 else (1.0, 2.0, 5.0)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = (max(highs) - min(lows)) or max(highs) or 1.0
        axes.set_xlim(
            max(0.0, min(lows) - 0.08 * room), max(highs) + (0.25 if narrow else 0.12) * room
        )
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 7, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: number(v)))
    low, high = min(p.y.low for p in found), max(p.y.high for p in found)
    room = (high - low) or 0.1
    axes.set_ylim(max(0.0, low - 0.1 * room), min(1.02, high + 0.1 * room))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.2f}"))


def _reach(figures: Sequence[Estimate]) -> list[list[float]]:
    """How far each interval goes down and up; of one round it may miss its figure by rounding."""
    return [
        [max(0.0, one.value - one.low) for one in figures],
        [max(0.0, one.high - one.value) for one in figures],
    ]


def _series(axes: Any, members: Sequence[Point], index: int) -> None:
    colour = charts.series(index)
    marker = charts.MARKERS[index % charts.SERIES]
    axes.errorbar(
        [p.x.value for p in members],
        [p.y.value for p in members],
        xerr=_reach([p.x for p in members]),
        yerr=_reach([p.y for p in members]),
        fmt="none",
        ecolor=colour,
        elinewidth=1.1,
        alpha=0.55,
        zorder=3,
    )
    for on_front in (False, True):
        some = [p for p in members if p.front is on_front]
        axes.plot(
            [p.x.value for p in some],
            [p.y.value for p in some],
            linestyle="none",
            marker=marker,
            markersize=9,
            markerfacecolor=colour if on_front else charts.colour("paper"),
            markeredgecolor=colour,
            markeredgewidth=1.6,
            zorder=4,
        )


def _names(axes: Any, tradeoff: TradeOff, found: Sequence[Point], width: int) -> None:
    """Name the points where there is room: the recommended first, then the front, then the rest."""
    chosen = recommended(tradeoff)
    order = sorted(
        found,
        key=lambda p: (
            p.profile.variant not in chosen,
            p.profile.variant != tradeoff.reference,
            not p.front,
            -p.y.value,
        ),
    )
    spots = {id(p): tuple(axes.transData.transform((p.x.value, p.y.value))) for p in found}
    box = axes.get_window_extent()
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in spots.values()]
    for rank, point in enumerate(order[: LABELLED[width]]):
        x, y = spots[id(point)]
        text = charts.shortened(point.profile.variant, 16 if width == charts.NARROW else 26)
        wide, high = 6.8 * len(text) + 2, 13.0
        options = [
            (dx, dy, anchor)
            for dx, dy, anchor in (
                (12, 9, "left"),
                (-12, 9, "right"),
                (12, -11, "left"),
                (-12, -11, "right"),
                (0, 18, "center"),
                (0, -20, "center"),
                (26, 16, "left"),
                (-26, 16, "right"),
                (26, -18, "left"),
                (-26, -18, "right"),
            )
        ]
        for dx, dy, anchor in options:
            start = x + dx - {"left": 0.0, "right": wide, "center": wide / 2}[anchor]
            area = (start, y + dy - high / 2, start + wide, y + dy + high / 2)
            inside = area[0] > box.x0 and area[2] < box.x1 and area[1] > box.y0 and area[3] < box.y1
            if inside and not any(_overlap(area, other) for other in taken):
                break
        else:
            if rank >= len(chosen) + 1:
                continue
            dx, dy, anchor = options[0]
            area = (x + dx, y + dy - high / 2, x + dx + wide, y + dy + high / 2)
        taken.append(area)
        axes.annotate(
            text,
            (point.x.value, point.y.value),
            xytext=(dx, dy),
            textcoords="offset pixels",
            ha=anchor,
            va="center_baseline",
            fontsize=12,
            fontweight="bold" if point.profile.variant in chosen else "normal",
            color=charts.colour("ink"),
            zorder=6,
            # a name that stands off may be nearer to another's point
            arrowprops={"arrowstyle": "-", "linewidth": 0.8, "color": charts.colour("soft")}
            if abs(dx) > NEAR
            else None,
        )


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
