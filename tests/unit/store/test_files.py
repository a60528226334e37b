"""Single files of the store."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.records import reading
from pytest_modellab.records.hashing import digest
from pytest_modellab.store import files
from pytest_modellab.store.place import entry


def same(content: Any) -> Any:
    return content


CONTENT = {"b": [1, 2.5], "a": "é, \u2028", "c": None}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kind" / "file.json"
    files.write(path, {"b": [1, 2.5], "a": "é"}, of="it")
    content = '{"a":"é","b":[1,2.5]}\n'
    digest = hashlib.sha256(f"it\n{content}".encode()).hexdigest()
    assert path.read_text(encoding="utf-8") == f'{{"digest":"{digest}",{content[1:]}'
    assert files.read(path, same, of="it") == {"a": "é", "b": [1, 2.5]}


def test_a_missing_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert files.read(tmp_path / "none", same, of="", lost="it") is None
    assert files.read(tmp_path / "none" / "none", same, of="", lost="it") is None
    assert caplog.messages == []
    assert files.read(tmp_path, same, of="", lost="it is made again") is None
    where = "/".join(tmp_path.parts[-3:])
    assert caplog.messages == [f"it is made again: {where} cannot be read (Is a directory)"]


MISMATCH = "is damaged: its digest does not match what it holds"
UNSEALED = "has no digest, as an older version wrote it"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda line: line.replace(b"2.5", b"2.4"), MISMATCH),
        (lambda line: line[: len(line) // 2], MISMATCH),
        (lambda line: line[:-1], MISMATCH),
        (lambda line: line + b" ", MISMATCH),
        (lambda line: line + line, MISMATCH),
        (lambda line: json.dumps(json.loads(line)).encode(), MISMATCH),
        (lambda _: b"", MISMATCH),
        (lambda line: b"{" + line.partition(b",")[2], UNSEALED),
    ],
    ids=["number", "half", "end", "longer", "twice", "spaces", "empty", "unsealed"],
)
def test_what_is_not_believed_is_said(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[bytes], bytes],
    why: str,
) -> None:
    path = tmp_path / "kind" / "key" / "file.json"
    files.write(path, CONTENT, of="it")
    path.write_bytes(change(path.read_bytes()))
    assert files.read(path, same, of="it") is None
    assert caplog.messages == []
    assert files.read(path, same, of="it", lost="it is made again") is None
    assert caplog.messages == [f"it is made again: kind/key/file.json {why}"]


def test_another_entrys_file_is_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kind" / "key" / "file.json"
    files.write(path, CONTENT, of="one")
    assert files.read(path, same, of="two", lost="two is made again") is None
    assert caplog.messages == [f"two is made again: kind/key/file.json {MISMATCH}"]


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_no_changed_byte_is_believed(tmp_path: Path, place: int, change: int) -> None:
    files.write(tmp_path / "file", CONTENT, of="it")
    content = bytearray((tmp_path / "file").read_bytes())
    content[place % len(content)] ^= change
    (tmp_path / "file").write_bytes(content)
    assert files.read(tmp_path / "file", same, of="it") is None


def test_what_is_refused_counts_as_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_: Any) -> None:
        raise reading.Unfit("whole: False: expected true")

    path = tmp_path / "kind" / "key" / "file.json"
    files.write(path, {"whole": False}, of="")
    assert files.read(path, lambda data: data["whole"] or None, of="", lost="a") is None
    assert files.read(path, lambda data: data["none"], of="", lost="b") is None
    assert files.read(path, refused, of="", lost="c") is None
    why = "kind/key/file.json is not what this version reads"
    assert caplog.messages == [f"a: {why}", f"b: {why}", f"c: {why}: whole: False: expected true"]


@given(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"[" * 99999, b"1e999", b"NaN", b"null", b"[]", b"{}", b'"x"', b"-1"]),
    )
)
def test_any_junk_counts_as_missing(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "file").write_bytes(junk)
    assert files.read(tmp_path / "file", same, of="") is None


def test_a_mistake_that_no_content_makes_is_raised(tmp_path: Path) -> None:
    def make(_: Any) -> None:
        raise NotImplementedError("here")

    files.write(tmp_path / "file", {"a": 1}, of="")
    with pytest.raises(NotImplementedError, match="here"):
        files.read(tmp_path / "file", make, of="")


@pytest.mark.parametrize("size", [None, 0, 1, 9, 10])
def test_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None) -> None:
    monkeypatch.setattr(files, "PIECE", 4)
    (tmp_path / "file").write_bytes(b"0123456789")
    assert files.checksum(tmp_path / "file", size) == zlib.crc32(b"0123456789"[:size])


def test_entry(tmp_path: Path) -> None:
    """Named as every store that there is: a filled one must be found again."""
    made_of = [1, "a", {"b": 2.5, "a": None}]
    assert entry(tmp_path, "runs", made_of) == tmp_path / "runs" / digest(made_of)[:16]
    assert entry(tmp_path, "runs", made_of).name == "5a88f0f43c822ef5"


def test_a_folder_in_the_place_of_a_file_goes(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    (path / "inner").mkdir(parents=True)
    assert files.read(path, dict, of="x") is None
    files.write(path, {"a": 1}, of="x")
    assert files.read(path, dict, of="x") == {"a": 1}
    files.remove(path)
    files.remove(path)
    (tmp_path / "kept").mkdir()
    path.symlink_to("kept")
    files.remove(path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
