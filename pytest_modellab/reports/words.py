"""Numbers and lists in words, and what is said of each assertion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_modellab.baselines.accepted import OWN_ANCHOR, OWN_BASELINE
from pytest_modellab.judging.words import Words

if TYPE_CHECKING:
    from pytest_modellab.judging.comparison import Comparison

_OWN = Words(
    "",
    "against own baseline",
    "{variant} fell: {what}; look at the flipped samples; if the drop is wanted, accept it: "
    "modellab accept {variant}{task_sets} --because 'WHO AND WHY', then commit what it writes",
)


_BASE = Words(
    "",
    "against base",
    "{variant} fell against {against}: {what}; look at the flipped samples; if the drop is wanted, "
    "allow it in modellab.toml: {margin}",
)


_DRIFT = Words(
    "drift",
    "since the anchor",
    "{variant} drifted from its {against}: {what}; accepted drops have added up; if that is "
    "wanted, begin a new chain: modellab accept {variant}{task_sets} --new-anchor, then "
    "commit the baseline that it writes",
)


_OWN_DRIFT = Words(
    "drift",
    "since the anchor",
    "{variant} drifted from its {against}: {what}; if that is wanted, begin a new chain: modellab "
    "accept {variant}{task_sets} --new-anchor, then "
    "commit the baseline that it writes",
)


_FORGETTING = Words(
    "forgetting",
    "forgetting",
    "{variant} forgot what the {against} can do: {what}; look at the flipped samples; if a "
    "capability was meant to change, name it in variants.{variant}.targets",
)


_FLOOR = Words(
    "worst bucket",
    "floor",
    "{variant} is under the floor: {what}; look at the samples it got wrong",
)


_SLOWDOWN = Words(
    "latency",
    "latency",
    "{variant} is slower: {what}; if that is wanted, raise limit",
)


_FIDELITY = Words(
    "fidelity",
    "fidelity",
    "{variant} moved away from {against}: {what}; look at the samples that moved most, keep the "
    "modules that moved at a higher precision, or raise the limits if that is wanted",
)


_WORDS: Mapping[tuple[str, str | None], Words] = MappingProxyType(
    {
        ("no_regression", OWN_BASELINE): _OWN,
        ("no_regression", None): _BASE,
        ("no_drift", None): _DRIFT,
        ("no_drift", OWN_ANCHOR): _OWN_DRIFT,
        ("no_forgetting", None): _FORGETTING,
        ("worst_bucket", None): _FLOOR,
        ("no_slowdown", None): _SLOWDOWN,
        ("fidelity", None): _FIDELITY,
    }
)
"""Assertion, and the reference of which the row speaks, None for any other: what is said."""


COLUMNS = tuple(w.heading for w in (_OWN, _DRIFT, _BASE, _FORGETTING, _FLOOR, _SLOWDOWN, _FIDELITY))
"""Headings in the order of a table's columns; those of added assertions follow."""


_URGENCY = tuple(_WORDS.values())


def words_of(comparison: Comparison) -> Words:
    """What is said of a comparison's assertion: its own words where it brings some."""
    if comparison.words is not None:
        return comparison.words
    row = _WORDS.get((comparison.assertion, comparison.against))
    return row or _WORDS[comparison.assertion, None]


def urgency(words: Words) -> tuple[int, str]:
    """Sorts what is said: the most urgent first, added assertions last."""
    return (_URGENCY.index(words) if words in _URGENCY else len(_URGENCY), words.heading)


def number(value: float) -> str:
    """A score, drop or level for a reader: at most three significant digits.

    ``0.0050 → 0.005``, ``0.31 → 0.31``, ``-0.0004 → -0.0004``, ``0.000065234 → 0.0000652``; with an
    exponent where nothing but noughts would be seen of it, ``1e-09``.
    """
    text = f"{value:.3g}"
    if "e" in text and (value == 0 or abs(value) >= 1e-6):
        rounded = value if abs(value) >= 1 else float(text)
        text = f"{rounded:.8f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def size(count: float) -> str:
    """Bytes in decimal units: ``3.54 MB``."""
    if count < 999.5:
        return f"{number(count)} bytes"
    units = (("kB", 1e3), ("MB", 1e6), ("GB", 1e9))
    unit, of = next((one for one in units if count < 999.5 * one[1]), units[-1])
    return f"{number(count / of)} {unit}"


def moved(before: float | None, after: float) -> str:
    """``0.67 -> 0.59``; with more digits where two would hide that anything moved."""
    before = before or 0.0
    short = f"{before:.2f}", f"{after:.2f}"
    if short[0] == short[1] and before != after:
        short = f"{before:.4f}", f"{after:.4f}"
    return " -> ".join(short)


def plural(count: int, noun: str) -> str:
    """``1 sample``, ``2 samples``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Iterable[str], most: int = 4) -> str:
    """``a, b, c, d and 3 more``, each name once, in the order given."""
    known = list(dict.fromkeys(names))
    shown = ", ".join(known[:most])
    return f"{shown} and {len(known) - most} more" if len(known) > most else shown


def both(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
