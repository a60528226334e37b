"""Flipped samples in a terminal: what was asked, what is right, and both replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_modellab.judging.comparison import Comparison, Flip
from pytest_modellab.records.graded import GRADED
from pytest_modellab.reports import media, replies
from pytest_modellab.reports.text import grid
from pytest_modellab.reports.words import number, plural
from pytest_modellab.visible import CELL, line, shortened, visible

ELLIPSIS = "…"


WHOLE = 3
"""Flipped samples that are shown with what was asked; the others take a line each."""


SLICES = 4
"""Buckets in which most got worse that are named."""


_MEDIA = 30  # columns of what a sample shows


_NAME = 30  # columns of what a reply is headed with


def lines(comparison: Comparison, width: int = 100, most: int = 10) -> list[str]:
    """What flipped, for a terminal.

    Args:
        comparison: what was judged.
        width: longest line.
        most: samples that are shown; the rest is counted.

    Returns:
        How many flipped and where, the first ones with what was asked and what would have been
        right, then a line each; nothing where none flipped.
    """
    if not comparison.flips:
        return []
    shown = comparison.flips[: max(most, 0)]
    where = slices(comparison)
    head = flip_count(comparison, len(shown)) + (f"; worse in {where}" if where else "")
    found = ["", head + (":" if shown else "")]
    first, rest = shown[:WHOLE], shown[WHOLE:]
    if first and not any(flip.asked or flip.expected for flip in first):
        first, rest = (), shown
    for flip in first:
        found += _whole(comparison, flip, width)
    return [*found, *(_table(comparison, rest, width) if rest else [])]


def slices(comparison: Comparison) -> str:
    """Where most samples got worse: ``arithmetic/hard 12, code/easy 3``; empty for one bucket."""
    worse = Counter(flip.bucket for flip in comparison.flips if flip.lost)
    if len({flip.bucket for flip in comparison.flips}) < 2 or not worse:
        return ""
    ranked = sorted(worse.items(), key=lambda pair: (-pair[1], pair[0]))
    told = [f"{visible(shortened(name, CELL))} {count}" for name, count in ranked[:SLICES]]
    rest = ranked[SLICES:]
    told += [f"{plural(len(rest), 'other')} {sum(count for _, count in rest)}"] if rest else []
    return ", ".join(told)


def _whole(comparison: Comparison, flip: Flip, width: int) -> list[str]:
    """A sample with all that is known of it, what differs in the two replies marked."""
    names = [clip(visible(name), _NAME) for name in column_names(comparison)]
    wide = max(map(len, ["expected", *names]))
    room = max(width - wide - 6, 24)
    one, two = replies.marked(flip.before_output, flip.after_output)
    marks = len("".join(replies.NEW))
    told = [
        (media.COLUMN, media.told(flip.media, flip.id)),
        ("asked", visible(flip.asked)),
        ("expected", visible(flip.expected)),
        (names[0], replies.plain(one, room - marks, replies.GONE)),
        (names[1], replies.plain(two, room - marks, replies.NEW)),
    ]
    figures = f"{scored_by(comparison)} {flip_scores(comparison, flip)}"
    head = f"  {visible(shortened(flip.id, CELL))}  {figures}"
    rows = [f"    {name:<{wide}}  {clip(text, room)}" for name, text in told if text]
    return [line(one) for one in (head, *rows)]


def _table(comparison: Comparison, shown: Sequence[Flip], width: int) -> list[str]:
    first = ["sample", scored_by(comparison)]
    rows = [[visible(shortened(flip.id, CELL)), flip_scores(comparison, flip)] for flip in shown]
    if media.any_shown(shown):
        first.append(media.COLUMN)
        rows = [
            [*row, clip(media.told(flip.media, flip.id), _MEDIA)]
            for row, flip in zip(rows, shown, strict=True)
        ]
    before, after = column_names(comparison)
    fixed = sum(max(map(len, column)) + 2 for column in zip(first, *rows, strict=True))
    room = max((width - 4 - fixed) // 2, 12)
    rows = [
        [*row, _reply(flip.before_output, room), _reply(flip.after_output, room)]
        for row, flip in zip(rows, shown, strict=True)
    ]
    names = [clip(visible(before), room), clip(visible(after), room)]
    drawn = grid.lines(grid.grid([*first, *names], rows, right=set()))
    return [f"  {one}" for one in drawn]


def column_names(comparison: Comparison) -> tuple[str, str]:
    """What the two outputs of a flipped sample are headed with."""
    before = "reference" if comparison.against == "floor" else comparison.against
    return before, comparison.candidate


def flip_count(comparison: Comparison, shown: int) -> str:
    """``12 flipped samples, 9 worse and 3 better, the first 10``.

    Under a graded metric, which moves in every sample: ``606 samples moved, 421 down and 185 up,
    the 10 that moved most``.
    """
    lost, gained = comparison.moved
    total = lost + gained
    if comparison.metric in GRADED:
        text = f"{plural(total, 'sample')} moved, {lost} down and {gained} up"
        return f"{text}, the {shown} that moved most" if 0 < shown < total else text
    text = f"{plural(total, 'flipped sample')}, {lost} worse and {gained} better"
    return f"{text}, the first {shown}" if 0 < shown < total else text


def flip_scores(comparison: Comparison, flip: Flip) -> str:
    """``1 -> 0``, of a graded metric ``0.812 -> 0.304``; ``none`` where there is no score."""
    shown = "{:.3f}".format if comparison.metric in GRADED else number
    after = "none" if flip.after is None else shown(flip.after)
    return f"{shown(flip.before)} -> {after}"


def scored_by(comparison: Comparison) -> str:
    """What the column of a flipped sample's two figures is headed with."""
    return "score" if comparison.metric is None else comparison.metric


def clip(text: str, width: int) -> str:
    """Cut ``text`` to ``width`` columns, an ellipsis in place of the rest."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + ELLIPSIS


def _reply(text: str, room: int) -> str:
    """A reply as a cell of the plain table."""
    return clip(visible(text), room) if text.strip() else "(empty)"
