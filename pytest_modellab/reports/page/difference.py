"""Two runs side by side as a page of its own: complete without its script, which only filters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources

from pytest_modellab.judging.difference import Difference, Pair
from pytest_modellab.judging.scores import expected
from pytest_modellab.records.runs import SampleResult
from pytest_modellab.reports import replies
from pytest_modellab.reports.page.markup import Content, Html, breakable, document, el
from pytest_modellab.reports.page.shown import Gallery
from pytest_modellab.reports.text.difference import ASKED, MARKS, asked, head, scored
from pytest_modellab.visible import shortened

BYTES = 10_000_000
"""Of a page's samples, at most about: some thousand of them, and far fewer with hostile replies."""


_SURE = {
    "clear": "it moved by 20 points or more",
    "close": "it moved by less: a close call",
    "unknown": "not known",
}


def render(found: Difference, pairs: Sequence[Pair]) -> str:
    """Render samples of two runs side by side.

    Args:
        found: the runs.
        pairs: what is shown of them, in order; what :data:`BYTES` do not hold is left out and
            counted.

    Returns:
        HTML that refers to nothing outside of it.
    """
    gallery, cards, size = Gallery(), list[Html](), 0
    for pair in pairs:
        card = _card(pair, found, gallery)
        size += len(card)
        if cards and size > BYTES:
            break
        cards.append(card)
    shown = pairs[: len(cards)]
    left = _left_out(len(shown), len(pairs), len(found.pairs))
    return document(
        f"{found.before.variant} and {found.after.variant} on {found.task_set}",
        _asset("page.css") + _asset("difference.css"),
        el("header", el("h1", "Two runs side by side"), class_="top"),
        el(
            "main",
            el("ul", [el("li", line) for line in (*head(found), *left)], class_="which"),
            _filters(shown),
            el("ul", cards, class_="pairs"),
            el("p", "No sample moved like that.") if not shown else None,
            gallery.note(),
        ),
        el("script", Html(_asset("difference.js"))),
    )


def _left_out(shown: int, chosen: int, all_: int) -> list[str]:
    """Say how many samples the page has where it has not all of them."""
    if shown < chosen:
        return [
            f"note: {shown} of the {chosen} samples that were chosen are on this page, which holds "
            f"{BYTES // 10**6} MB; choose fewer: --flipped, --capability or --sample"
        ]
    if chosen < all_:
        return [f"{chosen} of {all_} samples are on this page: those that were chosen"]
    return []


def _filters(pairs: Sequence[Pair]) -> Html:
    """What the script filters by; hidden without it."""
    capabilities = sorted({pair.sample.capability for pair in pairs})
    moved = {pair.moved for pair in pairs}
    sure = {pair.sure for pair in pairs}
    return el(
        "form",
        _select("capability", "Capability", [(name, name) for name in capabilities]),
        _select("moved", "Score", [(one, f"{MARKS[one]} {one}") for one in MARKS if one in moved]),
        _select(
            "sure",
            "Probability of the right option",
            [(one, words) for one, words in _SURE.items() if one in sure],
        ),
        el("output", f"{len(pairs)} samples"),
        class_="filters",
        hidden=True,
    )


def _select(name: str, label: str, choices: Iterable[tuple[str, str]]) -> Html:
    options = [el("option", "all", value="")]
    options += [el("option", words, value=value) for value, words in choices]
    return el("label", label, el("select", options, name=name))


def _card(pair: Pair, found: Difference, gallery: Gallery) -> Html:
    sample = pair.sample
    first, second = replies.marked(pair.before.output, pair.after.output)
    right = expected(sample)
    return el(
        "li",
        el(
            "h2",
            el("span", f"{MARKS[pair.moved]} {pair.moved} ", class_=f"{pair.moved}-word"),
            sample.id,
            el("small", sample.bucket),
        ),
        gallery.show(sample.id, sample.media) if sample.media else None,
        el("p", el("span", "asked ", class_="name"), _lines(shortened(asked(sample), ASKED)),
           class_="task"),
        el("p", el("span", "expected ", class_="name"), _lines(shortened(right, ASKED)),
           class_="task") if right else None,
        el(
            "div",
            _side(found.before.name, pair.before, first, "del"),
            _side(found.after.name, pair.after, second, "ins"),
            class_="sides",
        ),
        class_=pair.moved,
        data_capability=sample.capability,
        data_moved=pair.moved,
        data_sure=pair.sure,
    )  # fmt: skip


def _side(name: str, result: SampleResult, pieces: Sequence[replies.Piece], mark: str) -> Html:
    said: list[Content] = [
        el(mark, _lines(piece.text)) if piece.changed else _lines(piece.text) for piece in pieces
    ]
    if not result.output.strip():
        said = ["(empty)"]
    return el(
        "div",
        el("p", breakable(name), ": ", scored(result), class_="name"),
        el("p", said, class_="said"),
    )


def _lines(text: str) -> list[Content]:
    """A text with its line ends, which would be made visible."""
    found: list[Content] = []
    for i, line in enumerate(text.split("\n")):
        found += [el("br"), line] if i else [line]
    return found


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
