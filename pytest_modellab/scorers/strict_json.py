"""The JSON of a reply: strict, its numbers exact, its depth and size limited (RFC 8259, section 9).

What JSON has not (NaN, Infinity) and what lies beyond the limits is no JSON. Of equal keys the last
counts, as in Python and JavaScript.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from pytest_modellab.errors import Unscorable

LENGTH = 100_000
"""Characters of a text that is searched, at most."""


DEPTH = 50
"""Objects and arrays inside each other, at most."""


DIGITS = 1000
"""Digits of a number, and of what its exponent adds to them, at most."""


_START = re.compile(r"[{\[]")


_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[]{}[]', re.DOTALL)
"""A string, also one without its end, or a bracket."""


def first_json(text: str) -> Any:
    """Return the first JSON object or array in ``text``, or None where there is none.

    Args:
        text: a reply; what stands before and after the value does not count.

    Returns:
        Numbers as ``int`` or ``Decimal``. None, too, where brackets are nested too deep.

    Raises:
        Unscorable: the text is too long.
    """
    if len(text) > LENGTH:
        raise Unscorable(f"the reply has {len(text)} characters, more than {LENGTH}")
    for start in _START.finditer(text):
        depth = _deepest(text, start.start())
        if depth > DEPTH:
            return None
        if depth:
            try:
                return _DECODER.raw_decode(text, start.start())[0]
            except ValueError:
                continue
    return None


def _deepest(text: str, start: int) -> int:
    """Brackets inside each other from one to its end; 0 if it has none, above the limit if more."""
    depth = deepest = 0
    for found in _BRACKET.finditer(text, start):
        if found[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found[0] in "]}":
            depth -= 1
        if not depth or depth > DEPTH:
            return deepest
    return 0


def _number(text: str) -> int | Decimal:
    mantissa, _, exponent = text.lower().partition("e")
    power = exponent.lstrip("+-").lstrip("0") or "0"
    if len(mantissa) > DIGITS or len(power) > len(str(DIGITS)) or int(power) > DIGITS:
        raise ValueError(f"a number of more than {DIGITS} digits")
    return Decimal(text) if exponent or "." in mantissa else int(mantissa)


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_number, parse_constant=_refused)
