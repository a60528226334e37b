"""What the script works on: the figures as JSON, and an empty place for its controls."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pytest_modellab.reports.page.markup import Html, el, section
from pytest_modellab.tradeoff import figures
from pytest_modellab.tradeoff.figures import TradeOff


def data(tradeoffs: Sequence[TradeOff]) -> Html:
    """The figures of every task set; nothing in them can end the element."""
    text = json.dumps(
        [figures.to_dict(t) for t in tradeoffs], separators=(",", ":"), allow_nan=False
    )
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return el("script", Html(text), type="application/json", id="modellab-data")


def explorer(ident: str) -> Html:
    """Where the script builds its controls."""
    return section(
        f"{ident}-explore",
        "Weigh it yourself",
        el("noscript", el("p", "The controls of this part need a script.")),
        el("div", class_="explore"),
    )
