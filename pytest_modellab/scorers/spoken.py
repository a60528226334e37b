"""English numbers in digits, however they were written; a part of ``english-1``, so it is fixed."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ONES = "one two three four five six seven eight nine".split()
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()

_VALUES = {
    **{word: i for i, word in enumerate(_ONES, 1)},
    **{word: i for i, word in enumerate(_TEENS, 10)},
    **{word: 10 * i for i, word in enumerate(_TENS, 2)},
}

_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}

_ORDINALS = {
    **{
        word: _VALUES[base]
        for base, word in zip(
            [*_ONES, "twelve"],
            "first second third fourth fifth sixth seventh eighth ninth twelfth".split(),
            strict=True,
        )
    },
    **{f"{word}th": _VALUES[word] for word in _TEENS if word != "twelve"},
    **{f"{word[:-1]}ieth": _VALUES[word] for word in _TENS},
}

_SCALED = {"hundredth": 2, **{f"{word}th": zeros for word, zeros in _SCALES.items()}}

_CURRENCIES = {"$": "dollars", "£": "pounds", "€": "euros"}

_AMOUNT = re.compile(
    r"([$£€])\s?(\d[\d.,]{0,30})((?:\s(?:hundred|thousand|million|billion|trillion)\b)?)"
)
_CENTS = re.compile(r"\b(\d+) (dollar|pound|euro)s?(?: and)? (\d\d?) (?:cents?|pence|penny)\b")
_SINGLE = re.compile(r"\b1 (dollar|pound|euro|cent)s\b")
_PERCENT = re.compile(r"(?<=\d)\s?%")
_LETTERS = re.compile(r"(?<![a-z])([a-z])\.(?=[a-z](?![a-z]))")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3}){1,8}(?:\.\d{1,30})?")
_DECIMAL = re.compile(r"\d{1,15}(?:\.\d{1,15})?")

LONGEST = 15
"""Digits that a number may have and still be multiplied: ``2.5 million``."""


def signs(text: str) -> str:
    """Say signs in words, and write abbreviations of single letters as one word.

    Args:
        text: in lower case.

    Returns:
        ``$5`` as ``5 dollars``, ``50%`` as ``50 percent``, ``&`` as ``and``, ``a.m.`` as ``am.``.
    """
    text = _AMOUNT.sub(lambda found: f"{found[2]}{found[3]} {_CURRENCIES[found[1]]} ", text)
    return _LETTERS.sub(r"\1", _PERCENT.sub(" percent ", text)).replace("&", " and ")


def digits(text: str) -> str:
    """Write numbers in digits.

    - Cardinals: ``two hundred and five`` 205, ``a thousand`` 1000, ``2.5 million`` 2500000,
      ``three point one four`` 3.14, ``1,250`` 1250.
    - Ordinals: ``twenty first`` and ``21st`` are 21st, ``second`` is 2nd.
    - Money: ``twelve dollars and fifty cents`` 12.50 dollars, ``1 dollars`` 1 dollar.
    - Numbers that follow each other are one: ``nineteen eighty four`` 1984, ``four one five`` and
      ``4 1 5`` 415, so that a year, a time or a telephone number is the same however it was
      grouped. Two numbers of a list become one word, too, on both sides.

    Args:
        text: words between single spaces, in lower case, without punctuation but ``. , : /``
            between digits.
    """
    words = [part for word in text.split() for part in _parts(word)]
    found: list[list[str]] = []
    joins = False  # whether the last word is a whole number, which another one continues
    at = 0
    while at < len(words):
        number, after = _number(words, at)
        if after == at:
            number, after = words[at], at + 1
        if joins and number.isdigit():
            found[-1].append(number)
        else:
            found.append([number])
        joins, at = number.isdigit(), after
    text = _CENTS.sub(
        lambda sum_: f"{sum_[1]}.{sum_[3]:0>2} {sum_[2]}s", " ".join(map("".join, found))
    )
    return _SINGLE.sub(r"1 \1", text)


def _parts(word: str) -> list[str]:
    """``1,250.50`` as one number without commas; ``2:30`` and ``3/4`` as two."""
    if not word[0].isdigit():
        return [word]
    if _THOUSANDS.fullmatch(word):
        return [word.replace(",", "")]
    return [part for part in re.split("[,:/]", word) if part]


def _number(words: Sequence[str], at: int) -> tuple[str, int]:
    """Read the number that begins at a word; where none does, the place is the same."""
    word = words[at]
    if word[0].isdigit():
        return _scaled(words, at)
    if word == "zero":
        return _with_decimals(words, "0", at + 1)
    if word in _ORDINALS or (word in _VALUES or word in ("a", "one")):
        return _said(words, at)
    return "", at


def _scaled(words: Sequence[str], at: int) -> tuple[str, int]:
    """A number in digits, with the scale that follows it: ``2.5 million``."""
    word = words[at]
    ordinal = _ORDINAL.search(word)
    if ordinal is not None and ordinal.end() == len(word) and word[: ordinal.start()].isdigit():
        return _ordinal(word[: ordinal.start()]), at + 1
    zeros = _SCALES.get(words[at + 1], 0) if at + 1 < len(words) else 0
    if at + 1 < len(words) and words[at + 1] == "hundred":
        zeros = 2
    if not zeros or not _DECIMAL.fullmatch(word):
        return _with_decimals(words, word, at + 1) if word.isdigit() else (word, at + 1)
    whole, _, decimals = word.partition(".")
    if len(decimals) > zeros or len(whole) > LONGEST:
        return word, at + 1
    return (whole + decimals.ljust(zeros, "0")).lstrip("0") or "0", at + 2


def _said(words: Sequence[str], at: int) -> tuple[str, int]:
    """A number in words, as long as each word can follow the last."""
    begin, total, current, room, scale = at, 0, 0, 1000, 16
    # room: what is added next must be smaller (after twenty a one, after a hundred a ninety)
    while at < len(words):
        word = words[at]
        value = 1 if word == "a" and at == begin else _VALUES.get(word)
        if value is not None and value < room:
            current, room, at = current + value, 10 if 20 <= value < 100 else 1, at + 1
        elif word in _ORDINALS and _ORDINALS[word] < room:
            return _ordinal(str(total + current + _ORDINALS[word])), at + 1
        elif word in ("hundred", "hundredth") and 0 < current < 100 and room <= 10:
            current, room, at = 100 * current, 100, at + 1
            if word == "hundredth":
                return _ordinal(str(total + current)), at
        elif (zeros := _SCALES.get(word) or _SCALED.get(word, 99)) < scale and current:
            total, current, room, scale = total + current * 10**zeros, 0, 1000, zeros
            at += 1
            if word in _SCALED:
                return _ordinal(str(total)), at
        elif word == "and" and room >= 100 and at > begin and _continues(words, at + 1, room):
            at += 1
        else:
            break
    if words[begin] == "a" and at == begin + 1:
        return "", begin  # the article
    return _with_decimals(words, str(total + current), at)


def _continues(words: Sequence[str], at: int, room: int) -> bool:
    """Whether the word after an "and" belongs to the number: ``two hundred and five``."""
    if at >= len(words):
        return False
    value = _VALUES.get(words[at], _ORDINALS.get(words[at], 1000))
    return value < min(room, 100)


def _with_decimals(words: Sequence[str], whole: str, at: int) -> tuple[str, int]:
    """A number with the digits after its point, where it has some: ``three point one four``."""
    end = at + 1
    decimals = []
    if at < len(words) and words[at] == "point":
        while end < len(words) and (digit := _digit(words[end])):
            decimals.append(digit)
            end += 1
    return (f"{whole}.{''.join(decimals)}", end) if decimals else (whole, at)


def _digit(word: str) -> str:
    """A word as a digit, or as the digits that it is; empty where it is neither."""
    if word == "zero" or word.isdigit():
        return "0" if word == "zero" else word
    value = _VALUES.get(word, 10)
    return str(value) if value < 10 else ""


def _ordinal(number: str) -> str:
    """``21`` as ``21st``, whatever ending it was written with."""
    last = "th" if number[-2:-1] == "1" else {"1": "st", "2": "nd", "3": "rd"}.get(number[-1], "th")
    return f"{number}{last}"
