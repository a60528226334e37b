"""Folders of the store: made once, whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.errors import ModelError, StoreError, TaskSetError, store_errors_as
from pytest_modellab.store import folders, manifest

MAKER = """
import pathlib, sys, time
from pytest_modellab.store import folders
target, log, seconds = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3])
def write(folder):
    with log.open("a") as file:
        file.write("made\\n")
    (folder / "first").write_text("1")
    time.sleep(seconds)
    (folder / "second").write_text("2")
made = folders.folder(target, write, what="numbers")
print(*sorted(file.name for file in made.iterdir() if file.name != "manifest.json"))
"""


def maker(target: Path, log: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, str(target), str(log), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )


def content(folder: Path) -> str | None:
    file = folder / "file"
    return file.read_text() if file.is_file() else None


def writes(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "file").write_text(text)

    return write


def fails(folder: Path) -> None:
    raise AssertionError("made again")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != manifest.NAME)


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    target, log = tmp_path / "kind" / "key", tmp_path / "log"
    both = [maker(target, log, 0.5) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["first second\n"] * 2
    assert log.read_text() == "made\n"
    assert [name for name in names(tmp_path / "kind") if not name.endswith(".lock")] == ["key"]


def test_a_killed_process_leaves_no_half_folder(tmp_path: Path) -> None:
    target, log = tmp_path / "key", tmp_path / "log"
    process = maker(target, log, 60)
    while not [*tmp_path.glob(".key.*/first")]:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not target.exists()
    assert len([*tmp_path.glob(".key.*")]) == 1
    assert folders.folder(target, writes("x"), content, what="a file") == "x"
    assert [name for name in names(tmp_path) if not name.endswith(".lock")] == ["key", "log"]


def test_many_threads_make_it_once(tmp_path: Path) -> None:
    made: list[Path] = []
    found: list[str] = []

    def write(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.05)
        writes("whole")(folder)

    def ask() -> None:
        found.append(folders.folder(tmp_path / "a" / "b", write, content, what="a file"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["whole"] * 4
    assert len(made) == 1


def test_a_folder_that_is_there_is_returned(tmp_path: Path) -> None:
    target = tmp_path / "a"
    assert folders.folder(target, writes("x"), what="a file") == target
    assert folders.folder(target, fails, what="a file") == target
    assert content(target) == "x"


def test_a_store_that_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is found without a lock: a filled store may be mounted read-only."""
    target = tmp_path / "a"
    folders.folder(target, writes("x"), what="a file")
    (tmp_path / "a.lock").unlink(missing_ok=True)
    folders.folder(target, fails, content, what="a file")
    assert names(tmp_path) == ["a"]


def test_a_damaged_folder_is_made_anew(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.mkdir()
    (target / "other").touch()
    (tmp_path / ".a.killed").mkdir()
    (tmp_path / ".ab.of-another").mkdir()
    assert folders.folder(target, writes("x"), content, what="a file") == "x"
    assert [n for n in names(tmp_path) if n != "a.lock"] == [".ab.of-another", "a"]
    assert names(target) == ["file"]


def test_others_may_read_what_was_made(tmp_path: Path) -> None:
    folders.folder(tmp_path / "a", writes("x"), what="a file")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.EIO, "x")])
def test_a_failed_write_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def write(folder: Path) -> None:
        writes("half")(folder)
        raise error

    with pytest.raises(type(error)) as caught:
        folders.folder(tmp_path / "a", write, content, what="a file")
    assert caught.value is error
    assert [n for n in names(tmp_path) if n != "a.lock"] == []
    assert folders.folder(tmp_path / "a", writes("x"), content, what="a file") == "x"


