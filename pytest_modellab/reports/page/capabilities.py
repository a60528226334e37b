"""Each capability of the variants that matter most: against the baseline, and what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_modellab.reports import measured
from pytest_modellab.reports.page import charts
from pytest_modellab.reports.page.markup import Cell, Content, Html, details, el, section, table
from pytest_modellab.reports.page.words import MINUS, MISSING, blocked, recommended, score, signed
from pytest_modellab.reports.words import both, number
from pytest_modellab.tradeoff.figures import CapabilityFigures, Profile, TradeOff

CHARTED = 6
"""How many variants have charts of their own; the table has all."""


_ROW, _TOP, _FOOT, _VALUES = 19, 8, 26, 88


def charted(tradeoff: TradeOff, *, reference: bool) -> tuple[Profile, ...]:
    """The variants with charts: the recommended, those that lost something, the blocked, the rest.

    Args:
        tradeoff: the report.
        reference: whether the reference may be among them.
    """
    order = dict.fromkeys(
        [
            *recommended(tradeoff),
            *(c.variants[0] for c in tradeoff.choices),
            *(p.variant for p in tradeoff.profiles if any(c.forgotten for c in p.capabilities)),
            *blocked(tradeoff),
            *(p.variant for p in tradeoff.profiles if p.variant != tradeoff.reference),
            tradeoff.reference,
        ]
    )
    names = [name for name in order if reference or name != tradeoff.reference]
    return tuple(tradeoff.profile(name) for name in names[:CHARTED])


def bars(tradeoff: TradeOff, ident: str) -> Html:
    """Success by capability beside the variant's own accepted run, else the reference."""
    # beside itself the reference says nothing
    alone = len(tradeoff.profiles) == 1
    profiles = charted(tradeoff, reference=alone or _own(tradeoff.profile(tradeoff.reference)))
    figures = []
    for i, profile in enumerate(profiles):
        own = _own(profile)
        figures.append(
            _figure(
                profile,
                _bars(profile.capabilities),
                ident=f"{ident}-bars{i}",
                title=f"{profile.variant}: {tradeoff.quality} by capability",
                description=_told(profile),
                note=f"beside {'its own accepted run' if own else tradeoff.reference}",
            )
        )
    return section(
        f"{ident}-bars",
        "Capabilities against the baseline",
        el(
            "p",
            f"Bars: {tradeoff.quality} in this run, with its 95% interval. The upright line: the "
            "variant's own accepted run, or the reference where it has none. In brackets the "
            "difference; ▼ and red where the whole interval is below the line. ",
            _bounded(tradeoff, profiles),
            class_="aside",
        ),
        el("div", figures, class_="multiples"),
        details("The numbers: every variant and capability", _numbers(tradeoff)),
    )


def forgetting(tradeoff: TradeOff, ident: str) -> Html | None:
    """Drops against the reference; the lost capabilities are named."""
    others = charted(tradeoff, reference=False)
    if not others:
        return None
    lost = {p.variant: [c.name for c in p.capabilities if c.forgotten] for p in tradeoff.profiles}
    said = [
        el("li", el("strong", name), f" has lost {both(names)}")
        for name, names in lost.items()
        if names
    ]
    judged = any(c.in_scope is not None for p in tradeoff.profiles for c in p.capabilities)
    if said:
        summary: Content = [
            el("p", el("strong", "✕ Lost beyond chance:")),
            el("ul", said, class_="lost"),
        ]
    elif judged:
        summary = el("p", "✓ No variant has lost a capability beyond chance.")
    else:
        summary = el("p", "Forgetting was not judged: the reference has no second run.")
    ends = [v for p in others for c in p.capabilities for v in (c.drop.low, c.drop.high)]
    reach = (min([0.0, *ends]), max([0.1, *ends]))
    figures = [
        _figure(
            profile,
            _drops(profile.capabilities, reach),
            ident=f"{ident}-drops{i}",
            title=f"{profile.variant}: what it scores less than {tradeoff.reference}",
            description=_told_drops(profile),
        )
        for i, profile in enumerate(others)
    ]
    hollow = any(c.in_scope is False for p in others for c in p.capabilities)
    return section(
        f"{ident}-forgetting",
        "What was forgotten",
        summary,
        el(
            "p",
            f"How much less than {tradeoff.reference} each scores, with the 95% interval: right of "
            "the upright line is worse. ✕ marks what is lost beyond chance. ",
            f"Hollow: what {tradeoff.reference} cannot do beyond chance, so that it cannot be "
            "forgotten. "
            if hollow
            else None,
            "The numbers are in the table of the part before.",
            class_="aside",
        ),
        el("div", figures, class_="multiples"),
    )


