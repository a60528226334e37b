"""Regular expressions of task files, searched within limits.

They are Python's (``re``), and searched by the module ``regex``, whose search can be given a time.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterable
from typing import Any

from pytest_modellab.errors import Unscorable
from pytest_modellab.records.reading import shown

LENGTH = 5_000
"""Characters of an expression, at most."""


SIZE = 10_000
"""Parts of an expression whose repeats are written out, at most: ``regex`` compiles it so."""


SECONDS = 2.0
"""Time of the processor for one reply. An ordinary search takes some microseconds, so that this
decides about the same expressions on every machine."""


_PART = re.compile(
    r"\\N\{[^}]*\}|\\.|\(\?#[^)]*\)|(?P<verbose>\(\?[aiLmsu]*x)|\[\^?\]?(?:\\.|[^\]\\])*\]"
    r"|\{(?P<least>[0-9]*)(?P<more>,[0-9]*)?\}|\((?=\?(?P<flags>[aiLmsu]+)[-:)])|.",
    re.DOTALL,
)
"""A part of an expression that ``re`` takes: an escape, a comment, a set, a repeat, a character."""


_WORD, _BLANK = r"\p{L}\p{N}_", r"\s\x1c-\x1f"
_IN_SETS = {r"\w": _WORD, r"\s": _BLANK}
_ALONE = {
    r"\w": f"[{_WORD}]",
    r"\W": f"[^{_WORD}]",
    r"\s": f"[{_BLANK}]",
    r"\S": f"[^{_BLANK}]",
    r"\b": f"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))",
    r"\B": f"(?:(?<=[{_WORD}])(?=[{_WORD}])|(?<![{_WORD}])(?![{_WORD}]))",
    "{": r"\{",
    "{}": r"\{\}",
    "{,}": "*",
}
"""What ``re`` finds where ``regex`` finds another thing: ``²`` is a letter of a word to ``re``, and
a mark that combines with a letter is none."""


_BRACKET = re.compile(r"(\\.)|\[", re.DOTALL)
"""A bracket in a set that is not escaped, and what is."""


def problem(pattern: str) -> str | None:
    """Say why an expression cannot be searched for, or None.

    Args:
        pattern: as a task file has it.
    """
    try:
        _compiled(pattern)
    except ValueError as error:
        return str(error)
    return None


def found(pattern: str, text: str, seconds: float = SECONDS) -> bool:
    """Whether an expression matches anywhere in a text.

    Args:
        pattern: as a task file has it.
        text: any.
        seconds: time of the processor.

    Raises:
        Unscorable: it takes longer, or the expression has a :func:`problem`.
    """
    try:
        return _compiled(pattern).search(text, timeout=seconds) is not None
    except TimeoutError as error:
        raise Unscorable(
            f"the expression {shown(pattern)} takes more than {SECONDS:g} seconds of processor "
            f"time on a text of {len(text)} characters; nested repeats such as (a+)+ do that"
        ) from error
    except ValueError as error:
        raise Unscorable(str(error)) from error


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    """Compile an expression.

    Raises:
        ValueError: it is none, or larger than the limits.
    """
    import regex

    if len(pattern) > LENGTH:
        raise ValueError(f"{shown(pattern)} has {len(pattern)} characters, more than {LENGTH}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sets that a later Python may read otherwise
            re.compile(pattern)
        parts = list(_PART.finditer(pattern))
        if any(part["verbose"] for part in parts):
            raise ValueError(
                f"{shown(pattern)} has the flag x, which is not taken; leave it out, and with it "
                "blanks and comments"
            )
        if (size := _size(parts)) > SIZE:
            raise ValueError(
                f"{shown(pattern)} has {size} parts with its repeats written out, more than "
                f"{SIZE}; repeat less, or do not nest repeats"
            )
        ascii_only = any(part["flags"] and "a" in part["flags"] for part in parts)
        return regex.compile("".join(_as_re_reads(part[0], ascii_only) for part in parts))
    except (re.error, regex.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from error


def _as_re_reads(part: str, ascii_only: bool) -> str:
    """A part in the syntax of ``regex``, whose classes and braces are not all those of ``re``."""
    if part.startswith("[") and len(part) > 1:

        def inner(found: re.Match[str]) -> str:
            escape: str | None = found[1]
            if escape is None:
                return r"\["
            return escape if ascii_only else _IN_SETS.get(escape, escape)

        return "[" + _BRACKET.sub(inner, part[1:])
    return part if ascii_only and part.startswith("\\") else _ALONE.get(part, part)


def _size(parts: Iterable[re.Match[str]]) -> int:
    """The parts of an expression with its repeats written out, as far as they must be there.

    ``(?:ab{3}){2}`` has 8; ``a+`` has 2, since ``regex`` makes ``aa*`` of it.
    """
    groups, last = [0], 0
    for part in parts:
        text = part[0]
        if text == "(":
            groups.append(0)
        elif text == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif text == "+" or part["least"]:
            endless = text == "+" or part["more"] == ","
            times = int((part["least"] or "1")[:9]) * (2 if endless else 1)
            groups[-1] += last * (max(times, 1) - 1)
            last *= max(times, 1)
        elif text not in "*?|":
            last = 1
            groups[-1] += last
    return sum(groups)
