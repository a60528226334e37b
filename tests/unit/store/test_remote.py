"""A store that machines share, in a folder and in fsspec's memory."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import s3_server

from pytest_modellab.errors import ConfigError, StoreError
from pytest_modellab.store import files, remote, said
from pytest_modellab.store.remote import Remote
from pytest_modellab.store.results import Result

NAME = "runs/k.json"

Make = Callable[[dict[str, Any]], object | None]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an empty bucket, on a server that speaks S3."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    with s3_server.serving() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.items():
            patch.setenv(name, value)
        yield f"s3://{s3_server.BUCKET}"


@pytest.fixture(params=["folder", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "team")
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/{uuid.uuid4().hex}"
    pytest.importorskip("fsspec")
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def heard() -> Iterator[list[str]]:
    lines: list[str] = []
    with said.listening(lines.append):
        yield lines


def stored(folder: Path, name: str, content: dict[str, int], of: str = "k") -> Path:
    path = folder / name
    files.write(path, content, of=of)
    return path


def at(file: Path, key: str = "k", make: Make = dict) -> Result[Any]:
    return Result(file, "runs", key, make)


def raw(url: str) -> tuple[object, str]:
    fsspec = pytest.importorskip("fsspec")
    fs, root = fsspec.core.url_to_fs(url)
    return fs, f"{root}/{remote.LAYOUT}/{NAME}"


def test_what_one_machine_sends_another_fetches(url: str, tmp_path: Path, heard: list[str]) -> None:
    mine, theirs = stored(tmp_path, "a/run.json", {"a": 1}), tmp_path / "b" / "run.json"
    assert not Remote(url).fetch(at(theirs))
    assert Remote(url).send(at(mine)) is None
    assert Remote(url).send(at(mine)) is None, "the same again is no quarrel"
    assert Remote(url).fetch(at(theirs))
    assert theirs.read_bytes() == mine.read_bytes()
    assert heard == []


def test_the_first_of_two_writers_is_right(url: str, tmp_path: Path, heard: list[str]) -> None:
    first, second = stored(tmp_path, "a.json", {"a": 1}), stored(tmp_path, "b.json", {"a": 2})
    assert Remote(url).send(at(first)) is None
    assert Remote(url).send(at(second)) == {"a": 1}
    assert second.read_bytes() == first.read_bytes()
    (line,) = heard
    assert line == (
        f"{url}/v1/{NAME} was stored by another machine before, and holds something else: that is "
        "taken, and what this machine made is dropped"
    )


@pytest.mark.parametrize("bit", [0, 15, 40, -3])
def test_what_is_damaged_is_not_believed_and_is_replaced(
    url: str, tmp_path: Path, heard: list[str], bit: int
) -> None:
    mine, theirs = stored(tmp_path, "a.json", {"a": 1}), tmp_path / "b.json"
    assert Remote(url).send(at(mine)) is None
    fs, path = raw(url)
    content = bytearray(fs.cat(path))  # type: ignore[attr-defined]
    content[bit] ^= 4
    fs.pipe_file(path, bytes(content))  # type: ignore[attr-defined]
    found = Remote(url)
    assert not found.fetch(at(theirs))
    assert not theirs.exists()
    assert heard == [
        f"{url}/v1/{NAME} is damaged: its digest does not match what it holds: it is made again"
    ]
    assert found.send(at(mine)) is None
    assert Remote(url).fetch(at(theirs))


def test_what_answers_for_something_else_is_not_believed(
    url: str, tmp_path: Path, heard: list[str]
) -> None:
    other = stored(tmp_path, "a.json", {"a": 1}, of="other")
    fs, path = raw(url)
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)  # type: ignore[attr-defined]
    fs.pipe_file(path, other.read_bytes())  # type: ignore[attr-defined]
    assert not Remote(url).fetch(at(tmp_path / "b.json"))
    assert len(heard) == 1


def test_what_another_version_wrote_is_neither_taken_nor_replaced(
    url: str, tmp_path: Path, heard: list[str]
) -> None:
    def old(data: dict[str, Any]) -> int | None:
        return int(data["a"])

    def new(data: dict[str, Any]) -> int | None:
        return int(data["b"])

    theirs, mine = stored(tmp_path, "a.json", {"a": 1}), stored(tmp_path, "b.json", {"b": 2})
    before = mine.read_bytes()
    assert Remote(url).send(at(theirs, make=old)) is None
    found = Remote(url)
    for _ in range(2):  # as whoever plans, and whoever runs
        assert not found.fetch(at(tmp_path / "c.json", make=new))
    assert not (tmp_path / "c.json").exists()
    assert found.send(at(mine, make=new)) is None
    assert mine.read_bytes() == before
    assert Remote(url).fetch(at(tmp_path / "c.json", make=old))
    assert heard == [
        f"{url}/v1/{NAME} is not what this version reads: it is made again",
        f"{url}/v1/{NAME} is not what this version reads: this machine's stays on this machine",
    ]


def test_what_is_too_large_is_not_shared(
    url: str, tmp_path: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = stored(tmp_path, "a.json", {"a": 1}), tmp_path / "b.json"
    assert Remote(url).send(at(mine)) is None
    monkeypatch.setattr(remote, "MOST", 10)
    found = Remote(url)
    assert not found.fetch(at(theirs))
    assert not found.fetch(at(theirs))
    assert found.send(at(mine, "4567")) is None
    assert heard == [
        f"{url}/v1/{NAME} is larger than 1 GiB: it is made again",
        f"{url}/v1/runs/4567.json is larger than 1 GiB: it stays on this machine",
    ]


def test_only_what_is_its_own_is_listed(url: str, tmp_path: Path) -> None:
    mine, found = stored(tmp_path, "a.json", {"a": 1}), Remote(url)
    assert [*found.entries()] == []
    fs, path = raw(url)
    folder, key = path.rpartition("/")[0], "0123456789abcdef"
    for name in (f"{key}.json", f".{key}.json.01234567.tmp"):
        fs.makedirs(folder, exist_ok=True)  # type: ignore[attr-defined]
        fs.pipe_file(f"{folder}/{name}", mine.read_bytes())  # type: ignore[attr-defined]
    foreign: tuple[str, ...] = (
        "notes.txt",
        f"v1/runs/{key}.json",
        f"{key}.json\n",
        "\x1b[31m.json",
        "übrig.json",
    )
    if url.startswith("s3"):  # whose server refuses such names
        foreign = tuple(name for name in foreign if name.isprintable())
    for name in foreign:
        fs.makedirs(f"{folder}/{name}".rpartition("/")[0], exist_ok=True)  # type: ignore[attr-defined]
        fs.pipe_file(f"{folder}/{name}", b"theirs")  # type: ignore[attr-defined]
    listed = [*found.entries()]
    assert [one.name for one in listed] == [f".{key}.json.01234567.tmp", f"{key}.json"]
    assert [found.fault(one) for one in listed] == [
        None,
        "is damaged: its digest does not match what it holds",
    ]
    for one in (*listed, *listed):  # another may have removed it meanwhile
        found.remove(one)
        assert found.fault(one) is None
    assert len(fs.find(folder)) == len(foreign)  # type: ignore[attr-defined]


def test_a_folder_without_hard_links(
    tmp_path: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("os.link", none)
    first, second = stored(tmp_path, "a.json", {"a": 1}), stored(tmp_path, "b.json", {"a": 2})
    url = str(tmp_path / "team")
    assert Remote(url).send(at(first)) is None
    assert Remote(url).send(at(second)) == {"a": 1}
    assert second.read_bytes() == first.read_bytes()
    assert len(heard) == 1
    assert [one.name for one in (tmp_path / "team").rglob("*") if one.is_file()] == ["k.json"]


def test_a_place_that_cannot_be_reached_is_said_once(tmp_path: Path, heard: list[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    mine, found = stored(tmp_path, "a.json", {"a": 1}), Remote(str(file))
    assert not found.fetch(at(tmp_path / "b.json"))
    assert not found.fetch(at(tmp_path / "b.json"))
    assert found.send(at(mine)) is None, "this machine's own stands"
    (line,) = heard
    assert line.startswith(f"the shared store {file} cannot be reached (NotADirectoryError: ")
    assert line.endswith("): this machine's store alone is used")


def test_a_place_that_cannot_be_written_is_said_once(
    tmp_path: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Access Denied\nRequestId: 7\nTime: now")

    monkeypatch.setattr("os.link", denied)
    mine, found = stored(tmp_path, "a.json", {"a": 1}), Remote(str(tmp_path / "team"))
    assert found.send(at(mine)) is None
    assert found.send(at(mine)) is None
    assert heard == [
        f"the shared store {tmp_path / 'team'} cannot be written (PermissionError: [Errno 13] "
        "Access Denied): what is made now stays on this machine"
    ]
    assert [one.name for one in (tmp_path / "team").rglob("*") if one.is_file()] == []


def test_what_cannot_be_read_is_not_replaced(tmp_path: Path, heard: list[str]) -> None:
    fsspec = pytest.importorskip("fsspec")
    url, theirs = str(tmp_path / "team"), stored(tmp_path, "a.json", {"a": 1})
    Remote(url).send(at(theirs))
    mine, found = stored(tmp_path, "b.json", {"a": 2}), Remote(url)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Access Denied")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(fsspec.filesystem("file")), "open", denied)
        assert found.send(at(mine)) is None
    assert (tmp_path / "team" / remote.LAYOUT / NAME).read_bytes() == theirs.read_bytes()
    assert heard == [
        f"the shared store {url} cannot be reached (PermissionError: [Errno 13] Access Denied): "
        "this machine's store alone is used"
    ]


def test_what_another_machine_has_mended_is_taken(url: str, tmp_path: Path) -> None:
    """Each finds it damaged, and the slower one is second as anywhere else."""
    Remote(url).send(at(stored(tmp_path, "a.json", {"a": 1})))
    fs, path = raw(url)
    fs.pipe_file(path, b"nothing")  # type: ignore[attr-defined]
    quick, slow = Remote(url), Remote(url)
    results = [at(stored(tmp_path, f"{k}/run.json", {"a": k})) for k in (1, 2)]
    for one, result in zip((quick, slow), results, strict=True):
        assert one.fetch(result) is None
    assert quick.send(results[0]) is None
    assert slow.send(results[1]) == {"a": 1}


def test_a_bucket_that_vanishes_is_said_once(bucket: str, tmp_path: Path, heard: list[str]) -> None:
    fsspec = pytest.importorskip("fsspec")
    fs, name, mine = fsspec.filesystem("s3"), uuid.uuid4().hex, stored(tmp_path, "a.json", {"a": 1})
    fs.mkdir(name)
    found = Remote(f"s3://{name}/lab")
    assert [*found.entries()] == []
    assert found.send(at(mine)) is None
    fs.rm(name, recursive=True)
    assert found.fetch(at(tmp_path / "b.json")) is None
    assert found.send(at(mine)) is None
    assert found.send(at(mine, "other")) is None
    assert heard == [
        f"the shared store s3://{name}/lab cannot be written (FileNotFoundError: The specified "
        "bucket does not exist): what is made now stays on this machine"
    ]
    with pytest.raises(StoreError) as raised:
        list(found.entries())
    assert str(raised.value) == (
        f"s3://{name}/lab: there is no bucket {name!r}: make it, or mend the address"
    )


def test_every_store_of_objects_is_written_whole() -> None:
    registry = pytest.importorskip("fsspec.registry")
    objects = ("s3fs.", "gcsfs.", "adlfs.AzureBlobFileSystem")
    for name, facts in registry.known_implementations.items():
        assert (name in remote._ATOMIC) == facts["class"].startswith(objects), name


def test_missing_credentials_are_said_once(
    bucket: str, tmp_path: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in s3_server.KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(remote, "_OPTIONS", {"s3": {"skip_instance_cache": True}})
    mine, found = stored(tmp_path, "a.json", {"a": 1}), Remote(bucket)
    for key in ("k", "other"):
        assert found.fetch(at(tmp_path / "b.json", key)) is None
        assert found.send(at(mine, key)) is None
    assert heard == [
        f"the shared store {bucket} cannot be reached (NoCredentialsError: Unable to locate "
        "credentials): this machine's store alone is used"
    ]
    with pytest.raises(StoreError, match="cannot be used: NoCredentialsError: Unable to locate"):
        list(found.entries())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://key:secret@bucket/lab", "store.url: an address with a key, a password"),
        ("s3://bucket/lab?versionId=1", "store.url: an address with a key, a password"),
        ("s3://", "store.url: 's3://' names no place: s3://BUCKET/FOLDER, /mnt"),
        ("s3://[bucket", "store.url: 's3://[bucket' names no place: s3://BUCKET/FOLDER, /mnt"),
        ("cached::s3://b", "store.url: fsspec knows no protocol 'cached::s3'"),
        ("~no.such.user/x", "store.url: '~no.such.user/x' names no place: s3://BUCKET/FOLDER"),
        ("s3:/bucket", "store.url: 's3:/bucket' is another folder wherever it is read: name it"),
        ("file://lab", "store.url: 'file://lab' is another folder wherever it is read: name it"),
        ("local://a/b", "store.url: 'local://a/b' is another folder wherever it is read: name"),
        ("cached::s3://key:secret@b", "store.url: fsspec knows no protocol 'cached::s3'"),
        ("https://token@host/lab", "store.url: an address with a key, a password"),
        ("foo://bar", "store.url: fsspec knows no protocol 'foo'"),
        (" ", "store.url: ' ' names no place: s3://BUCKET/FOLDER, /mnt"),
    ],
)
def test_an_address_that_is_none(url: str, message: str) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(ConfigError) as raised:
        Remote(url)
    assert str(raised.value).startswith(message)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["abfs://container@account.dfs.core.windows.net/lab", "sftp://user@host/lab", "/a?b#c"]
)
def test_an_address_in_which_a_name_is_no_key(url: str) -> None:
    assert Remote(url).url == url


def test_what_ends_with_the_process_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELLAB_CACHE", "memory://lab")
    with pytest.raises(ConfigError) as raised:
        remote.of(None)
    assert str(raised.value) == (
        "MODELLAB_CACHE: what lies in memory:// ends with this process: name a folder"
    )


def test_the_environment_goes_before_what_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELLAB_CACHE", "/somewhere")
    assert remote.of(None) is None
    declared = remote.of("s3://bucket/declared")
    assert declared is not None
    assert declared.url == "s3://bucket/declared"
    monkeypatch.setenv("MODELLAB_CACHE", "s3://bucket/named")
    named = remote.of("s3://bucket/declared")
    assert named is not None
    assert repr(named) == "Remote('s3://bucket/named')"
