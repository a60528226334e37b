"""Flipped replies beside what their samples show: as a part of a page, and as a page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from pytest_modellab.judging.comparison import Comparison, Flip
from pytest_modellab.reports.page.markup import (
    Content,
    Html,
    breakable,
    details,
    document,
    el,
    section,
)
from pytest_modellab.reports.page.shown import Gallery
from pytest_modellab.reports.text.flipped import column_names, flip_count, flip_scores
from pytest_modellab.reports.text.table import sentence
from pytest_modellab.reports.words import number, plural
from pytest_modellab.tradeoff.figures import TradeOff
from pytest_modellab.visible import shortened

OPEN = 6
"""Flipped samples of a variant that are seen at once; more are folded."""


MOST = 24
"""Flipped samples of a variant on a page."""


ATTACHED = 600_000
"""Bytes of the media of one comparison's page: a report may hold one for each blocked test."""


_REPLY = 400  # characters


def section_of(tradeoff: TradeOff, ident: str, gallery: Gallery) -> Html | None:
    """What each variant answers otherwise than the reference, with what was shown; None without.

    Args:
        tradeoff: the report.
        ident: begins the ids of the part.
        gallery: the page's.
    """
    if not tradeoff.flips:
        return None
    parts = []
    for variant, flips in tradeoff.flips.items():
        lost = sum(flip.lost for flip in flips)
        told = f"{plural(len(flips), 'flipped sample')}, {lost} worse, {len(flips) - lost} better"
        cards = [
            _card(flip, f"{number(flip.before)} -> {_after(flip)}", tradeoff.reference, variant,
                  gallery)
            for flip in flips[:MOST]
        ]  # fmt: skip
        parts += [el("h4", variant, el("small", told)), *_folded(cards), _more(flips)]
    return section(
        f"{ident}-flipped",
        "Flipped samples and what they show",
        el("p", f"Beside {tradeoff.reference}: those that got worse first.", class_="aside"),
        parts,
        gallery.note(),
    )


def render(comparison: Comparison) -> str:
    """Render a page of one comparison's flipped samples that show something.

    Args:
        comparison: any.

    Returns:
        HTML that refers to nothing outside of it.
    """
    gallery = Gallery(size=ATTACHED)
    flips = [flip for flip in comparison.flips if flip.media]
    before, after = column_names(comparison)
    cards = [
        _card(flip, flip_scores(comparison, flip), before, after, gallery) for flip in flips[:MOST]
    ]
    name = f"{comparison.candidate} against {comparison.against}"
    return document(
        f"Flipped samples: {name}",
        _asset("page.css") + css(),
        el("header", el("h1", "Flipped samples: ", name), class_="top"),
        el(
            "main",
            [el("p", str(one), class_="warning unlike") for one in comparison.preprocessing],
            el("p", sentence(comparison)),
            el("p", flip_count(comparison, 0), ".", class_="aside"),
            _list(cards),
            _more(flips),
            gallery.note(),
        ),
    )


def css() -> str:
    """The rules that a page with flipped samples needs beside those of every page."""
    return _asset("flipped.css")


def _folded(cards: Sequence[Html]) -> list[Html]:
    seen, rest = cards[:OPEN], cards[OPEN:]
    return [_list(seen), *([details(f"{len(rest)} more", _list(rest))] if rest else [])]


def _list(cards: Sequence[Html]) -> Html:
    return el("ul", cards, class_="flips")


def _more(flips: Sequence[Flip]) -> Html | None:
    if len(flips) <= MOST:
        return None
    return el("p", f"and {len(flips) - MOST} more flipped samples", class_="aside")


def _card(flip: Flip, scores: str, before: str, after: str, gallery: Gallery) -> Html:
    """A flipped sample: what it shows, and what both said of it."""
    said = [
        ("asked", flip.asked),
        ("expected", flip.expected),
        (before, flip.before_output.strip() or "(empty)"),
        (after, flip.after_output.strip() or "(empty)"),
    ]
    rows = [
        [el("dt", breakable(name)), el("dd", _lines(shortened(text, _REPLY)))]
        for name, text in said
        if text
    ]
    mark = "▼" if flip.lost else "▲"
    named = el(
        "div",
        el("p", el("strong", flip.id), el("small", flip.bucket)),
        el(
            "p",
            f"{mark} {scores.replace('->', '→')}",
            class_="loss" if flip.lost else "gain",
        ),
    )
    return el("li", el("div", gallery.show(flip.id, flip.media), named), el("dl", rows))


def _lines(text: str) -> list[Content]:
    """A text with its line ends, which would be made visible."""
    found: list[Content] = []
    for i, line in enumerate(text.splitlines()):
        found += [el("br"), line] if i else [line]
    return found


def _after(flip: Flip) -> str:
    return "none" if flip.after is None else number(flip.after)


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
