"""Plain documents: what is read, and the text of every error."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import scorers, tasksets
from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.tasksets import documents
from pytest_modellab.tasksets.quality import lint

HEADER = 'name = "prose"\nversion = "1"\nformat = "documents"\n'


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder: ``write({path: text}, more of the header)``."""

    def make(files: Mapping[str, str | bytes], more: str = "", at: str = "prose") -> Path:
        folder = tmp_path / at
        for name, content in {"task_set.toml": HEADER + more, **files}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return make


def read(folder: Path) -> TaskSet:
    return tasksets.read(folder, scorers.check, folder / "cache")


def refused(folder: Path) -> str:
    with pytest.raises(TaskSetError) as caught:
        read(folder)
    return str(caught.value)


def line(**values: Any) -> str:
    return json.dumps({"id": "a", "text": "Some text.", **values}) + "\n"


def test_whole_set(write: Callable[..., Path]) -> None:
    metadata = {"page": 7}
    folder = write(
        {
            "documents/b.txt": "\ufeffSecond.\r\n\r\nIts end.\r\n",
            "documents/a.txt": "First.",
            "documents/law/old/c.txt": "Third.\n\n",
            "documents/.hidden.txt": "no",
            "documents/.git/d.txt": "no",
            "documents/notes.md": "no",
            "README.txt": "no",
            "documents.jsonl": line(id=7, capability=None)
            + line(id="last", difficulty="hard", cluster="c", capability="law", metadata=metadata),
        },
        'description = "Prose."\n[capabilities.law]\n',
    )
    found = read(folder)
    assert (found.name, found.version, found.description) == ("prose", "1", "Prose.")
    assert (found.corpus, found.metrics, found.path) == (None, (), str(folder))
    assert [(s.id, s.input, s.capability) for s in found.samples] == [
        ("a", "First.", "text"),
        ("b", "Second.\n\nIts end.", "text"),
        ("law/old/c", "Third.\n", "law/old"),
        ("7", "Some text.", "text"),
        ("last", "Some text.", "law"),
    ]
    assert found.samples[0] == Sample(
        id="a",
        input="First.",
        target=None,
        scorer="perplexity",
        capability="text",
        difficulty="medium",
    )
    last = found.samples[4]
    assert (last.bucket, last.cluster, dict(last.metadata)) == ("law/hard", "c", {"page": 7})


def test_lines_or_files_are_enough(write: Callable[..., Path]) -> None:
    assert len(read(write({"documents.jsonl": line()}, at="one")).samples) == 1
    assert len(read(write({"documents/a.txt": "A text."}, at="two")).samples) == 1


def test_where_the_documents_lie(write: Callable[..., Path]) -> None:
    folder = write({"files/documents/a.txt": "A text."}, 'layout = "files"\n')
    assert [s.id for s in read(folder).samples] == ["a"]


def test_how_they_are_read_is_part_of_the_set(write: Callable[..., Path]) -> None:
    files = {"documents/a.txt": "A text."}
    plain = read(write(files, at="one"))
    cut = read(write(files, "window = 512\ncontext = 256\n", at="two"))
    assert cut.samples[0].target == {"window": 512, "context": 256}
    assert cut.hash != plain.hash


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("window = 0\n", "window: 0 must be at least 1"),
        ("context = true\n", "context: True is bool, expected int"),
        ("window = 8\ncontext = 9\n", "context: 9 is more than the window, 8"),
    ],
)
def test_windows_that_cannot_be(write: Callable[..., Path], more: str, said: str) -> None:
    folder = write({"documents/a.txt": "A text."}, more)
    assert refused(folder) == f"{folder / 'task_set.toml'}: {said}"


