"""All variants side by side, one row each."""

from __future__ import annotations

from pytest_modellab.reports import measured
from pytest_modellab.reports.page.charts import GLYPHS, SERIES
from pytest_modellab.reports.page.markup import Cell, Content, Html, breakable, el, section, table
from pytest_modellab.reports.page.words import (
    MARKS,
    MISSING,
    dollars,
    interval,
    percent,
    recommended,
    score,
    seconds,
    size,
)
from pytest_modellab.reports.words import number
from pytest_modellab.tradeoff.figures import Delta, Estimate, Profile, TradeOff

LEVEL_MARKS = {"low": "○", "medium": "◐", "high": "●"}


def overview(tradeoff: TradeOff, ident: str) -> Html:
    """The table of variants."""
    chosen = recommended(tradeoff)
    head: list[Content] = [
        "variant",
        measured.success_title(((p, p.success.value) for p in tradeoff.profiles), tradeoff.metric),
        "cost of 1,000 requests",
        "latency p50 (p95)",
        "memory",
        "worst bucket",
        "risk",
        "churn",
        "against the reference",
    ]
    rows = [_row(tradeoff, profile, chosen) for profile in tradeoff.profiles]
    legend = el(
        "p",
        "Small figures are 95% intervals. ★ recommended in some scenario; ◇ on the Pareto front: "
        "no other variant is as good in everything and better in something. Verdicts: ✓ pass, "
        "✕ block, ? inconclusive, – not judged.",
        class_="aside",
    )
    caption = "Every variant: what it gets right, what it costs, how it compares"
    return section(
        f"{ident}-variants",
        "Variants",
        table(caption, head, rows, left={0, 5, 8}, style="sortable variants"),
        legend,
    )


def strategy_mark(tradeoff: TradeOff, strategy: str) -> Html:
    """The glyph that stands for a strategy in the charts."""
    index = tradeoff.strategies.index(strategy) % SERIES
    return el("span", GLYPHS[index], class_=f"glyph g{index}", aria_hidden="true")


def _row(tradeoff: TradeOff, profile: Profile, chosen: tuple[str, ...]) -> list[Cell | Content]:
    latency, cost, memory = profile.latency, profile.cost, profile.memory
    marks = ("★" if profile.variant in chosen else "") + ("◇" if profile.pareto else "")
    # a strategy often says the kind: "lexical search" of lexical
    told = [] if profile.kind in profile.strategy.split() else [profile.kind]
    told = ["reference"] if profile.variant == tradeoff.reference else told
    name = [
        el("span", breakable(profile.variant), class_="who"),
        el("span", f" {marks}", class_="marks") if marks else None,
        el(
            "small",
            strategy_mark(tradeoff, profile.strategy),
            f" {', '.join([profile.strategy, *told])}",
        ),
    ]
    worst = profile.worst
    return [
        Cell(name),
        _estimated(score(profile.success.value), profile.success, "score"),
        Cell(MISSING)
        if cost is None
        else Cell(
            [
                dollars(cost.serving.value),
                el("small", interval(cost.serving, "dollars")),
                [
                    el("small", f"{dollars(each.value)} {what}")
                    for each, what in (
                        (cost.minute_of_audio, "a minute of audio"),
                        (cost.image, "an image"),
                    )
                    if each is not None
                ],
            ],
            sort=cost.serving.value,
        ),
        Cell(MISSING)
        if latency is None
        else Cell(
            [
                f"{seconds(latency.p50.value)} ({seconds(latency.p95.value)})",
                el("small", interval(latency.p50, "seconds")),
                None
                if latency.real_time_factor is None
                else el("small", f"real-time factor {number(latency.real_time_factor.value)}"),
            ],
            sort=latency.p50.value,
        ),
        Cell(MISSING) if memory is None else Cell(size(memory.held), sort=memory.held),
        Cell(
            [
                "▼ " if _under(tradeoff, worst.mean) else None,
                score(worst.mean),
                el("small", worst.name),
            ],
            sort=worst.mean,
            style="bad" if _under(tradeoff, worst.mean) else "",
        ),
        Cell(
            [
                f"{profile.risk.value.value:.2f}",
                el(
                    "small",
                    f"{LEVEL_MARKS[profile.risk.level]} {profile.risk.level}",
                    class_=f"level {profile.risk.level}",
                ),
            ],
            sort=profile.risk.value.value,
        ),
        Cell(MISSING)
        if profile.churn is None
        else Cell(percent(profile.churn), sort=profile.churn),
        _judged(tradeoff, profile),
    ]


def _under(tradeoff: TradeOff, value: float) -> bool:
    return tradeoff.floor is not None and value < tradeoff.floor


def _estimated(text: str, estimate: Estimate, form: str) -> Cell:
    return Cell([text, el("small", interval(estimate, form))], sort=estimate.value)


def _judged(tradeoff: TradeOff, profile: Profile) -> Cell:
    if profile.variant == tradeoff.reference:
        return Cell("reference")
    found = [d for d in tradeoff.deltas if d.variant == profile.variant]
    rank = {"block": 3.0, "inconclusive": 2.0, None: 1.0, "pass": 0.0}
    worst = max((rank[d.verdict] for d in found), default=0.0)
    # forgetting may be judged on several task sets: the worst of them stands here
    shown = {d.what: d for d in sorted(found, key=lambda d: rank[d.verdict])}
    badges = [_badge(shown[what]) for what in dict.fromkeys(d.what for d in found)]
    return Cell(badges or MISSING, sort=worst)


def _badge(delta: Delta) -> Html:
    mark = MARKS.get(delta.verdict or "", MISSING)
    said = delta.verdict or "not judged"
    return el(
        "span",
        f"{mark} {delta.what}",
        el("span", f" {said}", class_="unseen"),
        class_=f"judged {delta.verdict or 'open'}",
    )
