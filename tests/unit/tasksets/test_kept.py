"""What a task set's error says of the store."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pytest_modellab.errors import TaskSetError
from pytest_modellab.tasksets import kept


def content(folder: Path) -> str | None:
    file = folder / "file"
    return file.read_text() if file.is_file() else None


def test_what_is_read_is_returned(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "file").write_text("x")

    assert kept.folder(tmp_path / "a", write, content, what="a file") == "x"


def test_a_full_disk(tmp_path: Path) -> None:
    target = tmp_path / "b"

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(TaskSetError) as caught:
        kept.folder(target, full, content, what="a file")
    assert str(caught.value) == (
        f"{target}: cannot be written: not enough disk space. Free some space, or choose another "
        "folder: MODELLAB_CACHE=/some/folder"
    )


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(TaskSetError, match=r"a/b: cannot be written: \[Errno 17\] File exists"):
        kept.folder(tmp_path / "a" / "b", lambda _: None, content, what="a file")
