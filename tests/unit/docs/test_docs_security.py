"""docs/security.md: its limits are those of the code."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[3] / "docs" / "security.md").read_text(encoding="utf-8")
LIMITS = re.findall(r"^\| .* \| ([0-9.,]+) \| `([a-z0-9_.]+)\.([A-Z_]+)` \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("figure", "module", "name"), LIMITS)
def test_a_limit_is_the_codes(figure: str, module: str, name: str) -> None:
    value = getattr(importlib.import_module(f"pytest_modellab.{module}"), name)
    assert figure == f"{value:,}"


def test_no_limit_is_left_out() -> None:
    rows = TEXT.partition("## Limits")[2].partition("\n## ")[0].count("\n| ")
    assert len(LIMITS) == rows - 1  # the head
    assert len({row[1:] for row in LIMITS}) == len(LIMITS)


def test_the_campaign_has_its_place() -> None:
    assert re.search(r"^## The campaign\n\n<!-- campaign: begin -->\n", TEXT, re.MULTILINE)
    assert "\n<!-- campaign: end -->\n" in TEXT
