"""Two texts in pieces, where they part marked; bounded, whatever was written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Sequence
from typing import TypeVar

from pytest_modellab.records.diagnosis import Piece, Sides

PIECES = 160
"""Units of either side that a panel shows, at most."""

CHARACTERS = 4000
"""Characters of either side that a panel shows, at most about."""

_BEFORE = 24
"""Equal units in front of the first difference."""

_UNIT = re.compile(r"<\|[^<>|]{1,60}\|>|\[/?[A-Z_]{1,30}\]|</?\w{1,30}>|\w{1,60}|[^\w]")

T = TypeVar("T", bound=Hashable)

Stretch = tuple[int, int, int, int]
"""Where two sequences part: first and end in the base's, first and end in the candidate's."""


def units(text: str) -> list[str]:
    """Split a rendering into words, role tags and single characters, which joined are the text."""
    return _UNIT.findall(text)


def parted(base: Sequence[T], candidate: Sequence[T]) -> tuple[Stretch, ...]:
    """Find where two sequences part.

    Args:
        base: units; only the first 400 behind what both begin with are aligned.
        candidate: units.

    Returns:
        The stretches, in order; none where both are equal.
    """
    most = 400
    start = 0
    while start < min(len(base), len(candidate)) and base[start] == candidate[start]:
        start += 1
    if start == len(base) == len(candidate):
        return ()
    end = 0
    while end < min(len(base), len(candidate)) - start and base[-1 - end] == candidate[-1 - end]:
        end += 1
    left, right = base[start : len(base) - end], candidate[start : len(candidate) - end]
    if max(len(left), len(right)) > most:
        return ((start, len(base) - end, start, len(candidate) - end),)
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    return tuple(
        (start + a, start + b, start + c, start + d)
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    )


def sides(
    base: Sequence[str],
    candidate: Sequence[str],
    stretches: Sequence[Stretch],
    *,
    title: str,
    joined: bool,
) -> Sides:
    """Make the panel of two sequences around the first place where they part.

    Args:
        base: the text of each of the base's units.
        candidate: the text of each of the candidate's.
        stretches: of :func:`parted`.
        title: of the panel.
        joined: whether neighbours that are alike become one piece; tokens stay apart.
    """
    first = stretches[0][0] if stretches else 0
    begin = max(0, first - _BEFORE)
    return Sides(
        _pieces(base, [(a, b) for a, b, _, _ in stretches], begin, joined),
        _pieces(candidate, [(c, d) for _, _, c, d in stretches], begin, joined),
        title=title,
    )


def _pieces(
    texts: Sequence[str], marked: Sequence[tuple[int, int]], begin: int, joined: bool
) -> tuple[Piece, ...]:
    found: list[Piece] = [Piece("…")] if begin else []
    left = CHARACTERS
    for place in range(begin, len(texts)):
        if place - begin == PIECES or left <= 0:
            found.append(Piece("…"))
            break
        text = texts[place][:left]
        left -= len(text)
        differs = any(a <= place < b for a, b in marked)
        if joined and found and found[-1].differs is differs:
            found[-1] = Piece(found[-1].text + text, differs)
        else:
            found.append(Piece(text, differs))
    return tuple(found)
