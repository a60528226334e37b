"""What a reader of Markdown opens by a click."""

from __future__ import annotations

from collections.abc import Sequence


def details(summary: str, lines: Sequence[str]) -> list[str]:
    """Fold lines away.

    Args:
        summary: what is seen of them, escaped.
        lines: in Markdown.
    """
    return ["", "<details>", f"<summary>{summary}</summary>", "", *lines, "", "</details>"]
