"""Markdown as both Allures show it in a description: no tags, gaps between cells."""

from __future__ import annotations

import re

_GAP = "&emsp;"  # Allure 2 draws neither lines nor space between the cells of a table


_SUMMARY = re.compile(r"<summary>(.*?)</summary>")


_TAG = re.compile(r"</?(?:code|sub|details)>\n?")


_RULE = re.compile(r"[|: -]+")


def adapted(markdown: str) -> str:
    """Markdown of our reports for a description.

    Allure 3 shows a tag as text: tags go, and what is folded there stands open.

    Args:
        markdown: as our reports write it: a ``<`` or ``|`` of any other origin is an entity.
    """
    text = _TAG.sub(_line_end, _SUMMARY.sub(r"**\1**", markdown))
    return "\n".join(_spaced(line) for line in text.split("\n"))


def _line_end(found: re.Match[str]) -> str:
    return "\n" if found[0].endswith("\n") else ""


def _spaced(line: str) -> str:
    if not line.startswith("| ") or _RULE.fullmatch(line):
        return line
    return line.replace(" | ", f"{_GAP} | ")
