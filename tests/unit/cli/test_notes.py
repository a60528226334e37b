"""A command says what the store does not believe."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_modellab import testing
from pytest_modellab.cli import init, main
from pytest_modellab.store import said


def test_a_damaged_index_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "cache"))
    queries = {"q": ("which oak?", {"a": 1}), "r": ("which elm?", {"b": 1})}
    testing.write_retrieval_set(tmp_path / "found", {"a": "oak", "b": "elm"}, queries)
    main(["tasks", "check", str(tmp_path / "found")])
    assert "note:" not in capsys.readouterr().err
    (index,) = (tmp_path / "cache" / "corpora").glob("*/index.npy")
    size = index.stat().st_size
    index.write_bytes(b"")
    main(["tasks", "check", str(tmp_path / "found")])
    told = [text for text in capsys.readouterr().err.splitlines() if text.startswith("note:")]
    assert told == [
        f"note: the index of a corpus is made anew: corpora/{index.parent.name} is damaged: "
        f"index.npy has 0 bytes and should have {size}"
    ]


def test_what_begins_is_said_where_somebody_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> int:
        said.begin("downloading a/b\x1b[2J (270 MB) …")
        return 0

    monkeypatch.setattr(init, "run", run)
    assert main(["init"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "downloading a/b\\x1b[2J (270 MB) …\n")
    said.begin("nobody listens any more")
    assert capsys.readouterr() == ("", "")
