"""What the script works on: the figures as JSON, and an empty place for its controls."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from importlib import resources

from pytest_modellab.reports.page.markup import Html, el, section
from pytest_modellab.tradeoff import decision, figures
from pytest_modellab.tradeoff.figures import TradeOff


def data(tradeoffs: Sequence[TradeOff]) -> Html:
    """The figures of every task set; nothing in them can end the element."""
    told = [dataclasses.replace(tradeoff, flips={}) for tradeoff in tradeoffs]
    text = json.dumps([figures.to_dict(t) for t in told], separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return el(
        "script",
        Html(text),
        type="application/json",
        id="modellab-data",
        data_step=decision.STEP,
        data_sure=decision.SURE,
        data_contends=decision.CONTENDS,
        data_spread=decision.SPREAD,
        data_ratio=decision.LEAST_RATIO,
    )


def script() -> Html:
    """The script: its files one after another, in a scope of their own."""
    folder = resources.files(__package__).joinpath("script")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".js"))
    code = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    return el("script", Html(f'"use strict";\n(() => {{\n{code}}})();\n'))


def explorer(ident: str) -> Html:
    """Where the script builds its controls."""
    return section(
        f"{ident}-explore",
        "Weigh it yourself",
        el("p", "The controls of this part need a script.", class_="without-script"),
        el("div", class_="explore"),
    )
