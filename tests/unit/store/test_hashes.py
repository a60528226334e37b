"""Hashes of large files: remembered while nothing says that a file has changed, else made anew."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.errors import ModelError
from pytest_modellab.models import locate
from pytest_modellab.models.files import hash_files
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.store import files, hashes, said
from pytest_modellab.store.hashes import LARGE, Memory

CONTENT = b"a" * LARGE
RIGHT = hashlib.sha256(CONTENT).hexdigest()
OTHER = b"b" * LARGE

posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners of files on this system")


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as left alone, though it was just written."""
    monkeypatch.setattr(hashes, "RACY", -60.0)
    path = tmp_path / "model.safetensors"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, as they are."""
    names: list[str] = []
    digest = hashes._digest

    def counted(file: Any) -> str:
        names.append(Path(file.name).name)
        return digest(file)

    monkeypatch.setattr(hashes, "_digest", counted)
    return names


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "hashes").rglob("*") if path.is_file())


def test_a_large_file_is_read_once(large: Path, tmp_path: Path, read: list[str]) -> None:
    for _ in range(3):
        assert Memory(tmp_path / "cache").sha256(large) == RIGHT
    assert read == [large.name]
    assert hashes.sha256(large) == RIGHT
    assert len(read) == 2, "no memory is in use"


def test_a_memory_is_in_use_within_its_block(large: Path, tmp_path: Path, read: list[str]) -> None:
    memory = Memory(tmp_path / "cache")
    for _ in range(2):
        with memory.used():
            hash_files([large])
    hash_files([large])
    assert len(read) == 2


def test_a_small_file_is_not_remembered(tmp_path: Path, read: list[str], large: Path) -> None:
    large.write_bytes(CONTENT[1:])
    memory = Memory(tmp_path / "cache")
    assert memory.sha256(large) == memory.sha256(large) == hashlib.sha256(CONTENT[1:]).hexdigest()
    assert len(read) == 2
    assert not (tmp_path / "cache").exists()


def test_links_lead_to_one_entry(large: Path, tmp_path: Path, read: list[str]) -> None:
    link = tmp_path / "link"
    link.symlink_to(large)
    memory = Memory(tmp_path / "cache")
    assert memory.sha256(link) == memory.sha256(large) == RIGHT
    assert len(read) == len(entries(tmp_path / "cache")) == 1
    other = tmp_path / "other"
    other.write_bytes(OTHER)
    link.unlink()
    link.symlink_to(other)
    assert memory.sha256(link) == hashlib.sha256(OTHER).hexdigest()


def test_a_change_with_size_and_time_put_back_is_seen(large: Path, tmp_path: Path) -> None:
    memory, before = Memory(tmp_path / "cache"), large.stat()
    memory.sha256(large)
    with large.open("r+b") as file:
        file.write(OTHER)
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = large.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert memory.sha256(large) == hashlib.sha256(OTHER).hexdigest()


def test_a_file_in_its_place_is_seen(large: Path, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "cache")
    memory.sha256(large)
    other = tmp_path / "other"
    other.write_bytes(OTHER)
    os.replace(other, large)
    assert memory.sha256(large) == hashlib.sha256(OTHER).hexdigest()


def test_what_was_just_written_is_not_remembered(
    large: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "RACY", 2.0)
    memory = Memory(tmp_path / "cache")
    assert [memory.sha256(large) for _ in range(2)] == [RIGHT] * 2
    assert len(read) == 2
    assert entries(tmp_path) == []
    stamp = hashes._stamp

    def aged(seconds: float) -> None:
        def older(status: os.stat_result) -> hashes.Stamp:
            size, content, state, *place = stamp(status)
            earlier = int(seconds * 1e9)
            return (size, content - 2 * earlier, state - earlier, place[0], place[1])

        monkeypatch.setattr(hashes, "_stamp", older)

    aged(1.0)
    memory.sha256(large)
    assert entries(tmp_path / "cache") == []
    aged(2.5)
    memory.sha256(large)
    assert len(entries(tmp_path / "cache")) == 1


@pytest.mark.parametrize(
    ("content", "status", "kept"),
    [(10**18, 10**18, 0), (10**18 + 1, 10**18 + 1, 1), (10**18, 10**18 + 10**9, 1)],
)
def test_what_an_images_maker_has_dated_is_not_remembered(
    content: int,
    status: int,
    kept: int,
    large: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An image that takes another's place may have its sizes, times and inodes."""

    def imaged(found: os.stat_result) -> hashes.Stamp:
        return (found.st_size, content, status, 7, 7)

    monkeypatch.setattr(hashes, "_stamp", imaged)
    memory = Memory(tmp_path / "cache")
    assert memory.sha256(large) == RIGHT
    assert len(entries(tmp_path / "cache")) == kept
    large.write_bytes(OTHER)
    assert (memory.sha256(large) == RIGHT) is bool(kept)


