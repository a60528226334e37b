"""What to ship: a card a scenario, and the strategies against the scenarios."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_modellab.reports.page import reasons
from pytest_modellab.reports.page.markup import Cell, Content, Html, details, el, scroll, section
from pytest_modellab.reports.page.markup import table as table_of
from pytest_modellab.reports.page.words import (
    blocked,
    limit_rule,
    measured,
    metric_value,
    miss,
    named,
    requests,
    share,
    signed,
    tied,
    unsettled,
)
from pytest_modellab.reports.words import both, listed
from pytest_modellab.tradeoff.decision import NONE, Choice, Miss
from pytest_modellab.tradeoff.figures import TradeOff

VERDICTS = {
    "choose": ("✓", "choose"),
    "tie": ("≈", "tie"),
    "none": ("✕", "none meets the limits"),
}


SHOWN = 5
"""How many shares a card draws."""


NAMED = 8
"""How many blocked variants are named at once."""


def recommendation(tradeoff: TradeOff, ident: str) -> Html:
    """A card for each scenario, the verdict first."""
    cards = [_card(tradeoff, choice, f"{ident}-c{i}") for i, choice in enumerate(tradeoff.choices)]
    return section(
        f"{ident}-verdict",
        "Recommendation",
        el("p", reasons.headline(tradeoff), class_="headline"),
        el("div", cards, class_="cards") if cards else None,
        _warnings(tradeoff),
        el(
            "p",
            f"A step is what ten points of {tradeoff.quality} or risk are worth, or a factor of "
            "two in cost, latency or memory. A scenario weighs the steps over the reference; its "
            "limits come first.",
            class_="aside",
        )
        if cards
        else None,
    )


def unlike(tradeoff: TradeOff) -> Html | None:
    """The variants whose media are not prepared as another's: it may be why they differ."""
    said = [
        el("li", el("strong", profile.variant), f": {one}")
        for profile in tradeoff.profiles
        for one in profile.preprocessing
    ]
    return el("ul", said, class_="warning unlike") if said else None


def _warnings(tradeoff: TradeOff) -> Html | None:
    """The variants that the gate blocks: none of them should be shipped unseen."""
    found = blocked(tradeoff)
    if not found:
        return None
    said = listed((f"{name} (in {both(what)})" for name, what in found.items()), NAMED)
    return el(
        "p",
        el("strong", f"✕ Worse than {tradeoff.reference} beyond chance: "),
        f"{said}.",
        class_="warning",
    )


def _card(tradeoff: TradeOff, choice: Choice, ident: str) -> Html:
    scenario = choice.scenario
    mark, word = VERDICTS[choice.verdict]
    names = tied(choice.variants) if choice.verdict == "tie" else choice.variants[0]
    shown: Content = names if choice.verdict != "none" else f"nearest: {names}"
    found = blocked(tradeoff)
    alarms = [
        f"{name} is worse than {tradeoff.reference} beyond chance in {both(found[name])}."
        for name in choice.variants
        if name in found
    ]
    return el(
        "article",
        el("h4", scenario.title, el("code", scenario.name, class_="slug"), id=ident),
        el(
            "p",
            el("span", f"{mark} {word}", class_=f"badge {choice.verdict}"),
            " ",
            el("strong", shown, class_="chosen"),
            class_="verdict",
        ),
        el("p", f"{reasons.probability(choice, tradeoff.resamples)}.", class_="sure"),
        _bars(choice),
        [el("p", f"✕ {alarm}", class_="alarm") for alarm in alarms],
        el("p", f"? {line}", class_="open") if (line := unsettled(tradeoff, choice)) else None,
        el("p", reasons.reason(tradeoff, choice)),
        _parts(tradeoff, choice),
        [el("p", line) for line in reasons.sensitivity(choice, tradeoff.quality)],
        el("p", f"? {line}", class_="open")
        if (line := reasons.unapplied(choice, tradeoff.quality))
        else None,
        _asked(choice, tradeoff.quality),
        class_=f"card {choice.verdict}",
        aria_labelledby=ident,
    )


def _bars(choice: Choice) -> Html:
    """The shares as bars, the largest first; the sentence above says the same."""
    ranked = sorted(choice.shares, key=lambda k: (-choice.shares[k], k))
    rows = []
    for name in [k for k in ranked if choice.shares[k] > 0.0][:SHOWN]:
        value = choice.shares[name]
        rows.append(
            el(
                "li",
                el("span", name if name != NONE else "none meets the limits", class_="who"),
                el(
                    "span",
                    el(
                        "span",
                        style=f"width:{value:.1%}",
                        class_="lead" if name in choice.variants else None,
                    ),
                    class_="track",
                    aria_hidden="true",
                ),
                el("span", share(value), class_="num"),
            )
        )
    return el("ul", rows, class_="shares", aria_label="Share of the resamples in which it is best")


