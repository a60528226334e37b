"""The first five minutes: a suite as ``modellab init`` writes it, on the small model."""

from __future__ import annotations

from pathlib import Path

import pytest
from starting import commands, follow

from pytest_modellab import cli


def test_init_then_pass_block_and_an_accepted_change(
    pytester: pytest.Pytester,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODELLAB_CACHE", str(cache))
    for name in ("CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["init"]) == 0
    first = follow(pytester, commands(capsys.readouterr().out))
    first.stdout.fnmatch_lines(["*prompting  success=1.00*PASS"])

    prompt = pytester.path / "suites" / "prompts" / "assistant.jinja"
    plain = prompt.read_text()
    prompt.write_text(plain.replace("Give a short, direct answer.", "Answer in French."))
    assert prompt.read_text() != plain
    blocked = pytester.runpytest("suites")
    assert blocked.ret == 1
    blocked.stdout.fnmatch_lines(["blocked: the mean score fell from 1.00 to 0.*"])

    prompt.write_text(plain.replace("a short, direct answer", "a short and direct answer"))
    harmless = pytester.runpytest("suites")
    assert harmless.ret == 0
    harmless.stdout.fnmatch_lines(["PASS: *"])
    assert cli.main(["accept", "prompting"]) == 0
    assert cli.main(["tasks", "check"]) == 0
