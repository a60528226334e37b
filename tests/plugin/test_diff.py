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
    for stored in (project.path / "cache").rglob("run.json"):
        stored.write_bytes(stored.read_bytes()[:100])
    assert cli.main(["diff", "plain"]) == 2
    err = capsys.readouterr().err
    assert "note: the stored run of plain on words is not used: runs/" in err
    assert "is damaged: its digest does not match" in err
    assert "modellab: 'plain' on 'words' has no stored run; run its tests, or modellab a" in err
    assert cli.main(["diff", "plain", "rounded@stored"]) == 2
    assert "'rounded' on 'words' has no stored run; run its tests, or modellab accept rounded" in (
        capsys.readouterr().err
    )
