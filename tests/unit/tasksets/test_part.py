"""A part of a task set, written as a task set."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Sample
from pytest_modellab.tasksets import jsonl
from pytest_modellab.tasksets.quality import part

HEADER = """# ours
name = "tiny"
version = "1.0"  # frozen
description = "Small."
license = "MIT"

[capabilities.counting]
name = "Counting"
"""


def test_lines_and_header_stay_as_they_are(
    sample: Callable[..., Sample], write_samples: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_samples([sample(i, metadata={"é": "\u2028"}) for i in range(9)], HEADER)
    whole = jsonl.read(folder)
    kept = {"s7", "s1", "s4"}
    found = part.write(whole, kept, tmp_path / "part")
    assert [s.id for s in found.samples] == ["s1", "s4", "s7"]
    assert found.samples == tuple(s for s in whole.samples if s.id in kept)
    assert (found.name, found.version) == ("tiny_3", "1.0+kept3")
    header = tomllib.loads((tmp_path / "part" / jsonl.HEADER).read_text())
    renamed = {"name": "tiny_3", "version": "1.0+kept3"}
    assert header == {**tomllib.loads(HEADER), **renamed}
    lines = (folder / jsonl.SAMPLES).read_text().split("\n")
    assert (tmp_path / "part" / jsonl.SAMPLES).read_text().split("\n")[0] == lines[1]


def test_an_empty_folder_will_do_and_a_full_one_will_not(
    sample: Callable[..., Sample], write_samples: Callable[..., Path], tmp_path: Path
) -> None:
    whole = jsonl.read(write_samples([sample(i) for i in range(3)]))
    (tmp_path / "part").mkdir()
    part.write(whole, {"s1"}, tmp_path / "part")
    before = (tmp_path / "part" / jsonl.SAMPLES).read_text()
    with pytest.raises(TaskSetError, match="part: exists and is not an empty folder; name a new"):
        part.write(whole, {"s2"}, tmp_path / "part")
    assert (tmp_path / "part" / jsonl.SAMPLES).read_text() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(TaskSetError, match="file: exists and is not an empty folder"):
        part.write(whole, {"s2"}, tmp_path / "file")


def test_a_folder_that_cannot_be_made(
    sample: Callable[..., Sample], write_samples: Callable[..., Path], tmp_path: Path
) -> None:
    whole = jsonl.read(write_samples([sample(0)]))
    (tmp_path / "file").write_text("")
    with pytest.raises(TaskSetError, match="file/part: cannot be written: "):
        part.write(whole, {"s0"}, tmp_path / "file" / "part")


@pytest.mark.parametrize(
    "header",
    ['name = """\ntiny"""\nversion = "1"\n', 'version = """\nname = 1"""\nname = "tiny"\n'],
)
def test_a_name_that_cannot_be_replaced(
    sample: Callable[..., Sample], write_samples: Callable[..., Path], tmp_path: Path, header: str
) -> None:
    whole = jsonl.read(write_samples([sample(0)], header))
    with pytest.raises(TaskSetError) as error:
        part.write(whole, {"s0"}, tmp_path / "part")
    assert str(error.value).endswith(
        'task_set.toml: name and version cannot be replaced; put each on one line: name = "mine"'
    )
    assert not (tmp_path / "part").exists()
