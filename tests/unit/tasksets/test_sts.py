"""Pairs of texts: what is read, and the text of every error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import scorers, tasksets
from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Sample
from pytest_modellab.tasksets import sts
from pytest_modellab.tasksets.quality import lint

PAIR: dict[str, Any] = {"id": "p", "a": "a cat", "b": "a dog", "similarity": 2.5}
PAIRS = [{**PAIR, "id": str(i), "similarity": i} for i in range(3)]


@pytest.fixture
def write_pairs(tmp_path: Path) -> Callable[..., Path]:
    def write(lines: list[Any], more: str = "") -> Path:
        folder = tmp_path / "pairs"
        folder.mkdir(exist_ok=True)
        header = f'name = "pets"\nversion = "1"\nformat = "sts"\n{more}'
        (folder / "task_set.toml").write_text(header)
        text = "".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines)
        (folder / "pairs.jsonl").write_text(text)
        return folder

    return write


def test_whole_set(write_pairs: Callable[..., Path], tmp_path: Path) -> None:
    full = {
        **PAIR,
        "capability": "pets",
        "difficulty": "hard",
        "cluster": "c",
        "metadata": {"page": 7},
    }
    folder = write_pairs([*PAIRS, "", full], 'description = "Pets."\n[capabilities.pets]\n')
    found = tasksets.read(folder, scorers.check, tmp_path)
    assert (found.name, found.version, found.description) == ("pets", "1", "Pets.")
    assert (found.corpus, found.metrics, found.path) == (None, (), str(folder))
    assert [sample.id for sample in found.samples] == ["0", "1", "2", "p"]
    assert found.samples[1] == Sample(
        id="1",
        input="a cat",
        target={"similarity": 1},
        scorer="spearman",
        capability="similarity",
        difficulty="medium",
        choices=("a dog",),
    )
    last = found.samples[3]
    assert (last.bucket, last.cluster, dict(last.metadata)) == ("pets/hard", "c", {"page": 7})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    sts.write(tmp_path, PAIRS)
    declared = {"name": "pets", "version": "1"}
    found = sts.read(tmp_path, tmp_path, declared, scorers.check)
    assert [sample.target["similarity"] for sample in found.samples] == [0, 1, 2]


def test_linter_takes_a_pair_for_no_choice(
    write_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    pairs = [{**p, "id": str(i), "a": f"cat {i}", "cluster": "c"} for i, p in enumerate(PAIRS * 9)]
    found = tasksets.read(write_pairs(pairs), scorers.check, tmp_path)
    assert lint.check(found, {sample.id: 0.99 for sample in found.samples}) == ()
    assert lint.chance(found.samples) == 0


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["{"], ":1: malformed JSON, column 2: Expecting property name"),
        (["3"], ":1: holds int, expected a JSON object"),
        (
            [{**PAIR, "simlarity": 1}],
            ":1: simlarity: unknown key; did you mean 'similarity'? Known: a, b, capability, "
            "cluster, difficulty, id, metadata, similarity",
        ),
        ([{k: v for k, v in PAIR.items() if k != "b"}], ":1: b: missing"),
        ([{**PAIR, "a": 1}], ":1: a: 1 is int, expected str"),
        ([{**PAIR, "similarity": "1"}], ":1: similarity: '1' is str, expected int or float"),
        ([{**PAIR, "similarity": True}], ":1: similarity: True is bool, expected int or float"),
        ([{**PAIR, "similarity": float("nan")}], ":1: similarity: nan is not a finite number"),
        ([{**PAIR, "similarity": float("inf")}], ":1: similarity: inf is not a finite number"),
        pytest.param(
            [{**PAIR, "similarity": 10**400}],
            f":1: similarity: {10**400} is not a finite number",
            id="huge",
        ),
        ([{**PAIR, "a": " "}], ":1: a: empty"),
        ([{**PAIR, "b": ""}], ":1: b: empty"),
        ([{**PAIR, "id": ""}], ":1: id: empty"),
        ([{**PAIR, "capability": ""}], ":1: capability: empty"),
        (
            [{**PAIR, "difficulty": "esay"}],
            ":1: difficulty: unknown 'esay'; did you mean 'easy'? Known: easy, hard, medium",
        ),
        (
            [{**PAIR, "a": "\ud800"}],
            ":1: holds what JSON and UTF-8 cannot say (NaN, Infinity, half a surrogate pair): ",
        ),
        ([PAIR, "", PAIR], ":3: id: 'p' stands on line 1 too; ids must be unique"),
        (PAIRS[:2], ": holds 2 pairs; a rank correlation needs at least 3"),
        (
            [{**pair, "similarity": 4} for pair in PAIRS],
            ": every similarity is 4; a rank correlation needs two that differ",
        ),
    ],
)
def test_message(
    write_pairs: Callable[..., Path], tmp_path: Path, lines: list[Any], said: str
) -> None:
    folder = write_pairs(lines)
    with pytest.raises(TaskSetError) as caught:
        tasksets.read(folder, scorers.check, tmp_path)
    assert str(caught.value).startswith(f"{folder / 'pairs.jsonl'}{said}")


def test_pairs_as_pandas_writes_them(write_pairs: Callable[..., Path], tmp_path: Path) -> None:
    numbered = [{**pair, "id": str(k)} for k, pair in enumerate(PAIRS)]
    expected = tasksets.read(write_pairs(numbered), scorers.check, tmp_path)
    gaps = {"cluster": None, "metadata": float("nan"), "difficulty": None}
    written = [{**gaps, **pair, "id": id} for id, pair in zip((0, 1.0, 2), numbered, strict=True)]
    found = tasksets.read(write_pairs(written), scorers.check, tmp_path)
    assert found.hash == expected.hash


def test_other_messages(write_pairs: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_pairs(PAIRS, "[capabilities.birds]\n")
    with pytest.raises(
        TaskSetError, match=r"capabilities.birds: declared but pairs.jsonl has no sample of it$"
    ):
        tasksets.read(folder, scorers.check, tmp_path)
    with pytest.raises(TaskSetError, match=r"pairs.jsonl:1: sample '0': says the scorer$"):
        tasksets.read(folder, lambda _: "says the scorer", tmp_path)
    (folder / "pairs.jsonl").unlink()
    with pytest.raises(TaskSetError, match=r"pairs.jsonl: cannot be read: \[Errno 2\]"):
        tasksets.read(folder, scorers.check, tmp_path)
