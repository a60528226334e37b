"""Reasons written into ``[acknowledged]`` of a modellab.toml, which stays as it is otherwise."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from pytest_modellab.errors import ConfigError
from pytest_modellab.review.changes import Change
from pytest_modellab.review.words import reason
from pytest_modellab.store import atomic, checkout

_HEADER = re.compile(r"^[ \t]*\[[ \t]*acknowledged[ \t]*\][^\n]*\n", re.MULTILINE)


def write(path: Path, changes: Sequence[Change], why: str) -> list[str]:
    """Give one reason for changes.

    Args:
        path: the ``modellab.toml``.
        changes: what became weaker and has no reason yet.
        why: the reason.

    Returns:
        The lines that were written.

    Raises:
        ConfigError: the table is written in a way that no line can be added to, or the file
            cannot be written; it is untouched then.
    """
    lines = [reason(change, why) for change in changes]
    added = "".join(f"{one}\n" for one in lines)
    text = f"{checkout.read(path).rstrip()}\n"
    if found := _HEADER.search(text):
        new = f"{text[: found.end()]}{added}{text[found.end() :]}"
    else:
        new = f"{text}\n[acknowledged]\n{added}"
    before = tomllib.loads(text)
    told = {**before.get("acknowledged", {}), **tomllib.loads(added)}
    try:
        if tomllib.loads(new) != {**before, "acknowledged": told}:
            raise ValueError
        atomic.write_text(path, new)
    except (ValueError, OSError) as error:
        shown = "; ".join(lines)
        raise ConfigError(
            f"{path}: acknowledged: no reason could be added; add it yourself: {shown}"
        ) from error
    return lines
