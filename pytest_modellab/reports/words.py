"""Numbers and lists in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def number(value: float) -> str:
    """A score, drop or level for a reader: at most three significant digits, no exponent.

    ``0.0050 → 0.005``, ``0.31 → 0.31``, ``-0.0004 → -0.0004``, ``0.000065234 → 0.0000652``.
    """
    text = f"{value:.3g}"
    if "e" in text:
        rounded = value if abs(value) >= 1 else float(text)
        text = f"{rounded:.8f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


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
