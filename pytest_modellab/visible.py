"""Other people's text made fit to be shown: nothing in it acts, hides or floods.

Names, ids, replies and messages come from files and models. Where they are printed, annotated,
attached or written to a summary they go through this module; JSON keeps them exact.
"""

from __future__ import annotations

import re

LINE = 4000
"""Characters of one line, at most about."""


CELL = 500
"""Characters of a table's cell, at most about."""


MESSAGE = 20_000
"""Characters of an error's message, at most about."""


ERROR = 300
"""Characters of a library's error inside of another message, at most about."""


VERDICT = 200_000
"""Characters of a verdict with its table, at most about."""


_COMMAND = re.compile(r"##([A-Za-z]*\[)")


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str) -> str:
    r"""``text`` on one line, all of it.

    Args:
        text: any; half a surrogate pair, too.

    Returns:
        The text with line ends, tabs, control characters, escape sequences, marks that turn the
        direction of writing and half surrogate pairs as ``\n``, ``\t``, ``\x1b``, ``\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def shortened(text: str, most: int) -> str:
    """``text``, or its beginning and its end with the number of all its characters between.

    The end stays, since a message says there what to do.

    Args:
        text: any.
        most: characters that are kept.
    """
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]}… ({len(text)} characters) …{text[len(text) - end :]}"


def line(text: str, most: int = LINE) -> str:
    """A whole line for a terminal or a log.

    Args:
        text: any.
        most: characters that are kept.

    Returns:
        One line, visible and bounded. A CI service finds no command of its own in it: GitHub runs
        a line that begins with ``::``, and ``##[`` wherever it stands; Azure Pipelines runs
        ``##vso[``, and TeamCity ``##teamcity[``.
    """
    return visible(_still(shortened(text, most)))


def message(text: str, most: int = MESSAGE) -> str:
    """A message of several lines for a terminal or a log; its line ends and tabs stay.

    Args:
        text: any.
        most: characters that are kept.
    """
    parts = shortened(text, most).replace("\r\n", "\n").split("\n")
    still = [_still(shortened(part, LINE)) for part in parts]
    return "\n".join("\t".join(map(visible, part.split("\t"))) for part in still)


def raised(error: BaseException, most: int = ERROR) -> str:
    """What code of other people raised, on one line with its kind: ``ValueError: no such key``.

    Args:
        error: any.
        most: characters that are kept.
    """
    return line(" ".join(f"{type(error).__name__}: {error}".split()), most)


def cell(text: str) -> str:
    """A CSV cell that no spreadsheet takes for a formula: an apostrophe before what begins one."""
    starts = text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA)
    return f"'{text}" if starts else text


def _still(text: str) -> str:
    """One line of a message in which no CI service finds a command."""
    text = _COMMAND.sub(r"#\\x23\1", text)
    begin = text.lstrip()
    return f"{text[: -len(begin)]}\\x3a{begin[1:]}" if begin.startswith("::") else text