def test_what_changes_while_it_is_read_is_not_remembered(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashes._digest

    def changed(file: Any) -> str:
        found = digest(file)
        large.write_bytes(OTHER + b"c")
        return found

    monkeypatch.setattr(hashes, "_digest", changed)
    assert Memory(tmp_path / "cache").sha256(large) == RIGHT
    assert entries(tmp_path / "cache") == []


# --- asked for anew ------------------------------------------------------------------------------


def edit(cache: Path, of: Path, **changes: object) -> Path:
    """Have an entry say something else, under a right seal."""
    (entry,) = entries(cache)
    held = files.read(entry, dict, of=str(of))
    assert held is not None
    files.write(entry, {**held, **changes}, of=str(of))
    return entry


def test_rehash(large: Path, tmp_path: Path, read: list[str]) -> None:
    cache = tmp_path / "cache"
    Memory(cache).sha256(large)
    anew = Memory(cache, anew=True)
    assert [anew.sha256(large) for _ in range(3)] == [RIGHT] * 3
    assert len(read) == 2, "once more, and then what it has read itself"


def test_rehash_tells_of_a_change_that_nothing_else_shows(large: Path, tmp_path: Path) -> None:
    cache, heard = tmp_path / "cache", list[str]()
    Memory(cache).sha256(large)
    edit(cache, large, sha256="0" * 64)
    assert Memory(cache).sha256(large) == "0" * 64, "what is remembered counts"
    with said.listening(heard.append):
        assert Memory(cache, anew=True).sha256(large) == RIGHT
    assert heard == [
        f"{large}: its content has changed though its size and times have not: the sha256 was "
        f"{'0' * 16}… and is {RIGHT[:16]}… now, which counts. What ran since the last reading "
        "carries the old one. Check the disk, and who put times back"
    ]
    assert Memory(cache).sha256(large) == RIGHT, "the new one is remembered"
    with said.listening(heard.append):
        Memory(cache, anew=True).sha256(large)
    assert len(heard) == 1


# --- what is not believed ------------------------------------------------------------------------


def _truncate(entry: Path) -> None:
    entry.write_bytes(entry.read_bytes()[:-20])


def _flip(entry: Path) -> None:
    entry.write_bytes(entry.read_bytes().replace(RIGHT[:8].encode(), b"00000000"))


def _folder(entry: Path) -> None:
    entry.unlink()
    entry.mkdir()


@pytest.mark.parametrize("damage", [_truncate, _flip, _folder], ids=lambda f: f.__name__)
def test_a_damaged_entry_is_made_again(
    large: Path, tmp_path: Path, read: list[str], damage: Callable[[Path], None]
) -> None:
    cache = tmp_path / "cache"
    Memory(cache).sha256(large)
    (entry,) = entries(cache)
    damage(entry)
    assert [Memory(cache).sha256(large) for _ in range(2)] == [RIGHT] * 2
    assert len(read) == 2
    assert json.loads(entry.read_text())["sha256"] == RIGHT


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "0" * 63},
        {"sha256": "X" * 64},
        {"sha256": None},
        {"stamp": [LARGE]},
        {"stamp": [LARGE, 1, 2, 3, "4"]},
        {"stamp": [LARGE, 1, 2, 3, 4, 5]},
        {"stamp": {}},
    ],
    ids=str,
)
def test_an_entry_of_another_form(
    large: Path, tmp_path: Path, read: list[str], changes: dict[str, object]
) -> None:
    cache = tmp_path / "cache"
    Memory(cache).sha256(large)
    edit(cache, large, **changes)
    assert Memory(cache).sha256(large) == RIGHT
    assert len(read) == 2


