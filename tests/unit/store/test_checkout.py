"""Files as git and editors leave them: every reader takes them alike, or names the mend."""

from __future__ import annotations

import codecs
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import tasksets
from pytest_modellab.config import read as config_read
from pytest_modellab.engines.encoders import texts
from pytest_modellab.engines.language import chat
from pytest_modellab.engines.loading import reading
from pytest_modellab.errors import ModelError, ModellabError
from pytest_modellab.models import files
from pytest_modellab.recipes import data, provenance
from pytest_modellab.store import checkout
from pytest_modellab.tasksets.quality import leakage
from pytest_modellab.variants import prompt

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{7:064d}\nsize 20480\n"


FETCH = "a Git LFS pointer, not the file itself; fetch it: git lfs pull --include "


SAMPLE = {
    "id": "a",
    "input": "Hi",
    "target": "Ho",
    "scorer": "exact",
    "capability": "c",
    "difficulty": "easy",
    "max_tokens": 1,
}
PAIRS = [{"id": f"p{k}", "a": "x", "b": "y", "similarity": k} for k in range(3)]


def _lines(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(o) + "\n" for o in objects)


FILES = {
    "modellab.toml": '[task_sets.t]\npath = "t"\nmargin = 0.02\n',
    "t/task_set.toml": 'name = "t"\nversion = "1"\n',
    "t/samples.jsonl": _lines(SAMPLE, {**SAMPLE, "id": "b"}),
    "r/task_set.toml": 'name = "r"\nversion = "1"\nformat = "beir"\n',
    "r/corpus.jsonl": _lines({"_id": "d1", "text": "tea"}, {"_id": "d2", "text": "rain"}),
    "r/queries.jsonl": _lines({"_id": "q1", "text": "what?"}, {"_id": "q2", "text": "who?"}),
    "r/qrels/test.tsv": "q1\td1\t1\nq2\td2\t1\n",
    "s/task_set.toml": 'name = "s"\nversion = "1"\nformat = "sts"\n',
    "s/pairs.jsonl": _lines(*PAIRS),
    "p.jinja": "{% block user %}Say:\n{{ input }}{% endblock %}\n",
    "shots.jsonl": _lines({"input": "a", "reply": "b"}, {"input": "c", "reply": "d"}),
    "train.jsonl": _lines({"input": "a", "reply": "b"}, {"input": "c", "reply": "d"}),
    "adapter/provenance.json": '{\n"schema": 0}\n',
    "model/modules.json": '[\n{"type": "a.Pooling", "path": "1"}]\n',
}
"""Every kind of text that is read, small; each has a second line."""


def _task_set(folder: Path) -> str:
    return tasksets.read(folder, lambda _: None, folder.parent / "cache").hash