def test_a_failed_write_leaves_the_damaged_folder(tmp_path: Path) -> None:
    """It may be another layout's or somebody's evidence: only what replaces it removes it."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "other").touch()

    def write(_: Path) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        folders.folder(tmp_path / "a", write, content, what="a file")
    assert names(tmp_path / "a") == ["other"]


@pytest.mark.parametrize("where", ["write", "mkdir", "replace"])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def full(*_: object, **parents: bool) -> None:
        if not parents:  # of the folder itself
            raise folders.disk_full()

    if where == "mkdir":
        monkeypatch.setattr(Path, "mkdir", full)
    elif where == "replace":
        monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError) as caught:
        folders.folder(tmp_path / "a", full if where == "write" else writes("x"), what="model 'm'")
    assert str(caught.value) == (
        f"model 'm': not enough disk space in {tmp_path}. Free some, or choose another folder: "
        "MODELLAB_CACHE=/some/folder"
    )
    assert not (tmp_path / "a").exists()
    assert [*tmp_path.glob(".a.*")] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_the_system_calls_full(tmp_path: Path) -> None:
    def write(_: Path) -> None:
        Path("/dev/full").write_text("x")

    with pytest.raises(StoreError, match=r"^words: not enough disk space in .*\. Free some, or "):
        folders.folder(tmp_path / "a", write, what="words")


def test_what_was_written_must_be_readable(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"what was just written cannot be read: '.*/a'$"):
        folders.folder(tmp_path / "a", lambda _: None, content, what="a file")


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FileExistsError):
        folders.folder(tmp_path / "a" / "b", writes("x"), content, what="a file")


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["ask", "fail", "damage", "remove", "kill"]), max_size=8))
def test_whatever_happens_before(tmp_path_factory: pytest.TempPathFactory, past: list[str]) -> None:
    """After any history the folder is whole, and only it and its lock are there."""
    root = tmp_path_factory.mktemp("store")
    target = root / "k[1]-v1"  # as a name with signs that a pattern would read otherwise

    def broken(folder: Path) -> None:
        writes("half")(folder)
        raise ValueError("no")

    for number, event in enumerate(past):
        if event == "ask":
            assert folders.folder(target, writes("x"), content, what="a file") == "x"
        elif event == "fail" and content(target) is None:
            with pytest.raises(ValueError, match="no"):
                folders.folder(target, broken, content, what="a file")
        elif event == "damage" and target.is_dir():
            (target / "file").unlink(missing_ok=True)
        elif event == "remove":
            shutil.rmtree(target, ignore_errors=True)
        elif event == "kill" and content(target) is None:
            (root / f".{target.name}.{number}").mkdir()
        assert content(target) in (None, "x")
    assert folders.folder(target, writes("x"), content, what="a file") == "x"
    assert [name for name in names(root) if not name.endswith(".lock")] == [target.name]


def test_a_lock_of_a_folder_that_grows(tmp_path: Path) -> None:
    from filelock import Timeout

    with folders.lock(tmp_path / "runs" / "a"), pytest.raises(Timeout):
        folders.lock(tmp_path / "runs" / "a").acquire(timeout=0.01)
    assert (tmp_path / "runs" / "a").is_dir()


def a_file(place: Path) -> None:
    place.write_text("x")


def a_link_to_itself(place: Path) -> None:
    place.symlink_to(place)


def a_link_to_a_folder(place: Path) -> None:
    (place.parent / "other").mkdir()
    place.symlink_to(place.parent / "other")


@pytest.mark.parametrize("put", [a_file, a_link_to_itself])
def test_what_is_no_folder_that_grows_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, put: Callable[[Path], None]
) -> None:
    place = tmp_path / "runs" / "a"
    place.parent.mkdir()
    put(place)
    with folders.lock(place):
        assert [path.name for path in place.iterdir()] == ["lock"]
    with folders.lock(place):
        assert caplog.messages == ["runs/a is no folder and is made anew"]


def test_a_link_to_a_folder_that_grows_stays(tmp_path: Path) -> None:
    a_link_to_a_folder(tmp_path / "a")
    with folders.lock(tmp_path / "a"):
        assert (tmp_path / "a").is_symlink()
        assert (tmp_path / "other" / "lock").is_file()


@pytest.mark.parametrize("put", [a_file, a_link_to_itself])
def test_what_is_no_folder_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, put: Callable[[Path], None]
) -> None:
    place = tmp_path / "kind" / "key"
    place.parent.mkdir()
    put(place)
    for _ in range(2):
        assert folders.folder(place, writes("x"), content, what="a file") == "x"
    assert caplog.messages == ["a file is made anew: kind/key is no folder"]


def test_a_link_to_a_damaged_folder_is_replaced(tmp_path: Path) -> None:
    """The link alone: what it led to stays."""
    place = tmp_path / "key"
    a_link_to_a_folder(place)
    assert folders.folder(place, writes("x"), content, what="a file") == "x"
    assert not place.is_symlink()
    assert (tmp_path / "other").is_dir()


def test_a_folder_in_place_of_a_lock_is_removed(tmp_path: Path) -> None:
    (tmp_path / "runs" / "a" / "lock" / "inner").mkdir(parents=True)
    with folders.lock(tmp_path / "runs" / "a"):
        assert (tmp_path / "runs" / "a" / "lock").is_file()
    (tmp_path / "key.lock").mkdir()
    assert folders.folder(tmp_path / "key", writes("x"), content, what="a file") == "x"


def test_no_space() -> None:
    assert folders.no_space(Path("/a"), "1.5 GB of vectors") == (
        "not enough disk space in /a for 1.5 GB of vectors. Free some, or choose another folder: "
        "MODELLAB_CACHE=/some/folder"
    )


@pytest.mark.parametrize("kind", [ModelError, TaskSetError])
def test_store_errors_as(kind: type[ModelError | TaskSetError]) -> None:
    first = StoreError("words: not enough disk space in /a")
    with pytest.raises(kind) as caught, store_errors_as(kind):
        raise first
    assert str(caught.value) == "words: not enough disk space in /a"
    assert caught.value.__cause__ is first
    with pytest.raises(OSError, match="other"), store_errors_as(kind):
        raise OSError("other")
