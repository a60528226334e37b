"""Markdown without HTML: Allure 3 shows a tag in a description as text."""

from __future__ import annotations

import re

_SUMMARY = re.compile(r"<summary>(.*?)</summary>")
_TAG = re.compile(r"</?(?:code|sub|details)>\n?")


def untagged(markdown: str) -> str:
    """Markdown of our reports with its tags taken away; what is folded there stands open.

    Args:
        markdown: as our reports write it: a ``<`` of any other origin is an entity.
    """
    return _TAG.sub(_line_end, _SUMMARY.sub(r"**\1**", markdown))


def _line_end(found: re.Match[str]) -> str:
    return "\n" if found[0].endswith("\n") else ""
