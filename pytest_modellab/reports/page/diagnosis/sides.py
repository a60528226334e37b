"""Two texts side by side; where they part is marked, and what is usually not seen is shown."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_modellab.records.diagnosis import Piece, Sides
from pytest_modellab.reports.page.markup import Content, Html, el
from pytest_modellab.visible import shortened, visible

_PIECES = 1500


_EQUAL = 400  # characters of a stretch that both have


_DIFFERS = 2000  # of one that only one has


def sides(panel: Sides, base: str, candidate: str) -> Html:
    """Both texts.

    Args:
        panel: the texts in pieces.
        base: what the base is called.
        candidate: what the candidate is called.
    """
    return el(
        "div",
        _side(panel.base, f"base: {base}"),
        _side(panel.candidate, f"candidate: {candidate}"),
        el(
            "p",
            "Underlined and in bold: what the other side does not have. A vertical line parts "
            "pieces, for example tokens. ",
            el("span", "·", class_="blank"),
            " is a blank, ",
            el("span", "⏎", class_="blank"),
            " a line end, ",
            el("span", "⇥", class_="blank"),
            " a tab.",
            class_="aside",
        ),
        class_="sides",
    )


def _side(pieces: Sequence[Piece], name: str) -> Html:
    count = sum(piece.differs for piece in pieces)
    told = f"{count} of {len(pieces)} pieces differ" if count else "nothing differs"
    shown: list[Content] = [_piece(piece) for piece in pieces[:_PIECES]]
    if len(pieces) > _PIECES:
        shown.append(el("em", f" … and {len(pieces) - _PIECES} more pieces"))
    return el(
        "figure",
        el("figcaption", el("strong", name), f" ({told})"),
        el("div", shown or el("em", "(empty)"), class_="said", tabindex="0", role="region",
           aria_label=name),
    )  # fmt: skip


def _piece(piece: Piece) -> Html:
    text = shortened(piece.text, _DIFFERS if piece.differs else _EQUAL)
    shown = _characters(text) or [el("em", "(empty)")]
    if piece.differs:
        return el("mark", el("span", "differs: ", class_="unseen"), shown)
    return el("span", shown, class_="piece")


def _characters(text: str) -> list[Content]:
    """A text with marks for what is usually not seen."""
    found: list[Content] = []
    run = ""
    for character in text:
        mark = _MARKS.get(character)
        if mark is None:
            run += character
            continue
        if run:
            found.append(visible(run))
            run = ""
        found.append(mark)
    return [*found, visible(run)] if run else found


_MARKS = {
    " ": Html('<i class="blank">·</i>'),
    "\n": Html('<i class="blank">⏎</i><br>'),
    "\t": Html('<i class="blank">⇥</i>'),
}