def _bounded(tradeoff: TradeOff, profiles: Sequence[Profile]) -> str:
    total = len(tradeoff.profiles)
    left = {p.variant for p in tradeoff.profiles} - {p.variant for p in profiles}
    if left <= {tradeoff.reference}:
        return "From the largest fall to the largest rise."
    return (
        f"Charts show {len(profiles)} of {total} variants: the recommended, those that lost a "
        "capability, the blocked, then the first declared; the table below and the heat map have "
        "all."
    )


def _figure(
    profile: Profile, draw: Any, *, ident: str, title: str, description: str, note: str = ""
) -> Html:
    height = _TOP + _FOOT + _ROW * len(profile.capabilities)
    drawing = charts.svg(
        draw,
        ident=ident,
        title=title,
        description=description,
        width=charts.NARROW,
        height=height,
    )
    heading = el("h4", profile.variant, el("small", note) if note else None)
    return el("figure", heading, drawing, class_="multiple")


def _own(profile: Profile) -> bool:
    return any(c.baseline is not None for c in profile.capabilities)


def _told(profile: Profile) -> str:
    if not profile.capabilities:
        return "No capability."
    best = max(profile.capabilities, key=lambda c: c.mean.value)
    worst = min(profile.capabilities, key=lambda c: c.mean.value)
    return (
        f"{len(profile.capabilities)} capabilities, from {worst.name} {score(worst.mean.value)} to "
        f"{best.name} {score(best.mean.value)}."
    )


def _told_drops(profile: Profile) -> str:
    lost = [c.name for c in profile.capabilities if c.forgotten]
    most = max(profile.capabilities, key=lambda c: c.drop.value, default=None)
    if most is None:
        return "No capability."
    ending = f" Lost: {both(lost)}." if lost else " None is lost beyond chance."
    return f"Largest drop: {most.name} {signed(most.drop.value, 3)}.{ending}"


def _against(figures: CapabilityFigures) -> float:
    return figures.reference if figures.baseline is None else figures.baseline


def _axes(figure: Any, names: Sequence[str], reach: tuple[float, float]) -> Any:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    width, height = charts.NARROW, figure.get_size_inches()[1] * 72
    shown = [charts.shortened(name, 22) for name in names]
    left = 14 + 6.3 * max(map(len, shown), default=0)
    axes = figure.add_axes(
        (
            left / width,
            _FOOT / height,
            (width - left - _VALUES) / width,
            (height - _FOOT - _TOP) / height,
        )
    )
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(*reach)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: number(v).replace("-", MINUS)))
    axes.tick_params(length=0, pad=4)
    axes.grid(True, axis="x")
    for i, name in enumerate(shown):
        axes.text(
            -0.03,
            i,
            name,
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="center_baseline",
            fontsize=11.5,
        )
    return axes


def _bars(capabilities: Sequence[CapabilityFigures]) -> Any:
    rows = sorted(capabilities, key=lambda c: (c.mean.value - _against(c), c.name))

    def draw(figure: Any) -> None:
        axes = _axes(figure, [c.name for c in rows], (0.0, 1.0))
        at = range(len(rows))
        fell = [c.mean.high < _against(c) for c in rows]
        axes.barh(
            at,
            [c.mean.value for c in rows],
            height=0.62,
            color=[charts.colour("bad" if f else "accent") for f in fell],
            alpha=0.55,
            zorder=2,
        )
        axes.hlines(
            at,
            [c.mean.low for c in rows],
            [c.mean.high for c in rows],
            color=charts.colour("ink"),
            linewidth=1.0,
            alpha=0.7,
            zorder=3,
        )
        axes.vlines(
            [_against(c) for c in rows],
            [i - 0.42 for i in at],
            [i + 0.42 for i in at],
            color=charts.colour("ink"),
            linewidth=2.2,
            zorder=4,
        )
        for i, c in enumerate(rows):
            text = f"{c.mean.value:.2f} ({signed(c.mean.value - _against(c))})"
            axes.text(
                1.04,
                i,
                f"{text} ▼" if fell[i] else text,
                transform=axes.get_yaxis_transform(),
                ha="left",
                va="center_baseline",
                fontsize=11,
                color=charts.colour("bad" if fell[i] else "soft"),
            )

    return draw


