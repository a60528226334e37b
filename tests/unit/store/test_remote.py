"""A store that machines share, in a folder and in fsspec's memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_modellab.errors import ConfigError
from pytest_modellab.store import files, remote, said
from pytest_modellab.store.remote import Remote

NAME = "runs/0123.json"


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "team")
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


def raw(url: str) -> tuple[object, str]:
    fsspec = pytest.importorskip("fsspec")
    fs, root = fsspec.core.url_to_fs(url)
    return fs, f"{root}/{remote.LAYOUT}/{NAME}"


def test_what_one_machine_sends_another_fetches(url: str, tmp_path: Path, heard: list[str]) -> None:
    mine, theirs = stored(tmp_path, "a/run.json", {"a": 1}), tmp_path / "b" / "run.json"
    assert not Remote(url).fetch(NAME, theirs, of="k")
    assert Remote(url).send(NAME, mine, of="k")
    assert Remote(url).send(NAME, mine, of="k"), "the same again is no quarrel"
    assert Remote(url).fetch(NAME, theirs, of="k")
    assert theirs.read_bytes() == mine.read_bytes()
    assert heard == []


def test_the_first_of_two_writers_is_right(url: str, tmp_path: Path, heard: list[str]) -> None:
    first, second = stored(tmp_path, "a.json", {"a": 1}), stored(tmp_path, "b.json", {"a": 2})
    assert Remote(url).send(NAME, first, of="k")
    assert not Remote(url).send(NAME, second, of="k")
    assert second.read_bytes() == first.read_bytes()
    (line,) = heard
    assert line == (
        f"{url}/v1/{NAME} was stored by another machine meanwhile, with other answers: those are "
        "taken, and this machine's are dropped"
    )


@pytest.mark.parametrize("bit", [0, 15, 40, -3])
def test_what_is_damaged_is_not_believed_and_is_replaced(
    url: str, tmp_path: Path, heard: list[str], bit: int
) -> None:
    mine, theirs = stored(tmp_path, "a.json", {"a": 1}), tmp_path / "b.json"
    assert Remote(url).send(NAME, mine, of="k")
    fs, path = raw(url)
    content = bytearray(fs.cat(path))  # type: ignore[attr-defined]
    content[bit] ^= 4
    fs.pipe_file(path, bytes(content))  # type: ignore[attr-defined]
    found = Remote(url)
    assert not found.fetch(NAME, theirs, of="k")
    assert not theirs.exists()
    assert heard == [
        f"{url}/v1/{NAME} is damaged: its digest does not match what it holds: it is made again"
    ]
    assert found.send(NAME, mine, of="k")
    assert Remote(url).fetch(NAME, theirs, of="k")


def test_what_answers_for_something_else_is_not_believed(
    url: str, tmp_path: Path, heard: list[str]
) -> None:
    other = stored(tmp_path, "a.json", {"a": 1}, of="other")
    assert Remote(url).send(NAME, other, of="other")
    assert not Remote(url).fetch(NAME, tmp_path / "b.json", of="k")
    assert len(heard) == 1


def test_a_place_that_cannot_be_reached_is_said_once(tmp_path: Path, heard: list[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    mine, found = stored(tmp_path, "a.json", {"a": 1}), Remote(str(file))
    assert not found.fetch(NAME, tmp_path / "b.json", of="k")
    assert not found.fetch(NAME, tmp_path / "b.json", of="k")
    assert found.send(NAME, mine, of="k"), "this machine's own stands"
    (line,) = heard
    assert line.startswith(f"the shared store {file} cannot be reached (NotADirectoryError: ")
    assert line.endswith("): this machine's store alone is used")


def test_a_place_that_cannot_be_written_is_said_once(
    tmp_path: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Access Denied")

    monkeypatch.setattr("os.link", denied)
    mine, found = stored(tmp_path, "a.json", {"a": 1}), Remote(str(tmp_path / "team"))
    assert found.send(NAME, mine, of="k")
    assert found.send(NAME, mine, of="k")
    assert heard == [
        f"the shared store {tmp_path / 'team'} cannot be written (PermissionError: [Errno 13] "
        "Access Denied): what is made now stays on this machine"
    ]
    assert [one.name for one in (tmp_path / "team").rglob("*") if one.is_file()] == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://key:secret@bucket/lab", "store.url: an address with a user, a password"),
        ("s3://bucket/lab?versionId=1", "store.url: an address with a user, a password"),
        ("s3://", "store.url: 's3://' names no place: s3://BUCKET/FOLDER"),
        (" ", "store.url: ' ' names no place: s3://BUCKET/FOLDER"),
    ],
)
def test_an_address_that_is_none(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Remote(url)
    assert str(raised.value).startswith(message)
    assert "secret" not in str(raised.value)


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
