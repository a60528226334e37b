"""A corpus on the disk: random access, the kept index, and the text of every error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Corpus, Document
from pytest_modellab.tasksets import corpus, lines

DOCUMENTS = [Document(f"d{i}", f"text {i}", "title" if i % 2 else "") for i in range(7)]


def write(path: Path, documents: list[Document], **json_options: Any) -> Path:
    lines = (
        json.dumps({"_id": d.id, "title": d.title, "text": d.text}, **json_options)
        for d in documents
    )
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "corpus.jsonl", DOCUMENTS)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that a pass was made over."""
    made: list[Path] = []
    objects = lines.objects

    def count(path: Path) -> Any:
        made.append(path)
        return objects(path)

    monkeypatch.setattr(lines, "objects", count)
    return made


def test_every_document_by_row_and_in_blocks(path: Path, tmp_path: Path) -> None:
    found: Corpus = corpus.read(path, tmp_path)
    assert len(found) == 7
    assert [found[row] for row in (6, 0, 3)] == [DOCUMENTS[6], DOCUMENTS[0], DOCUMENTS[3]]
    assert [len(block) for block in found.blocks(3)] == [3, 3, 1]
    assert [d for block in found.blocks(2, start=3) for d in block] == DOCUMENTS[3:]
    assert list(found.blocks(7)) == [DOCUMENTS]
    assert list(found.blocks(3, start=7)) == []
    with pytest.raises(IndexError, match=r"^row 7 of a corpus with 7 documents$"):
        found[7]
    with pytest.raises(IndexError, match=r"^row -1 of a corpus with 7 documents$"):
        found[-1]
    with pytest.raises(ValueError, match=r"^a block of 0 documents; at least one$"):
        next(found.blocks(0))


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1), unique=True)
)
def test_rows_of_ids(ids: list[str]) -> None:
    ids = ids or ["only"]
    with tempfile.TemporaryDirectory() as name:
        documents = [Document(id, "text") for id in ids]
        found = corpus.read(write(Path(name) / "corpus.jsonl", documents), Path(name))
        wanted = [*ids, "".join(ids) + "?"]
        assert found.rows(wanted) == {id: row for row, id in enumerate(ids)}


def test_ids_may_share_a_key(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "_key", lambda _: 5)
    found = corpus.read(path, tmp_path / "a")
    assert found.rows(["d4", "d0", "other"]) == {"d4": 4, "d0": 0}
    write(path, [*DOCUMENTS, DOCUMENTS[2]])
    with pytest.raises(TaskSetError, match=r":8: _id: 'd2' stands on line 3 too"):
        corpus.read(path, tmp_path / "a")


def test_hash_follows_content_and_order_alone(path: Path, tmp_path: Path) -> None:
    before = corpus.read(path, tmp_path).hash
    assert len(before) == 16
    spaced = ["", *(f" {line} " for line in path.read_text().split("\n")), "  "]
    spaced[1] = '{"metadata": {"x": 1}, "text": "text \\u0030", "_id": "d0", "url": "?"}'
    other = tmp_path / "other.jsonl"
    other.write_text("\r\n".join(spaced))
    same = corpus.read(other, tmp_path)
    assert same.hash == before
    assert [d for block in same.blocks(4) for d in block] == DOCUMENTS
    assert [same[row] for row in range(7)] == DOCUMENTS
    for changed in (
        DOCUMENTS[::-1],
        DOCUMENTS[:-1],
        [Document("d0", "text 0", "x"), *DOCUMENTS[1:]],
        [Document("d0", "text 0 "), *DOCUMENTS[1:]],
        [Document("d0t", "ext 0"), *DOCUMENTS[1:]],
    ):
        assert corpus.read(write(tmp_path / "changed.jsonl", changed), tmp_path).hash != before


def test_index_is_made_once(path: Path, tmp_path: Path, passes: list[Path]) -> None:
    first = corpus.read(path, tmp_path)
    second = corpus.read(path, tmp_path)
    assert passes == [path]
    assert (second.hash, second[5]) == (first.hash, DOCUMENTS[5])
    write(path, DOCUMENTS[:5])
    assert len(corpus.read(path, tmp_path)) == 5
    assert passes == [path, path]


def test_a_file_of_the_same_size_is_read_again(path: Path, tmp_path: Path) -> None:
    before = corpus.read(path, tmp_path).hash
    write(path, [Document("d0", "test 0"), *DOCUMENTS[1:]])
    os.utime(path, ns=(0, 1))
    assert corpus.read(path, tmp_path).hash != before


