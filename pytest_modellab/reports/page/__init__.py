"""The trade-off as one HTML page: which variant to ship, and why.

The page is complete without scripts, since Allure 3 runs none: tabs are radio buttons, charts are
inline SVG, long tables are folded. It asks nothing of the network. With ``interactive`` a script
adds what only a script can: sorting, free axes, and scenarios weighed anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources

from pytest_modellab.records.diagnosis import Diagnosis
from pytest_modellab.reports import measured
from pytest_modellab.reports.page import (
    capabilities,
    diagnosis,
    embedded,
    evidence,
    flipped,
    heat,
    history,
    metrics,
    scatter,
    variants,
    verdict,
)
from pytest_modellab.reports.page.markup import Content, Html, document, el, section
from pytest_modellab.reports.page.shown import Gallery
from pytest_modellab.reports.words import plural
from pytest_modellab.tradeoff.figures import SUCCESS, TradeOff

_PARTS = (
    ("verdict", "recommendation"),
    ("matrix", "strategies"),
    ("variants", "variants"),
    ("metrics", "metrics"),
    ("scatter", f"{SUCCESS} and cost"),
    ("explore", "weigh it yourself"),
    ("heat", "heat map"),
    ("bars", "capabilities"),
    ("forgetting", "forgetting"),
    ("flipped", "flipped samples"),
    ("history", "history"),
    ("risk", "risk"),
    ("deltas", "verdicts"),
    ("why", "why it is worse"),
    ("money", "cost in full"),
    ("method", "method"),
)


def render(
    tradeoffs: Sequence[TradeOff],
    *,
    interactive: bool = False,
    diagnoses: Mapping[str, Diagnosis] | None = None,
) -> str:
    """Render the page.

    Args:
        tradeoffs: one a task set.
        interactive: whether to add the script and the figures that it reads.
        diagnoses: of variants that were blocked, by variant.

    Returns:
        HTML that refers to nothing outside of it.

    Raises:
        ModellabError: matplotlib is not installed.
    """
    names = ", ".join(dict.fromkeys(t.task_set.get("name", "") for t in tradeoffs))
    gallery = Gallery()
    body = [
        _section(tradeoff, f"t{i}", diagnoses or {}, gallery, interactive=interactive)
        for i, tradeoff in enumerate(tradeoffs)
    ]
    shown = flipped.css() if any(tradeoff.flips for tradeoff in tradeoffs) else ""
    return document(
        f"Which variant to ship: {names}" if names else "Which variant to ship",
        _asset("page.css") + shown + (diagnosis.css() if diagnoses else ""),
        el("header", el("h1", "Which variant to ship"), _contents(tradeoffs), class_="top"),
        el("main", body or el("p", "Nothing was compared.")),
        embedded.data(tradeoffs) if interactive else None,
        embedded.script() if interactive else None,
    )


def _section(
    tradeoff: TradeOff,
    ident: str,
    diagnoses: Mapping[str, Diagnosis],
    gallery: Gallery,
    *,
    interactive: bool,
) -> Html:
    parts: list[tuple[str, Html | None]] = [
        ("verdict", verdict.recommendation(tradeoff, ident)),
        ("matrix", verdict.matrix(tradeoff, ident)),
        ("variants", variants.overview(tradeoff, ident)),
        ("metrics", metrics.metrics(tradeoff, ident)),
        ("scatter", scatter.scatter(tradeoff, ident)),
        ("explore", embedded.explorer(ident) if interactive else None),
        ("heat", heat.heat(tradeoff, ident)),
        ("bars", capabilities.bars(tradeoff, ident)),
        ("forgetting", capabilities.forgetting(tradeoff, ident)),
        ("flipped", flipped.section_of(tradeoff, ident, gallery)),
        ("history", history.history(tradeoff, ident)),
        ("risk", evidence.risks(tradeoff, ident)),
        ("deltas", evidence.deltas(tradeoff, ident)),
        ("why", _why(tradeoff, ident, diagnoses)),
        ("money", evidence.money(tradeoff, ident)),
        ("method", evidence.method(tradeoff, ident)),
    ]
    there = {name for name, part in parts if part is not None}
    links = [
        el("li", el("a", label.replace(SUCCESS, tradeoff.quality), href=f"#{ident}-{name}"))
        for name, label in _PARTS
        if name in there
    ]
    # the verdict first, the way to the rest after it
    first, *rest = [part for _, part in parts if part is not None]
    task_set = tradeoff.task_set
    return el(
        "section",
        el("h2", task_set.get("name", ""), id=f"{ident}-top"),
        el("p", _asked(tradeoff), class_="lede"),
        verdict.unlike(tradeoff),
        first,
        el("nav", el("ul", links[1:]), class_="within", aria_label="On this task set"),
        rest,
        class_="tradeoff",
        id=ident,
        aria_labelledby=f"{ident}-top",
    )


def _why(tradeoff: TradeOff, ident: str, diagnoses: Mapping[str, Diagnosis]) -> Html | None:
    """What is broken in the variants that were diagnosed."""
    here = {profile.variant for profile in tradeoff.profiles}
    found = [
        diagnosis.section(one, f"{ident}-why-{i}")
        for i, (name, one) in enumerate(diagnoses.items())
        if name in here
    ]
    return section(f"{ident}-why", "Why it is worse", found) if found else None


def _asked(tradeoff: TradeOff) -> str:
    samples = max((p.n for p in tradeoff.profiles), default=0)
    count = len(tradeoff.profiles)
    ranked = all(measured.ranks(profile) for profile in tradeoff.profiles)
    did, what = ("ranked documents for", "queries") if ranked else ("answered", "samples")
    told = f", compared by {tradeoff.metric}" if tradeoff.metric else ""
    return (
        f"{plural(count, 'variant')} {did} the same {samples:,} {what} of version "
        f"{tradeoff.task_set.get('version', '')} of this task set{told}. Reference: "
        f"{tradeoff.reference}. Recorded on {tradeoff.recorded}."
    )


def _contents(tradeoffs: Sequence[TradeOff]) -> Content:
    if len(tradeoffs) < 2:
        return None
    links = [
        el("li", el("a", t.task_set.get("name", ""), href=f"#t{i}-top"))
        for i, t in enumerate(tradeoffs)
    ]
    return el("nav", el("ul", links), aria_label="Task sets")


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
