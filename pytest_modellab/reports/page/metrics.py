"""What was measured beside success: further metrics, and what a search takes."""

from __future__ import annotations

from pytest_modellab.reports import measured
from pytest_modellab.reports.page.markup import Html, el, section, table
from pytest_modellab.tradeoff.figures import TradeOff


def metrics(tradeoff: TradeOff, ident: str) -> Html | None:
    """Every metric and figure of the variants, and what their indexes cost; None without any."""
    head, rows = measured.table((p.variant, p) for p in tradeoff.profiles)
    if not rows:
        return None
    told = [(p.variant, measured.index_words(p)) for p in tradeoff.profiles]
    lines = [
        el("li", el("strong", name), f": {words}") for name, words in told if words is not None
    ]
    return section(
        f"{ident}-metrics",
        "Metrics and search",
        table("Further metrics of each variant", head, rows, style="sortable"),
        [
            el("p", "Of an approximate index, not of the model that it is built with:"),
            el("ul", lines),
        ]
        if lines
        else None,
    )
