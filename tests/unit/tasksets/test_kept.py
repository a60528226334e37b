"""Folders of the cache: made once, whole or not at all."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path

import pytest

from pytest_modellab.errors import TaskSetError
from pytest_modellab.tasksets import kept


def content(folder: Path) -> str | None:
    file = folder / "file"
    return file.read_text() if file.is_file() else None


def test_made_once_by_many_at_a_time(tmp_path: Path) -> None:
    made: list[Path] = []

    def write(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.05)
        (folder / "file").write_text("whole")

    found: list[str] = []
    target = tmp_path / "a" / "b"
    threads = [
        threading.Thread(target=lambda: found.append(kept.folder(target, write, content)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["whole"] * 4
    assert len(made) == 1


def test_leftovers_and_damage_are_removed(tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.mkdir()
    (target / "other").touch()
    (tmp_path / ".b.killed").mkdir()

    def write(folder: Path) -> None:
        (folder / "file").write_text("x")

    assert kept.folder(target, write, content) == "x"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "b.lock"]
    assert [p.name for p in target.iterdir()] == ["file"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "b"

    def full(folder: Path) -> None:
        (folder / "file").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(TaskSetError) as caught:
        kept.folder(target, full, content)
    assert str(caught.value) == (
        f"{target}: cannot be written: not enough disk space. Free some space, or choose another "
        "folder: MODELLAB_CACHE=/some/folder"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["b.lock"]


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(TaskSetError, match=r"a/b: cannot be written: \[Errno 17\] File exists"):
        kept.folder(tmp_path / "a" / "b", lambda _: None, content)