def test_the_entry_of_another_file(large: Path, tmp_path: Path, read: list[str]) -> None:
    cache, other = tmp_path / "cache", tmp_path / "other.safetensors"
    other.write_bytes(OTHER)
    Memory(cache).sha256(large)
    (first,) = entries(cache)
    Memory(cache).sha256(other)
    (second,) = set(entries(cache)) - {first}
    os.replace(first, second)
    assert Memory(cache).sha256(other) == hashlib.sha256(OTHER).hexdigest()
    assert read == [large.name, other.name, other.name]


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777], ids=oct)
def test_a_folder_that_others_may_write(
    large: Path, tmp_path: Path, read: list[str], mode: int
) -> None:
    cache = tmp_path / "cache"
    Memory(cache).sha256(large)
    edit(cache, large, sha256="0" * 64)
    (cache / "hashes" / str(os.getuid())).chmod(mode)
    assert Memory(cache).sha256(large) == RIGHT
    assert len(read) == 2
    assert '"0000' in entries(cache)[0].read_text(), "nothing is kept there either"


@posix
def test_a_folder_that_somebody_else_has_made(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, me = tmp_path / "cache", os.getuid()
    Memory(cache).sha256(large)
    edit(cache, large, sha256="0" * 64)
    mine = Memory(cache)
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert mine.sha256(large) == RIGHT
    monkeypatch.setattr(os, "getuid", lambda: me)
    folder = cache / "hashes" / str(me)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert Memory(cache).sha256(large) == RIGHT


@posix
def test_the_folder_is_for_its_user_alone(large: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Memory(tmp_path / "cache").sha256(large)
    finally:
        os.umask(before)
    assert (tmp_path / "cache" / "hashes" / str(os.getuid())).stat().st_mode & 0o777 == 0o700


def test_a_store_that_cannot_be_written(large: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert Memory(tmp_path / "cache").sha256(large) == RIGHT


def test_the_oldest_go_first(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    monkeypatch.setattr(hashes, "MOST", 3)
    memory = Memory(tmp_path / "cache")
    places = []
    for number in range(5):
        places.append(tmp_path / f"{number}.gguf")
        os.link(large, places[-1])
    for place in places:
        known = set(entries(tmp_path / "cache"))
        memory.sha256(place)
        (new,) = set(entries(tmp_path / "cache")) - known
        os.utime(new, ns=(1, int(place.stem)))
    assert len(entries(tmp_path / "cache")) == 3
    del read[:]
    for place in reversed(places[2:]):
        memory.sha256(place)
    assert read == []
    memory.sha256(places[0])
    assert read == ["0.gguf"]


def test_two_processes_at_once(large: Path, tmp_path: Path, read: list[str]) -> None:
    code = (
        "import sys; from pathlib import Path; from pytest_modellab.store import hashes\n"
        "hashes.RACY = -60.0\n"
        "for _ in range(40):\n"
        "    memory = hashes.Memory(Path(sys.argv[1]), anew=True)\n"
        "    print(memory.sha256(Path(sys.argv[2])))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), str(large)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        out, _ = process.communicate(timeout=60)
        assert out.split() == [RIGHT] * 40
        assert process.returncode == 0
    assert Memory(tmp_path / "cache").sha256(large) == RIGHT
    assert read == []
    (entry,) = entries(tmp_path / "cache")
    assert [path.name for path in entry.parent.iterdir()] == [entry.name], "nothing is left over"


# --- models --------------------------------------------------------------------------------------


def test_a_declared_hash_is_compared_with_a_remembered_one(
    large: Path, tmp_path: Path, read: list[str]
) -> None:
    file = large.rename(tmp_path / "a.gguf")
    right = ModelSource("tiny", str(file), sha256=RIGHT)
    with Memory(tmp_path / "cache").used():
        for _ in range(2):
            assert locate.locate(right, tmp_path).weights == RIGHT
        file.write_bytes(OTHER)
        found = hashlib.sha256(OTHER).hexdigest()
        for _ in range(2):
            with pytest.raises(ModelError, match=f"has sha256 {found}, but {RIGHT} is declared"):
                locate.locate(right, tmp_path)
    assert read == ["a.gguf", "a.gguf"]


def test_a_pointer_in_the_place_of_a_remembered_file(large: Path, tmp_path: Path) -> None:
    with Memory(tmp_path / "cache").used():
        hash_files([large])
        large.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:7\nsize 9\n")
        with pytest.raises(ModelError, match="a Git LFS pointer"):
            hash_files([large])
