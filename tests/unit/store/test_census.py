"""What lies in a store: its own entries and nothing else; and which of them go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_modellab.store import census
from pytest_modellab.store.census import Kept

KEY = "0123456789abcdef"


def test_a_folder_of_somebody_is_no_store(tmp_path: Path) -> None:
    own = [f"runs/{KEY}", f"models/{KEY}-v1.2", f"tasksets/lee-news-{KEY}-v1"]
    theirs = ["models/smollm2", "media/photo.png", f"runs/.{KEY}.tmp", f"src/{KEY}"]
    theirs += [f"models/.lee-{KEY}", f"models/{KEY}.lock", "runs/\x1b[31m", "corpora/deadbeef"]
    for name in (*own, *theirs):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(b"1234")
    found = [*census.entries(tmp_path)]
    assert sorted(f"{one.kind}/{one.name}" for one in found) == sorted(own)
    assert {one.size for one in found} == {4}
    for one in found:
        assert census.remove(one)
    left = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert left == sorted(Path(name, "file") for name in theirs), "no lock is left, either"


def test_what_a_session_moves_meanwhile_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / KEY
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(b"1234")

    def walk(path: Path) -> list[tuple[str, list[str], list[str]]]:
        return [(str(path), [], ["run.json", ".run.json.01234567.tmp"])]

    monkeypatch.setattr(os, "walk", walk)
    assert [one.size for one in census.entries(tmp_path)] == [4]


@pytest.mark.parametrize(
    ("seconds", "size", "gone"),
    [
        (None, None, ""),
        (None, 29, "a"),
        (None, 23, "a"),
        (None, 5, "ab"),
        (None, 4, "abc"),
        (15.0, None, "a"),
        (15.0, 22, "ab"),
        (1e9, None, ""),
    ],
)
def test_the_oldest_go_until_no_more_is_left(
    seconds: float | None, size: int | None, gone: str
) -> None:
    found = [Kept("runs", "c", 5, 100.0), Kept("runs", "a", 7, 80.0), Kept("runs", "b", 18, 90.0)]
    chosen = census.oldest(found, 100.0, seconds=seconds, size=size)
    assert "".join(one.name for one in chosen) == gone


def test_an_entry_from_the_future_is_the_newest() -> None:
    found = [Kept("runs", "a", 5, 1e12), Kept("runs", "b", 5, 90.0)]
    assert [one.name for one in census.oldest(found, 100.0, seconds=1.0, size=None)] == ["b"]
