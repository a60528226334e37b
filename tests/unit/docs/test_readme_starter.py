"""README's own suite is the one that ``modellab init`` writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_modellab.starter import starter
from pytest_modellab.starter.kinds import KINDS
from pytest_modellab.starter.model import SMOLLM2

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["modellab.toml", "test_quantized.py"])
def test_readme_shows_what_init_writes(name: str) -> None:
    written = starter.files(KINDS["quantized"], SMOLLM2, None, KINDS["quantized"].tasks)[name]
    shown = re.findall(
        rf"^```\w+\n# suites/{re.escape(name)}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE
    )
    assert shown == [written], (
        f"README.md: the block '# suites/{name}' is not what "
        f"'modellab init --kind quantized' writes; put this there:\n{written}"
    )