def test_no_document(write: Callable[..., Path]) -> None:
    folder = write({"a.txt": "Not in the folder."})
    assert refused(folder) == (
        f"{folder}: holds no document; put text files into documents/, or lines into "
        "documents.jsonl"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b" \n", ": text: empty"),
        (b"", ": text: empty"),
        (b"caf\xe9", ": line 1: not UTF-8 (unexpected end of data); save it as UTF-8"),
        ("wide".encode("utf-16"), ": saved as UTF-16; save it as UTF-8"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            ": a Git LFS pointer, not the file itself; fetch it: git lfs pull --include a.txt",
        ),
        (
            b"<<<<<<< HEAD\none\n=======\ntwo\n>>>>>>> other\n",
            ": conflict markers at line 1; resolve the merge",
        ),
    ],
)
def test_files_that_are_no_text(write: Callable[..., Path], content: bytes, said: str) -> None:
    folder = write({"documents/a.txt": content})
    assert refused(folder) == f"{folder / 'documents/a.txt'}{said}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (line() + line(), ":2: id: 'a' is that of {path}:1, too; ids must be unique"),
        (line(text=" "), ":1: text: empty"),
        (line(text=7), ":1: text: 7 is int, expected str"),
        (line(capability=""), ":1: capability: empty"),
        (line(txt="x"), ":1: txt: unknown key; did you mean 'text'? Known: "),
        ('{"id": "a"}\n', ":1: text: missing"),
        (line(id="a\x1b[2J"), ":1: id: 'a\\x1b[2J' holds the control character U+001B"),
        ("[1]\n", ":1: holds list, expected a JSON object"),
        (
            '{"id": "a", "text": "\\ud800"}\n',
            ":1: holds what JSON and UTF-8 cannot say",
        ),
    ],
)
def test_lines_that_are_wrong(write: Callable[..., Path], content: str, said: str) -> None:
    folder = write({"documents.jsonl": content})
    path = str(folder / "documents.jsonl")
    assert refused(folder).startswith(path + said.replace("{path}", path))


def test_a_line_with_the_id_of_a_file(write: Callable[..., Path]) -> None:
    folder = write({"documents/a.txt": "A text.", "documents.jsonl": line()})
    assert refused(folder) == (
        f"{folder / 'documents.jsonl'}:1: id: 'a' is that of {folder / 'documents/a.txt'}, too; "
        "ids must be unique"
    )


def test_a_name_that_cannot_be_an_id(write: Callable[..., Path]) -> None:
    folder = write({"documents/a\nb.txt": "A text."})
    assert "holds the control character U+000A" in refused(folder)


def test_links_that_lead_out(write: Callable[..., Path], tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("Not yours.")
    folder = write({"documents/a.txt": "A text."})
    (folder / "documents" / "b.txt").symlink_to(secret)
    assert refused(folder) == (
        f"{folder / 'documents/b.txt'}: leads out of {folder}, to {secret}; put the file itself "
        "there, or declare the folder that it lies in"
    )
    (folder / "documents" / "b.txt").unlink()
    (folder / "documents.jsonl").symlink_to(secret)
    assert refused(folder).startswith(f"{folder / 'documents.jsonl'}: leads out of {folder}")


def test_a_linked_folder_is_not_entered(write: Callable[..., Path], tmp_path: Path) -> None:
    folder = write({"documents/a.txt": "A text."})
    (folder / "documents" / "loop").symlink_to(folder / "documents")
    assert [s.id for s in read(folder).samples] == ["a"]


@pytest.mark.parametrize("name", ["BYTES", "TOTAL", "FILES"])
def test_what_is_too_large(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    files = {"documents/a.txt": "A text.", "documents/b.txt": "Another text."}
    folder = write(files)
    limit = {"BYTES": 8, "TOTAL": 19, "FILES": 1}[name]
    monkeypatch.setattr(documents, name, limit)
    place = folder / "documents"
    assert (
        refused(folder)
        == {
            "BYTES": f"{place / 'b.txt'}: holds 13 bytes, more than the 8 of one document; cut it",
            "TOTAL": f"{place / 'b.txt'}: with it the documents hold more than 19 bytes; leave "
            "some out",
            "FILES": f"{place}: holds more than 1 files; put the texts into documents.jsonl",
        }[name]
    )
    monkeypatch.setattr(documents, name, 2 * limit)
    assert len(read(folder).samples) == 2


def test_a_large_file_is_not_read(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "BYTES", 3)
    folder = write({"documents/a.txt": b"\xff" * 7})  # read, it would not be UTF-8
    assert "holds 7 bytes, more than the 3 of one document" in refused(folder)
    monkeypatch.setattr(documents, "TOTAL", 2)
    folder = write({"documents.jsonl": b"\xff" * 9}, at="other")
    assert refused(folder) == (
        f"{folder / 'documents.jsonl'}: holds 9 bytes, more than the 8 of such a file; cut it"
    )


def test_the_linter_looks_for_copies_alone(write: Callable[..., Path]) -> None:
    long = "the same words again and again in a row. " * 5
    files = {f"documents/{k}.txt": f"{long} {k}" for k in range(20)}
    found = lint.check(read(write(files, at="one")), {str(k): 0.01 for k in range(20)})
    assert [str(one) for one in found] == []
    copied = {**files, "documents/copy.txt": f"{long} 3"}
    found = lint.check(read(write(copied, at="two")))
    assert [str(one) for one in found] == ["error: duplicate: 3 and copy are the same; remove one"]
