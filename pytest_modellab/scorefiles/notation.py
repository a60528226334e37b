"""How a column writes its scores: decimal commas, thousands, percent signs, grades in letters.

A column is written by one program, so what one cell leaves open another may settle: ``1,000`` is
one beside ``0,71``, and a thousand beside ``1,234.5``. What no cell settles is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "#n/a"})
"""Words for a score that is not there, the last two as spreadsheets write them."""


GRADES = {
    **dict.fromkeys(("true", "yes", "pass", "passed", "correct", "right", "t", "y", "c"), 1.0),
    **dict.fromkeys(("false", "no", "fail", "failed", "incorrect", "wrong"), 0.0),
    **dict.fromkeys(("f", "n", "i"), 0.0),
}
"""Words and letters for a score, as a share of the scale: C and I, with P and N, are inspect's."""


_COMMA = re.compile(r"[+-]?(?:\d*|[1-9]\d{0,2}(?:\.\d{3})+),\d+", re.ASCII)
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?", re.ASCII)
_GROUPED_BY_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+", re.ASCII)


@dataclass(frozen=True)
class Notation:
    """What the cells of a column settle between them.

    Attributes:
        commas: a cell that has a decimal comma for certain, or None.
        groups: a cell that has commas between thousands for certain, or None.
        partial: the share that ``P`` stands for, or None where nothing says: partly right beside
            C and I, passed beside F.
    """

    commas: str | None = None
    groups: str | None = None
    partial: float | None = None

    def plain(self, text: str) -> str:
        """Return a number with a decimal point alone.

        Raises:
            ValueError: it can be read in two ways.
        """
        comma, grouped = bool(_COMMA.fullmatch(text)), bool(_GROUPED.fullmatch(text))
        if comma and grouped and (self.commas is None) == (self.groups is None):
            raise ValueError(
                f"{text!r} may be {text.replace(',', '.')} or {text.replace(',', '')}; write it "
                "with a decimal point and without other separators"
            )
        if comma and (not grouped or self.commas):
            return text.replace(".", "").replace(",", ".")
        if grouped:
            return text.replace(",", "")
        if self.commas and _GROUPED_BY_POINT.fullmatch(text):
            raise ValueError(
                f"{text!r} stands beside the decimal comma of {self.commas!r}; write both with a "
                "decimal point and without other separators"
            )
        return text

    def grade(self, word: str) -> float | None:
        """Return the share of the scale that a word stands for, or None where it is no grade.

        Raises:
            ValueError: it can be read in two ways.
        """
        if word != "p":
            return GRADES.get(word)
        if self.partial is None:
            raise ValueError("'P' may be passed or partly right; write pass and fail, or numbers")
        return self.partial


PLAIN = Notation()
"""Of a column that settles nothing."""


def notation(cells: Iterable[object]) -> Notation:
    """Tell how a column is written.

    Args:
        cells: its values; what is not text says nothing.
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    numbers = [text.rstrip("% ") for text in texts if "," in text]
    commas = [one for one in numbers if _COMMA.fullmatch(one) and not _GROUPED.fullmatch(one)]
    groups = [one for one in numbers if _GROUPED.fullmatch(one) and not _COMMA.fullmatch(one)]
    letters = {text.lower() for text in texts if len(text) == 1}
    shares = {0.5 for one in "ci" if one in letters} | {1.0 for one in "f" if one in letters}
    return Notation(
        commas=commas[0] if commas else None,
        groups=groups[0] if groups else None,
        partial=shares.pop() if len(shares) == 1 else None,
    )
