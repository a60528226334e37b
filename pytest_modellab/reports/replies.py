"""Two replies beside each other, with the words in which they differ."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from pytest_modellab.visible import shortened, visible

CHARACTERS = 4000
"""Of a reply that are compared; what lies between its beginning and its end is left out."""


WORDS = 400
"""Words and signs of a reply that are aligned one by one; a longer middle differs as a whole."""


GONE, NEW = ("[-", "-]"), ("{+", "+}")
"""What stands around words that only the first reply has, and that only the second has."""


_PART = re.compile(r"\w+|\s+|[^\w\s]")


_WORD = re.compile(r"\w")


@dataclasses.dataclass(frozen=True)
class Piece:
    """A stretch of a reply.

    Attributes:
        text: as the model wrote it.
        changed: whether the other reply has something else, or nothing, in its place.
    """

    text: str
    changed: bool


def marked(before: str, after: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Mark what differs in two replies, word by word.

    Replies that have no word in common are told apart without marks: each is one piece, changed.

    Args:
        before: the first reply.
        after: the second.

    Returns:
        The pieces of each; joined they are the reply, a very long one without its middle.
    """
    one, two = (_PART.findall(shortened(text, CHARACTERS)) for text in (before, after))
    head = _common(one, two)
    tail = _common(one[head:][::-1], two[head:][::-1])
    middle_one, middle_two = one[head : len(one) - tail], two[head : len(two) - tail]
    if max(len(middle_one), len(middle_two)) <= WORDS:
        codes = SequenceMatcher(None, middle_one, middle_two, autojunk=False).get_opcodes()
    else:
        codes = [("replace", 0, len(middle_one), 0, len(middle_two))]
    first = [*((word, False) for word in one[:head])]
    second = list(first)
    for tag, i, j, k, m in codes:
        first += [(word, tag != "equal") for word in middle_one[i:j]]
        second += [(word, tag != "equal") for word in middle_two[k:m]]
    end = [(word, False) for word in one[len(one) - tail :]]
    return _joined([*first, *end]), _joined([*second, *end])


def plain(pieces: Sequence[Piece], most: int, marks: tuple[str, str] = GONE) -> str:
    """Write a reply on one line, what differs between marks, cut around the first difference.

    Args:
        pieces: of :func:`marked`.
        most: characters of the reply that are shown at most.
        marks: what stands before and after what differs; none where every word does.

    Returns:
        Visible text; ``(empty)`` where there is none.
    """
    if not any(_WORD.search(piece.text) and not piece.changed for piece in pieces):
        marks = ("", "")
    told = (
        f"{marks[0]}{piece.text}{marks[1]}" if piece.changed else piece.text
        for piece in shown(pieces, most)
    )
    return "".join(told).strip()


def shown(pieces: Sequence[Piece], most: int) -> tuple[Piece, ...]:
    """Make a reply fit to be shown on one line, cut around the first difference.

    Args:
        pieces: of :func:`marked`.
        most: characters of the reply that are kept at most.

    Returns:
        Visible pieces, an ellipsis where something is left out; ``(empty)`` where there is nothing
        but blanks.
    """
    whole = "".join(piece.text for piece in pieces)
    if not whole.strip():
        return (Piece("(empty)", changed=False),)
    start, end = _window(pieces, len(whole), most)
    rest = Piece("…", changed=False)
    found, at = [rest] if start else [], 0
    for piece in pieces:
        if text := piece.text[max(start - at, 0) : max(end - at, 0)]:
            found.append(Piece(visible(text), piece.changed))
        at += len(piece.text)
    return (*found, rest) if end < len(whole) else tuple(found)


def _window(pieces: Sequence[Piece], length: int, most: int) -> tuple[int, int]:
    """Where the stretch that is shown begins and ends: around the first difference."""
    if length <= most:
        return 0, length
    at = 0
    for piece in pieces:
        if piece.changed:
            break
        at += len(piece.text)
    else:
        at = 0
    start = min(max(at - most // 3, 0), length - most)
    return start, start + most


def _common(one: Sequence[str], two: Sequence[str]) -> int:
    """How many words two replies begin with alike."""
    for i, (a, b) in enumerate(zip(one, two, strict=False)):
        if a != b:
            return i
    return min(len(one), len(two))


def _joined(words: Sequence[tuple[str, bool]]) -> tuple[Piece, ...]:
    """Join neighbours that are alike; a space between two that differ belongs to them."""
    found: list[Piece] = []
    for i, (word, changed) in enumerate(words):
        inner = 0 < i < len(words) - 1 and words[i - 1][1] and words[i + 1][1]
        changed = changed or (word.isspace() and inner)
        if found and found[-1].changed == changed:
            found[-1] = Piece(found[-1].text + word, changed)
        else:
            found.append(Piece(word, changed))
    return tuple(found)