@pytest.mark.parametrize("name", ["index.npy", "index.json"])
@pytest.mark.parametrize(
    "damage", [bytes, lambda b: b[:-9], lambda b: b.replace(b"\x02", b"\x03").replace(b"2", b"3")]
)
def test_damaged_index_is_made_again(
    path: Path, tmp_path: Path, passes: list[Path], name: str, damage: Callable[[bytes], bytes]
) -> None:
    before = corpus.read(path, tmp_path)
    (file,) = tmp_path.glob(f"corpora/*/{name}")
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(damage(content) if damage is not bytes else b"")
    assert file.read_bytes() != content
    found = corpus.read(path, tmp_path)
    assert (found.hash, found.rows(["d6"])) == (before.hash, {"d6": 6})
    assert passes == [path, path]
    assert file.read_bytes() == content


def test_change_under_an_open_corpus(path: Path, tmp_path: Path) -> None:
    found = corpus.read(path, tmp_path)
    write(path, DOCUMENTS[1:])
    for use in (lambda: found[0], lambda: next(found.blocks(2)), lambda: found.rows(["d1"])):
        with pytest.raises(TaskSetError) as caught:
            use()
        assert str(caught.value) == f"{path}: changed since it was read; start the session again"
    path.unlink()
    with pytest.raises(TaskSetError, match=r"cannot be read: .* No such file"):
        found[0]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    os.mkfifo(path)
    with pytest.raises(TaskSetError) as caught:
        corpus.read(path, tmp_path / "cache")
    assert str(caught.value) == (
        f"{path}: cannot be read: [Errno 22] Is a pipe or a device, and no regular file: '{path}'"
    )


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], ": holds no document"),
        (["", ' {"_id": "a", "text"}'], ":2: malformed JSON, column 21: Expecting ':' delimiter"),
        (["[]"], ":1: holds list, expected a JSON object"),
        (['{"text": "x"}'], ":1: _id: missing"),
        (['{"_id": "a"}'], ":1: text: missing"),
        (['{"_id": "a", "text": true}'], ":1: text: True is bool, expected str"),
        (['{"_id": "a", "text": "x", "title": 1.5}'], ":1: title: 1.5 is float, expected str"),
        (['{"_id": " ", "text": "x"}'], ":1: _id: empty"),
        (
            ['{"_id": "a", "text": " ", "title": ""}'],
            ": no document has a title or a text; name them title and text",
        ),
        (
            ['{"_id": "a", "text": "\\ud800"}'],
            ":1: holds what JSON and UTF-8 cannot say (NaN, Infinity, half a surrogate pair): "
            "'utf-8' codec can't encode character '\\ud800'",
        ),
        (
            [
                '{"_id": "a", "text": "x"}',
                "",
                '{"_id": "b", "text": "y"}',
                '{"_id": "a", "text": "z"}',
            ],
            ":4: _id: 'a' stands on line 1 too; ids must be unique",
        ),
    ],
)
def test_message(tmp_path: Path, lines: list[str], said: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(TaskSetError) as caught:
        corpus.read(path, tmp_path)
    assert str(caught.value).startswith(f"{path}{said}")
    assert not list(tmp_path.glob("corpora/*/*"))


def test_file_messages(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    with pytest.raises(TaskSetError, match=r"corpus.jsonl: cannot be read: \[Errno 2\]"):
        corpus.read(path, tmp_path)
    path.write_bytes(b'{"_id": "a", "text": "x"}\n{"_id": "caf\xe9"}\n')
    with pytest.raises(
        TaskSetError, match=r"corpus.jsonl: line 2: not UTF-8 \(invalid continuation byte\); save "
    ):
        corpus.read(path, tmp_path)


MEMORY = """
import re, sys
from pathlib import Path
import numpy
from pytest_modellab.tasksets import corpus

def held():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10

path, cache = map(Path, sys.argv[1:])
corpus.read(path.with_name("small.jsonl"), cache)  # what any corpus costs
before = held()
found = corpus.read(path, cache)
total = sum(len(block) for block in found.blocks(256))
print(total, held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a process holds")
def test_documents_are_not_held(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    write(tmp_path / "small.jsonl", DOCUMENTS)
    write(path, [Document(f"d{i}", "word " * 400) for i in range(20_000)])
    size = path.stat().st_size
    for _ in ("first", "from the cache"):
        command = [sys.executable, "-c", MEMORY, str(path), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        total, held = map(int, done.stdout.split())
        assert total == 20_000
        assert held < 4e6 < size / 8
