"""``modellab diff`` after a run of a random model: what is stored beside what is accepted."""

from __future__ import annotations

import pytest

from pytest_modellab import cli


def test_a_stored_run_beside_the_accepted_one(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.path)
    assert cli.main(["accept", "plain"]) == 0
    capsys.readouterr()
    assert cli.main(["diff", "plain"]) == 0
    out = capsys.readouterr().out
    assert "\nA  plain: accepted run of 20" in out
    assert "\nB  plain: stored run of 20" in out
    assert out.endswith("nothing to show: no sample moved like that\n")
    assert cli.main(["diff", "plain", "rounded@stored"]) == 2
    assert "'rounded' on 'words' has no stored run; run its tests, or modellab accept rounded" in (
        capsys.readouterr().err
    )
