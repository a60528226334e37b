"""What was measured beside success: further metrics, and what a search and media take."""

from __future__ import annotations

from pytest_modellab.reports import measured
from pytest_modellab.reports.page.markup import Html, el, section, table
from pytest_modellab.tradeoff.figures import TradeOff

_METRICS = "Metrics of each variant"


_SEARCH = "What each variant's search takes and costs"


_MEDIA = "What recordings and images take and cost each variant"


def metrics(tradeoff: TradeOff, ident: str) -> Html | None:
    """Every metric and figure of the variants, and what their indexes cost; None without any."""
    model, search, media = measured.tables((p.variant, p) for p in tradeoff.profiles)
    shown = [
        table(caption, head, rows, style="sortable", show_caption=True)
        for caption, (head, rows) in (
            (_METRICS, model),
            (_SEARCH, search),
            (_MEDIA, media),
        )
        if rows
    ]
    if not shown:
        return None
    told = [(p.variant, measured.index_words(p)) for p in tradeoff.profiles]
    lines = [
        el("li", el("strong", name), f": {words}") for name, words in told if words is not None
    ]
    said = measured.meanings(name for p in tradeoff.profiles for name in p.metrics)
    return section(
        f"{ident}-metrics",
        "Metrics and search" if search[1] else "Metrics",
        shown,
        el("p", " ".join(said), class_="aside") if said else None,
        [
            el("p", "Of an approximate index, not of the model that it is built with:"),
            el("ul", lines),
        ]
        if lines
        else None,
    )
