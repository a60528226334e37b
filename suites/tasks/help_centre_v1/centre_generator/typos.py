"""Misspelling: letters are swapped, dropped, or replaced by their neighbours on the keyboard."""

from __future__ import annotations

import random
import re

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOURS = {
    letter: row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
    for row in ROWS
    for place, letter in enumerate(row)
}


def misspelt(rng: random.Random, text: str, count: int) -> str:
    """The text with `count` of its words of four letters or more misspelt.

    Raises:
        ValueError: it has fewer such words.
    """
    words = text.split(" ")
    able = [place for place, word in enumerate(words) if re.match(r"[A-Za-z]{4}", word)]
    if len(able) < count:
        raise ValueError(f"{text!r} has {len(able)} words of four letters, {count} are needed")
    for place in rng.sample(able, count):
        words[place] = misspelt_word(rng, words[place])
    return " ".join(words)


def misspelt_word(rng: random.Random, word: str) -> str:
    """The word with one mistake behind its first letter."""
    letters = len(word.rstrip("?,.!"))
    swaps = [at for at in range(1, letters - 1) if word[at] != word[at + 1]]
    kind = rng.choice(["swap", "drop", "neighbour"])
    if kind == "swap" and swaps:
        at = rng.choice(swaps)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    at = rng.randrange(1, letters)
    if kind == "neighbour":
        return word[:at] + rng.choice(NEIGHBOURS[word[at]]) + word[at + 1 :]
    return word[:at] + word[at + 1 :]
