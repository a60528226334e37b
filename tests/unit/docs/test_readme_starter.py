"""README's own suite is the one that ``modellab init`` writes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from pytest_modellab import cli
from pytest_modellab.starter import starter
from pytest_modellab.starter.kinds import KINDS
from pytest_modellab.starter.model import SMOLLM2

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_the_tutorial_begins_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^\$ modellab (init .*)\n((?:.+\n)+?)```$", page, re.MULTILINE)
    shutil.copy(ROOT / "docs" / "questions.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(shown[0].split()) == 0
    assert capsys.readouterr().out.partition("\nnext:")[0].rstrip("\n") == shown[1].rstrip("\n")
    assert all(line in (tmp_path / "questions.csv").read_text() for line in _rows(page))
    prompt = (tmp_path / "suites" / "prompts" / "assistant.jinja").read_text()
    assert "Give a short, direct answer." in prompt
    assert "[variants.nf4]\n" in (tmp_path / "suites" / "modellab.toml").read_text()


def _rows(page: str) -> list[str]:
    (rows,) = re.findall(r"^```\n(question,answer,.*?)\n…\n```$", page, re.DOTALL | re.MULTILINE)
    return str(rows).splitlines()