READERS: dict[str, Callable[[Path], Any]] = {
    "modellab.toml": lambda root: config_read.load(root / "modellab.toml").task_sets,
    "t/task_set.toml": lambda root: _task_set(root / "t"),
    "t/samples.jsonl": lambda root: _task_set(root / "t"),
    "r/corpus.jsonl": lambda root: _task_set(root / "r"),
    "r/queries.jsonl": lambda root: _task_set(root / "r"),
    "r/qrels/test.tsv": lambda root: _task_set(root / "r"),
    "s/pairs.jsonl": lambda root: _task_set(root / "s"),
    "p.jinja": lambda root: prompt.read(root / "p.jinja").hash,
    "shots.jsonl": lambda root: prompt.read(root / "p.jinja", root / "shots.jsonl").hash,
    "train.jsonl": lambda root: (
        data.read(root, "train.jsonl", ("input", "reply")),
        leakage.read(root / "train.jsonl"),
    ),
    "model/modules.json": lambda root: texts.read_modules(root / "model" / "modules.json"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return tmp_path


@pytest.mark.parametrize("name", READERS)
def test_a_mark_and_windows_line_ends_change_nothing(root: Path, name: str) -> None:
    before = READERS[name](root)
    path = root / name
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
    assert READERS[name](root) == before


@pytest.mark.parametrize("name", READERS)
def test_what_is_not_the_file_is_told_with_the_mend(root: Path, name: str) -> None:
    path = root / name
    content = path.read_text(encoding="utf-8")

    def said(text: str, encoding: str = "utf-8") -> str:
        path.write_bytes(text.encode(encoding))
        with pytest.raises(ModellabError) as caught:
            READERS[name](root)
        return str(caught.value)

    assert said(POINTER).endswith(f"{path}: {FETCH}{path.name}")
    first, rest = content.split("\n", 1)
    merged = f"{first}\n<<<<<<< HEAD\n{rest}=======\n{rest}>>>>>>> other\n"
    assert said(merged).endswith(f"{path}: conflict markers at line 2; resolve the merge")
    assert said(content, "utf-16").endswith(f"{path}: saved as UTF-16; save it as UTF-8")


def test_the_mend_names_the_file_from_the_repository(root: Path) -> None:
    (root / ".git").mkdir()
    path = root / "my model" / "model.safetensors"
    path.parent.mkdir()
    path.write_text(POINTER)
    assert checkout.absent(path) == f"{FETCH}'my model/model.safetensors'"
    with pytest.raises(ModelError) as caught:
        files.hash_files([path])
    assert str(caught.value) == f"{path}: {FETCH}'my model/model.safetensors'"
    path.write_text("version 2")
    assert checkout.absent(path) is None


def test_files_one_after_the_other_have_a_mark_in_the_middle(root: Path) -> None:
    before = _task_set(root / "t"), _task_set(root / "r")
    for name in ("t/samples.jsonl", "r/corpus.jsonl"):
        lines = (root / name).read_bytes().splitlines(keepends=True)
        (root / name).write_bytes(b"".join(codecs.BOM_UTF8 + line for line in lines))
    assert (_task_set(root / "t"), _task_set(root / "r")) == before


def test_blocks_of_edits_are_no_conflict(root: Path) -> None:
    """Prompts and replies of coding models hold lines that look like git's."""
    block = b"<<<<<<< SEARCH\nold\n=======\nnew\n>>>>>>> REPLACE\n"
    assert checkout.conflict(block) is None
    assert checkout.conflict(b"    <<<<<<< HEAD\n") is None
    assert checkout.conflict(block + b"<<<<<<< HEAD\n") == (
        "conflict markers at line 6; resolve the merge"
    )


def test_what_a_library_cannot_read_of_a_model_is_named(root: Path) -> None:
    folder = root / "model"

    def said() -> str:
        with pytest.raises(ModelError) as caught, reading(folder, "it cannot be loaded"):
            raise ValueError("Expecting value")
        return str(caught.value)

    assert said() == f"{folder}: it cannot be loaded: Expecting value"
    config = folder / "config.json"
    config.write_bytes(codecs.BOM_UTF8 + b"{}")
    assert said() == f"{config}: starts with a byte order mark; save it without"
    config.write_text("{\n<<<<<<< HEAD\n}")
    assert said() == f"{config}: conflict markers at line 2; resolve the merge"
    config.write_text(POINTER)
    assert said() == f"{config}: {FETCH}config.json"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            "\ufeff{{ messages }}",
            "starts with a byte order mark, which transformers would put before every prompt; "
            "save it without",
        ),
        ("a\n<<<<<<< HEAD\nb", "conflict markers at line 2; resolve the merge"),
    ],
)
def test_a_chat_template_with_what_nobody_sees(template: str, said: str) -> None:
    @dataclasses.dataclass
    class Tokenizer:
        name_or_path: str = "model"

        def get_chat_template(self) -> str:
            return template

    with pytest.raises(ModelError) as caught:
        chat.compiled(Tokenizer())
    assert str(caught.value) == f"model: chat template: {said}"


def test_a_damaged_provenance_names_the_mend(root: Path) -> None:
    path = root / "adapter" / "provenance.json"
    path.write_text(POINTER)
    with pytest.raises(ModellabError) as caught:
        provenance.read(path.parent)
    assert str(caught.value) == f"{path}: {FETCH}provenance.json"
