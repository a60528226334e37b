"""What tools leave out or write at length: ids, content hashes, errors in one line."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

SHOWN = 40
"""Characters of a sample's text that its id begins with."""


def digest(content: Any) -> str:
    """Hash what JSON can hold; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def labels(samples: Sequence[tuple[str | None, str, Any]]) -> list[str]:
    """Name samples so that two runs name the same ones alike, in whatever order they ran.

    A name is kept where no other sample has it. Others get the start of their text and a hash of
    their content, so that samples alone that are the same have the same id.

    Args:
        samples: name, or None, text and content of each.
    """
    names = Counter(name for name, _, _ in samples)
    return [
        name if name and names[name] == 1 else f"{_start(text)} #{digest(content)[:12]}".strip()
        for name, text, content in samples
    ]


def first_line(error: object) -> str:
    """The first line of what a tool says went wrong."""
    return str(error or "it does not say why").strip().partition("\n")[0][:200]


def _start(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text[: 2 * SHOWN])
    return " ".join(plain.split())[:SHOWN].strip()
