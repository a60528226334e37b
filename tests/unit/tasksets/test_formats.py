"""Which format a folder is read in, and what is refused before that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import scorers, tasksets
from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Sample
from pytest_modellab.tasksets import jsonl
from pytest_modellab.tasksets.quality import part

HEADER = 'name = "tiny"\nversion = "1"\n'


@pytest.mark.parametrize("more", ["", 'format = "jsonl"\n'])
def test_json_lines_unless_said_otherwise(
    write_samples: Callable[..., Path], sample: Callable[..., Sample], tmp_path: Path, more: str
) -> None:
    folder = write_samples([sample(0)], HEADER + more)
    assert tasksets.read(folder, scorers.check, tmp_path) == jsonl.read(folder, scorers.check)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            'format = "bier"',
            "format: unknown 'bier'; did you mean 'beir'? Known: beir, documents, jsonl, sts",
        ),
        ("format = 3", "format: unknown 3; Known: beir, documents, jsonl, sts"),
        (
            'layout = "../other"',
            "layout: belongs to another format; set format = 'beir', 'sts' or 'documents'",
        ),
        (
            "[package]",
            "package: belongs to another format; set format = 'beir', 'sts' or 'documents'",
        ),
        (
            'format = "sts"\nlayout = "x"\n[package]',
            "layout and package both say where the files are; keep one",
        ),
        ('format = "sts"\nlayout = 3', "layout: 3 is not the path of a folder"),
    ],
)
def test_message(write_samples: Callable[..., Path], tmp_path: Path, more: str, said: str) -> None:
    folder = write_samples([], HEADER + more)
    with pytest.raises(TaskSetError) as caught:
        tasksets.read(folder, scorers.check, tmp_path)
    assert str(caught.value) == f"{folder / 'task_set.toml'}: {said}"


def test_folder_with_neither_header_nor_corpus(tmp_path: Path) -> None:
    with pytest.raises(TaskSetError, match=r"task_set.toml: cannot be read: \[Errno 2\]"):
        tasksets.read(tmp_path, scorers.check, tmp_path)


def test_no_part_of_another_format(write_beir: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_beir()
    whole: Any = tasksets.read(folder, scorers.check, tmp_path)
    with pytest.raises(TaskSetError) as caught:
        part.write(whole, {"q1"}, tmp_path / "part")
    assert str(caught.value) == (
        f"{folder}: has no samples.jsonl; only task sets in that format can be cut"
    )
