"""How the accepted runs scored over time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pytest_modellab.reports.page import charts
from pytest_modellab.reports.page.markup import Cell, Content, Html, details, el, section, table
from pytest_modellab.reports.page.words import recommended, score
from pytest_modellab.reports.words import number
from pytest_modellab.tradeoff.figures import Profile, TradeOff

CHARTED = 8
"""How many variants are drawn; the table has all."""


def history(tradeoff: TradeOff, ident: str) -> Html | None:
    """The chart with its table, or None where nothing was accepted yet."""
    known = [p for p in tradeoff.profiles if p.history]
    if not known:
        return None
    chosen = recommended(tradeoff)
    order = sorted(known, key=lambda p: (p.variant not in chosen, p.variant != tradeoff.reference))
    drawn = order[:CHARTED]
    moving = [p for p in drawn if len(p.history) > 1]
    said = "; ".join(
        f"{p.variant} {score(p.history[0][1])} to {score(p.history[-1][1])}" for p in drawn
    )
    drawings = [
        charts.svg(
            _drawing(tradeoff, drawn, width),
            ident=f"{ident}-history-{style}",
            title="Mean score of the accepted runs over time",
            description=said,
            width=width,
            height=height,
            style=style,
        )
        for width, height, style in ((charts.WIDE, 300, "wide"), (charts.NARROW, 280, "narrow"))
    ]
    rows: list[list[Cell | Content]] = [
        [p.variant, date, Cell(score(mean), sort=mean)] for p in known for date, mean in p.history
    ]
    note = (
        f"Drawn: {len(drawn)} of {len(known)} variants with accepted runs; the table has all."
        if len(drawn) < len(known)
        else None
    )
    return section(
        f"{ident}-history",
        "Accepted runs over time",
        el("figure", drawings, el("figcaption", note)) if moving else None,
        details(
            "The numbers: accepted runs",
            table(
                f"Mean {tradeoff.metric or 'score'} of each accepted run",
                ["variant", "accepted", tradeoff.quality],
                rows,
                left={0, 1},
                style="sortable",
            ),
        ),
    )


def _drawing(tradeoff: TradeOff, drawn: Sequence[Profile], width: int) -> Any:
    dates = sorted({date for p in drawn for date, _ in p.history})
    days = _days(dates)

    def draw(figure: Any) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        height = figure.get_size_inches()[1] * 72
        names = 18 + 7 * max(len(charts.shortened(p.variant, 14)) for p in drawn)
        left, right, top, bottom = 44, names, 28, 30
        axes = figure.add_axes(
            (
                left / width,
                bottom / height,
                (width - left - right) / width,
                (height - top - bottom) / height,
            )
        )
        axes.grid(True, axis="y")
        axes.tick_params(length=0, pad=5)
        for profile in drawn:
            index = tradeoff.strategies.index(profile.strategy)
            axes.plot(
                [days[date] for date, _ in profile.history],
                [mean for _, mean in profile.history],
                color=charts.series(index),
                marker=charts.MARKERS[index % charts.SERIES],
                markersize=6,
                linewidth=1.8,
            )
        first, last = days[dates[0]], days[dates[-1]]
        axes.set_xlim(first - 0.02 * (last - first) - 0.5, last + 0.02 * (last - first) + 0.5)
        axes.set_xticks([first, last] if last > first else [first])
        axes.set_xticklabels([dates[0], dates[-1]] if last > first else [dates[0]])
        labels = axes.get_xticklabels()
        labels[0].set_ha("left")
        labels[-1].set_ha("right" if last > first else "left")
        low, high = axes.get_ylim()
        room = max(high - low, 0.02)
        axes.set_ylim(low - 0.1 * room, high + 0.1 * room)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: number(v)))
        axes.text(
            0,
            1.03,
            f"{tradeoff.quality} (↑ more is better)",
            transform=axes.transAxes,
            va="bottom",
            color=charts.colour("soft"),
        )
        _names(axes, drawn, height - top - bottom)

    return draw


def _names(axes: Any, drawn: Sequence[Profile], height: float) -> None:
    """Name each line at its end, the names far enough apart to be read."""
    low, high = axes.get_ylim()
    gap = 14 * (high - low) / height
    ends = sorted((p.history[-1][1], p.variant) for p in drawn)
    at = [value for value, _ in ends]
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1] + gap)
    over = max(0.0, at[-1] - high)
    for place, (_, name) in zip(at, ends, strict=True):
        axes.annotate(
            charts.shortened(name, 14),
            (1.0, place - over),
            xycoords=axes.get_yaxis_transform(),
            xytext=(8, 0),
            textcoords="offset pixels",
            va="center_baseline",
            fontsize=11.5,
        )


def _days(dates: Sequence[str]) -> dict[str, float]:
    """Places on the time axis; one after another where a date cannot be read."""
    try:
        return {d: float(dt.date.fromisoformat(d[:10]).toordinal()) for d in dates}
    except ValueError:
        return {d: float(i) for i, d in enumerate(dates)}
