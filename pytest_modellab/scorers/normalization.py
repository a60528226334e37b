"""What two texts may differ in and still say the same, declared by name and version.

A task set names one of :data:`NORMALIZATIONS` in its targets, so that it is in the hash of every
sample. What a name does never changes: another rule gets another name (``english-2``), and runs
that were accepted under the old one are not compared with it. All are pure functions of a text, and
take time in proportion to its length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pytest_modellab.scorers import spoken

MARKS = 30
"""Combining marks that a letter keeps, as in Unicode's stream-safe text (UAX #15): sorting a longer
run of them takes time in proportion to its square."""


_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201b\u02bc\u2032\u00b4`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    }
)
"""Quotation marks and dashes that a keyboard has no key for."""


_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")


_IN_NUMBER = re.compile(r"(?<=\d)[.,:/](?=\d)")


class _Symbols(dict[int, "int | str"]):
    """Tells of each character whether it is read aloud; punctuation and symbols become a space."""

    def __missing__(self, code: int) -> int | str:
        category = unicodedata.category(chr(code))
        found: int | str = " " if category[0] in "PSC" else code
        if category == "Cf":  # joiners and soft hyphens stand within words
            found = ""
        self[code] = found
        return found


_KEPT = {"'": "\ue000", ".": "\ue001", ",": "\ue002", ":": "\ue003", "/": "\ue004"}
"""Where what stays is put while the rest goes: private characters, which no text means."""


_HIDDEN = str.maketrans(dict.fromkeys(_KEPT.values(), " "))


_BACK = {ord(hidden): shown for shown, hidden in _KEPT.items()}


def none(text: str) -> str:
    """White space alone: each run of it is one space, and none is at an end."""
    return " ".join(text.split())


def written_1(text: str) -> str:
    """What a reader sees: NFKC, quotation marks and dashes made plain, white space as in `none`.

    Case, punctuation and accents count.
    """
    return none(_composed(text).translate(_PLAIN))


def caseless_1(text: str) -> str:
    """Lower case, white space as in ``none``: what ANLS was defined with (Biten et al. 2019)."""
    return none(text.lower())


def basic_1(text: str) -> str:
    """Words of any language: case, punctuation and symbols do not count.

    NFKC, case folded, quotation marks made plain. Then punctuation, symbols and control characters
    become white space, and joiners and soft hyphens go. What stays is an apostrophe between two
    letters (``don't``), and one of ``. , : /`` between two digits (``3.5``, ``1,250``). Accents and
    numbers stay as they are.
    """
    text = _composed(_composed(text).casefold()).translate(_PLAIN).translate(_HIDDEN)
    text = _IN_NUMBER.sub(lambda found: _KEPT[found[0]], text)
    text = _APOSTROPHE.sub(_KEPT["'"], text)
    return none(text.translate(_Symbols(_BACK)))


def english_1(text: str) -> str:
    """English as it is spoken: ``basic-1``, and numbers in digits however they were written.

    As :func:`.spoken.digits` says: "twenty one" is 21, "nineteen eighty four" 1984, "third" 3rd,
    "1,250" 1250, "$5" "5 dollars", "50%" "50 percent"; "a.m." is "am", "&" is "and". Contractions
    and spelling stay as they are: "don't" is not "do not", "colour" not "color".
    """
    text = _composed(_composed(text).casefold()).translate(_PLAIN)
    return spoken.digits(basic_1(spoken.signs(text)))


Normalization = Callable[[str], str]


NORMALIZATIONS: Mapping[str, Normalization] = MappingProxyType(
    {
        "none": none,
        "written-1": written_1,
        "caseless-1": caseless_1,
        "basic-1": basic_1,
        "english-1": english_1,
    }
)
"""By the name that a target has."""


def _composed(text: str) -> str:
    """NFKC, of a text in which no letter has more than :data:`MARKS` marks."""
    if text.isascii():
        return text
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= MARKS:
            kept.append(character)
    return unicodedata.normalize("NFKC", "".join(kept))