def _parts(tradeoff: TradeOff, choice: Choice) -> Html | None:
    """The weighted steps of the variant that explains the choice, one row a metric."""
    name = reasons.explained(choice, tradeoff.reference)
    if name is None:
        return None
    parts = choice.steps[name]
    rows: list[list[Cell | Content]] = []
    for metric, value in sorted(parts.items(), key=lambda pair: -abs(pair[1])):
        if metric == "total":
            continue
        before, after = (
            metric_value(metric, measured(tradeoff.profile(n), metric, choice.scenario.volume))
            for n in (tradeoff.reference, name)
        )
        rows.append([named(metric, tradeoff.quality), before, after, _step(value)])
    if not rows:
        return None
    rows.append([el("strong", "together"), "", "", _step(parts["total"])])
    return table_of(
        f"Weighted steps of {name} over {tradeoff.reference}: more is better",
        ["", tradeoff.reference, name, "steps"],
        rows,
        style="parts",
    )


def _step(value: float) -> Cell:
    style = "gain" if value >= reasons.FELT else "loss" if value <= -reasons.FELT else ""
    return Cell(signed(value), sort=value, style=style)


def _asked(choice: Choice, quality: str) -> Html:
    scenario = choice.scenario
    limits = [limit_rule(k, v, quality) for k, v in scenario.limits.items()]
    kept_out = [
        el("li", f"{name}: {'; '.join(miss(m, quality) for m in missed)} ({_sure_miss(missed)})")
        for name, missed in choice.misses.items()
        if missed
    ]
    return details(
        "What this scenario asks",
        el("p", f"Weights: {reasons.weights(choice, quality)}."),
        el("p", f"Limits: {'; '.join(limits)}." if limits else "Limits: none."),
        el("p", f"Training is paid by {requests(scenario.volume)} requests."),
        [el("p", "Kept out by the limits:"), el("ul", kept_out)] if kept_out else None,
    )


def _sure_miss(missed: Sequence[Miss]) -> str:
    return f"missed in {share(max(m.share for m in missed))} of the resamples"


# --- strategies -----------------------------------------------------------------------------------


def matrix(tradeoff: TradeOff, ident: str) -> Html | None:
    """In each cell a strategy's best variant, how often it is the best, or what keeps it out."""
    if not tradeoff.choices:
        return None
    head = el(
        "tr",
        el("th", "strategy", scope="col"),
        [el("th", c.scenario.title, scope="col") for c in tradeoff.choices],
    )
    rows = []
    for strategy in tradeoff.strategies:
        members = [p.variant for p in tradeoff.profiles if p.strategy == strategy]
        cells = [_cell(choice, members, tradeoff.quality) for choice in tradeoff.choices]
        rows.append(el("tr", el("th", strategy, scope="row"), cells))
    caption = "Each strategy's best variant in each scenario, and how often it is the best of all"
    return section(
        f"{ident}-matrix",
        "Strategies and scenarios",
        scroll(
            caption,
            el(
                "table",
                el("caption", caption),
                el("thead", head),
                el("tbody", rows),
                class_="matrix",
            ),
        ),
    )


def best_of(choice: Choice, members: list[str]) -> str:
    """A strategy's best variant: one that meets the limits before the others, then by share."""
    return max(
        members,
        key=lambda name: (
            not choice.misses.get(name),
            choice.shares.get(name, 0.0),
            choice.steps[name].get("total", 0.0),
            name,
        ),
    )


def _cell(choice: Choice, members: list[str], quality: str) -> Html:
    name = best_of(choice, members)
    missed = choice.misses.get(name, ())
    total = signed(choice.steps[name].get("total", 0.0))
    if missed:
        said = "; ".join(miss(m, quality) for m in missed)
        nearest = "nearest miss, " if name in choice.variants else ""
        return el(
            "td",
            el("span", name, class_="who"),
            el("small", f"✕ {nearest}out: {said}"),
            class_="out",
        )
    picked = name in choice.variants
    mark, word = VERDICTS[choice.verdict]
    return el(
        "td",
        el("span", name, class_="who"),
        el("span", f"{mark} {word}", class_=f"badge {choice.verdict}") if picked else None,
        el("small", f"best in {share(choice.shares.get(name, 0.0))}, {total} steps"),
        class_="picked" if picked else None,
    )