def _drops(capabilities: Sequence[CapabilityFigures], reach: tuple[float, float]) -> Any:
    rows = sorted(capabilities, key=lambda c: (-c.drop.value, c.name))

    def draw(figure: Any) -> None:
        axes = _axes(figure, [c.name for c in rows], reach)
        axes.axvline(0.0, color=charts.colour("soft"), linewidth=1.2, zorder=1)
        for style, chosen in (
            ("lost", [i for i, c in enumerate(rows) if c.forgotten]),
            (
                "kept",
                [i for i, c in enumerate(rows) if not c.forgotten and c.in_scope is not False],
            ),
            ("outside", [i for i, c in enumerate(rows) if not c.forgotten and c.in_scope is False]),
        ):
            if not chosen:
                continue
            colour = charts.colour("bad" if style == "lost" else "accent")
            axes.hlines(
                chosen,
                [rows[i].drop.low for i in chosen],
                [rows[i].drop.high for i in chosen],
                color=colour,
                linewidth=1.6,
                zorder=2,
            )
            axes.plot(
                [rows[i].drop.value for i in chosen],
                chosen,
                linestyle="none",
                marker="X" if style == "lost" else "o",
                markersize=8 if style == "lost" else 6,
                markerfacecolor=charts.colour("paper") if style == "outside" else colour,
                markeredgecolor=colour,
                zorder=3,
            )
        for i, c in enumerate(rows):
            text = f"{signed(c.drop.value)}{' lost' if c.forgotten else ''}"
            axes.text(
                1.04,
                i,
                text,
                transform=axes.get_yaxis_transform(),
                ha="left",
                va="center_baseline",
                fontsize=11,
                fontweight="bold" if c.forgotten else "normal",
                color=charts.colour("bad" if c.forgotten else "soft"),
            )

    return draw


def _numbers(tradeoff: TradeOff) -> Html:
    rows: list[list[Cell | Content]] = []
    for profile in tradeoff.profiles:
        for c in profile.capabilities:
            state = (
                "lost"
                if c.forgotten
                else {True: "kept", False: "not in scope", None: "not judged"}[c.in_scope]
            )
            rows.append(
                [
                    profile.variant,
                    c.name,
                    Cell(str(c.n), sort=c.n),
                    score(c.mean.value),
                    f"{score(c.mean.low)} to {score(c.mean.high)}",
                    MISSING if c.baseline is None else score(c.baseline),
                    score(c.reference),
                    Cell(signed(c.drop.value, 3), sort=c.drop.value),
                    f"{signed(c.drop.low, 3)} to {signed(c.drop.high, 3)}",
                    state,
                ]
            )
        rows += [
            [
                profile.variant,
                [f"index {name}", el("small", measured.OF_THE_INDEX)],
                MISSING,
                Cell(score(value), sort=value),
                *[MISSING] * 6,
            ]
            for name, value in measured.of_index(profile.metrics).items()
        ]
    head: list[Content] = [
        "variant",
        "capability",
        "n",
        tradeoff.quality,
        "95% interval",
        "own accepted run",
        tradeoff.reference,
        "drop",
        "95% interval",
        "forgetting",
    ]
    return table(
        f"{tradeoff.quality.capitalize()} by variant and capability, beside the accepted run and "
        f"{tradeoff.reference}",
        head,
        rows,
        left={0, 1, 9},
        style="sortable",
    )
