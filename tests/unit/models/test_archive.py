"""Zipped models and heads of GGUF files that somebody made on purpose."""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_modellab.errors import ModelError, StoreError
from pytest_modellab.models import archive, gguf_head
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource


def unpack(path: Path) -> Path:
    target = path.parent / "unpacked"
    target.mkdir()
    source = ModelSource("tiny", path.name)
    archive.unpack(ModelFiles(source, path, weights="0", tokenizer="0"), target)
    return target


def message(path: Path) -> str:
    """What is said after the archive's path; nothing is written."""
    with pytest.raises(ModelError) as caught:
        unpack(path)
    assert not list((path.parent / "unpacked").rglob("*"))
    return str(caught.value).partition(f"{path} ")[2]


def packed(path: Path, *members: zipfile.ZipInfo | str, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for member in members:
            file.writestr(member, "x")
    return path


def member(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename, info.external_attr = name, mode << 16
    return info


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "C:/x", "C:\\x", "a\\..\\..\\x", "a:b", "what?"]
)
def test_a_name_that_leads_elsewhere(tmp_path: Path, name: str) -> None:
    assert message(packed(tmp_path / "m.zip", member(name))) == (
        f"is not unpacked: {name!r} in it has a name that leads elsewhere, or that not every "
        "system can write; pack the model's plain files anew"
    )


@pytest.mark.parametrize("name", ["con", "a/NUL.txt", "Com1.json"])
def test_the_name_of_a_device(tmp_path: Path, name: str) -> None:
    assert "in it has the name of a device; " in message(packed(tmp_path / "m.zip", member(name)))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_no_plain_file(tmp_path: Path, kind: int) -> None:
    path = packed(tmp_path / "m.zip", member("x", kind | 0o777))
    assert "'x' in it is a link or a device, not a file; " in message(path)


def test_two_of_one_name(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.zip", member("a.json"), member("A.json"))
    assert message(path).startswith("is not unpacked: it holds 'A.json' twice")


def test_another_way_of_packing(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.zip", "x", method=zipfile.ZIP_LZMA)
    assert "'x' in it is packed by method 14, only deflate is unpacked; " in message(path)


def test_encrypted(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.zip", "x")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(raw)
    assert "'x' in it is encrypted; " in message(path)


def test_a_file_and_a_folder_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"m\.zip cannot be unpacked: .*; fetch it again"):
        unpack(packed(tmp_path / "m.zip", member("a"), member("a/b")))


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ENTRIES", 2)
    path = packed(tmp_path / "m.zip", *map(str, range(3)))
    assert "it holds 3 files, and a model has no more than 2" in message(path)


def test_a_zip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SMALL", 1000)
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model.safetensors", bytes(1_000_000))
    assert "bytes unpack to 1,000,000, more than 50 times as many" in message(path)


def test_sizes_that_lie(tmp_path: Path) -> None:
    """The directory says one byte, the file holds a million: no more than one is written."""
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model.safetensors", bytes(1_000_000))
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\1\2")
    raw[at + 24 : at + 28] = struct.pack("<I", 1)
    path.write_bytes(raw)
    with pytest.raises(ModelError, match="cannot be unpacked: Bad CRC-32"):
        unpack(path)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors")) <= 1


def test_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises((OSError, StoreError)):
        unpack(packed(tmp_path / "m.zip", "x"))


def test_a_plain_zip(tmp_path: Path) -> None:
    """Archives in it stay packed; a mode that is not the umask's is not taken over."""
    path = packed(tmp_path / "m.zip", "config.json", member("a/inner.zip", stat.S_IFREG | 0o7777))
    target = unpack(path)
    assert (target / "config.json").read_text() == (target / "a/inner.zip").read_text() == "x"
    assert not (target / "a/inner.zip").stat().st_mode & 0o7111


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def head(keys: int, tensors: int = 0, *parts: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + b"".join(parts) + bytes(64)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (head(1, 0, text(b"a"), struct.pack("<IIQ", 9, 0, 2**62)), "lists of more than 4,000,000"),
        (head(1, 0, text(b"a"), struct.pack("<IIQ", 9, 8, 2**62)), "lists of more than 4,000,000"),
        (head(1, 0, text(b"a"), struct.pack("<IIQ", 9, 4, 4000)), "ends within its head"),
        (head(1, 0, struct.pack("<Q", 2**63)), "ends within its head"),
        (head(1, 0, text(b"a"), struct.pack("<I", 9), struct.pack("<IQ", 9, 1) * 300), "in lists"),
        (head(1, 0, text(b"a"), struct.pack("<I", 77)), "values of an unknown type"),
        (head(2**60), "says that it has 0 tensors and 1,152,921,504,606,846,976 keys"),
        (head(0, 2**60), "says that it has 1,152,921,504,606,846,976 tensors and 0 keys"),
    ],
)
def test_a_head_that_says_too_much(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=told):
        gguf_head.check(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_one_file_of_an_archive(tmp_path: Path, method: int) -> None:
    path = packed(tmp_path / "m.zip", "a.json")
    assert archive.member(path, "a.json") == b"x"
    assert archive.member(path, "b.json") is None
    # what is wrong is told when the archive is unpacked
    assert archive.member(packed(path, "a.json", method=method), "a.json") is None
    path.write_bytes(b"PK\x03\x04")
    assert archive.member(path, "a.json") is None
