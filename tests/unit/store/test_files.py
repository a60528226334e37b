"""Single files of the store."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_modellab.records.hashing import digest
from pytest_modellab.store import files
from pytest_modellab.store.place import entry


def same(content: Any) -> Any:
    return content


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kind" / "file.json"
    files.write(path, {"b": [1, 2.5], "a": "é"})
    assert path.read_text(encoding="utf-8") == '{"a":"é","b":[1,2.5]}\n'
    assert files.read(path, same) == {"a": "é", "b": [1, 2.5]}


def test_a_missing_file(tmp_path: Path) -> None:
    assert files.read(tmp_path / "none", same) is None
    assert files.read(tmp_path / "none" / "none", same) is None
    assert files.read(tmp_path, same) is None


def test_what_is_refused_counts_as_missing(tmp_path: Path) -> None:
    files.write(tmp_path / "file", {"whole": False})
    assert files.read(tmp_path / "file", lambda data: data if data["whole"] else None) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"[" * 99999, b"1e999", b"NaN", b"null", b"[]", b"{}", b'"x"', b"-1"]),
    )
)
def test_any_junk_counts_as_missing(tmp_path: Path, junk: bytes) -> None:
    def make(data: Any) -> list[int]:
        return [int(data), data["a"], data.keys(), 1 / data["b"], data["c"][0]]

    (tmp_path / "file").write_bytes(junk)
    assert files.read(tmp_path / "file", make) is None


def test_a_mistake_that_no_content_makes_is_raised(tmp_path: Path) -> None:
    def make(_: Any) -> None:
        raise NotImplementedError("here")

    files.write(tmp_path / "file", 1)
    with pytest.raises(NotImplementedError, match="here"):
        files.read(tmp_path / "file", make)


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
