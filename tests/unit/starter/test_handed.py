"""A task set from somebody's file: what is read, what is guessed, what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_modellab import scorers
from pytest_modellab.errors import TaskSetError
from pytest_modellab.starter import handed, starter
from pytest_modellab.starter.handed import Handed
from pytest_modellab.starter.kinds import KINDS
from pytest_modellab.starter.model import SMOLLM2
from pytest_modellab.tasksets import jsonl
from pytest_modellab.tasksets.quality import lint

Read = Callable[[str, str], Handed]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads a file of that name and text."""
    monkeypatch.chdir(tmp_path)

    def read(name: str, text: str) -> Handed:
        Path(name).write_text(text, encoding="utf-8")
        return handed.read(Path(name), scorers.check)

    return read


def refused(read: Read, name: str, text: str) -> str:
    with pytest.raises(TaskSetError) as caught:
        read(name, text)
    return str(caught.value)


def test_names_that_people_use(read: Read) -> None:
    found = read("my tasks.csv", "\ufeffQuestion;Answer;Category;by\nUp?;down;words;me\n")
    assert found.tasks.name == "my_tasks"
    assert found.samples == [
        {
            "id": "row-001",
            "capability": "words",
            "difficulty": "medium",
            "input": "Up?",
            "target": "down",
            "scorer": "exact",
            "max_tokens": 32,
        }
    ]
    assert found.said == (
        "read my tasks.csv: 1 sample; columns: 'Question' as input, 'Answer' as target, "
        "'Category' as capability; left out: 'by'",
        "scored by exact (1 sample): the whole reply must be the target, but for case and a final "
        "period; a column 'scorer' says otherwise, for example regex",
        "1 sample can rule out a drop of 0.95, which is the margin",
    )


def test_numbers_in_all_rows_are_scored_as_numbers(read: Read) -> None:
    rows = '{"id": 7, "input": "2 + 2?", "target": 4}\n{"input": "Half of 5?", "target": "2.5"}\n'
    first, second = read("a.jsonl", rows).samples
    assert (first["id"], first["scorer"], first["target"]) == ("7", "number", "4")
    assert (second["id"], second["scorer"], second["target"]) == ("row-002", "number", "2.5")
    mixed = read("b.csv", "input,target\n2 + 2?,4\nUp?,down\n").samples
    assert {sample["scorer"] for sample in mixed} == {"exact"}


@pytest.mark.parametrize("target", ["hot", "B"])
def test_choices_in_a_cell(read: Read, target: str) -> None:
    (sample,) = read("a.csv", f"input,choices,target\nFire is?,cold | hot,{target}\n").samples
    assert sample["choices"] == ["cold", "hot"]
    assert (sample["scorer"], sample["target"]) == ("choice", 1)


def test_a_row_may_say_everything_itself(read: Read) -> None:
    row = {
        "id": "a",
        "input": "Say hi.",
        "target": "^hi",
        "scorer": "regex",
        "capability": "talk",
        "difficulty": "Hard",
        "max_tokens": 8,
        "cluster": "greetings",
    }
    found = read("a.jsonl", json.dumps(row))
    assert found.samples == [{**row, "difficulty": "hard"}]
    assert "scored by" not in " ".join(found.said)


def test_the_right_choice_is_moved_where_it_never_is(read: Read) -> None:
    rows = [{"input": f"Which, {n}?", "choices": ["yes", "no"], "target": 0} for n in range(40)]
    found = read("a.jsonl", "\n".join(map(json.dumps, rows)))
    right = [sample["choices"][sample["target"]] for sample in found.samples]
    assert right == ["yes"] * 40
    assert sum(sample["target"] for sample in found.samples) == 20
    assert (
        "the right choice stood in one place too often: the choices were turned round" in found.said
    )


def test_wrong_rows_are_named(read: Read) -> None:
    rows = ["a,b,hrad", ",c,easy", "q,,easy", 'q,"x\ny",easy', "q,x,simple", "r,x,no", "s,x,never"]
    said = refused(read, "a.csv", "input,target,level\n" + "\n".join(rows))
    assert said.splitlines() == [
        "a.csv: 6 of 7 rows are no sample, and nothing was written (columns: input, target, "
        "'level' as difficulty):",
        "  line 2: difficulty: unknown 'hrad'; did you mean 'hard'? Known: easy, hard, medium",
        "  line 3: input: missing",
        "  line 4: target: missing",
        "  line 7: difficulty: unknown 'simple'; Known: easy, hard, medium",
        "  line 8: difficulty: unknown 'no'; Known: easy, hard, medium",
        "  and 1 more",
    ]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.xlsx", "x", "a.xlsx: of .xlsx kind; hand in .csv, .tsv or .jsonl, one question a row"),
        ("a.csv", "", "a.csv: empty; give it one question a row: input,target"),
        (
            "a.csv",
            "input,target\n",
            "a.csv: holds no row; give it one question a row: input,target",
        ),
        (
            "a.csv",
            "question,score\na,1\n",
            "a.csv: no column says what is right; call one of them 'target' (or answer, expected, "
            "expected_output, ideal, reference, ground_truth, gold, label, output). Columns here: "
            "'question', 'score'",
        ),
        ("a.jsonl", "{", "a.jsonl: line 1, column 2: malformed JSON: Expecting property name"),
        ("a.jsonl", "3", "a.jsonl: line 1: holds int, expected a JSON object with 'input' and"),
        (
            "a.jsonl",
            '{"input": "a", "target": 2, "choices": ["1", "2", "3"]}',
            "line 1: target: 2 is the place of one choice (from 0) and the text of another; write "
            'the text: "2"',
        ),
        (
            "a.csv",
            "input,choices,target\na,x|y,z\n",
            "line 2: target: 'z' is none of the choices; write the right one as it stands there",
        ),
        (
            "a.csv",
            "id,input,target\nx,a,b\nx,c,d\n",
            "line 3: id: 'x' stands on line 2 too",
        ),
        (
            "a.csv",
            "input,target\nsame,b\nsame,b\n",
            "a.csv: no task set that could show a regression, and nothing was written:\n"
            "  row-001 and row-002 are the same; remove one",
        ),
        ("a.jsonl", '{"input": "a", "target": "b", "scorer": "exakt"}', "did you mean 'exact'?"),
    ],
)
def test_a_file_that_is_none(read: Read, name: str, text: str, says: str) -> None:
    assert says in refused(read, name, text)


def test_a_file_that_is_missing_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskSetError, match=r"^no\.csv: cannot be read: No such file or directory$"):
        handed.read(Path("no.csv"), scorers.check)
    small = dataclasses.replace(handed._PURPOSE, most_rows=2, most_cells=7)
    monkeypatch.setattr(handed, "_PURPOSE", small)
    files = {
        "a.csv": "input,target\na,b\nc,d\ne,f\n",
        "a.jsonl": '{"input": "a", "target": "b"}\n' * 3,
        "a.json": "[1, 2, 3]",
    }
    for name, text in files.items():
        Path(name).write_text(text)
        with pytest.raises(TaskSetError, match=r"^a\.\w+: more than 2 rows; cut it into parts$"):
            handed.read(Path(name), scorers.check)
    Path("a.csv").write_text("input,target,x\na,b,c\nc,d,e\n")
    with pytest.raises(TaskSetError) as caught:
        handed.read(Path("a.csv"), scorers.check)
    assert str(caught.value) == (
        "a.csv: more than 7 cells in 2 rows; leave columns out, or cut it into parts"
    )


def test_what_would_never_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    for name in ("pipe.csv", "zero.csv"):
        with pytest.raises(TaskSetError, match="cannot be read: Is a pipe or a device, and no reg"):
            handed.read(tmp_path / name, scorers.check)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    begin=st.sampled_from([b"", b"input,target\n", b"\xff\xfe", b"\xff\xfe\0\0", b"PK\3\4", b"["]),
    content=st.binary(max_size=60),
    name=st.sampled_from(["a.csv", "a.tsv", "a.jsonl"]),
)
def test_any_bytes_are_a_task_set_or_refused(
    tmp_path: Path, begin: bytes, content: bytes, name: str
) -> None:
    (tmp_path / name).write_bytes(begin + content)
    try:
        said = handed.read(tmp_path / name, scorers.check).said[0]
    except TaskSetError as error:
        said = f"read {error}"
    assert said.startswith(f"read {tmp_path / name}: ")


CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(["id", "input", "answer", "options", "scorer", "level", "max_tokens"]),
        CELLS,
    ),
    min_size=1,
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=ROWS)
def test_rows_of_any_kind_are_a_task_set_or_refused(tmp_path: Path, rows: list[Any]) -> None:
    path = tmp_path / "any.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    try:
        found = handed.read(path, scorers.check)
    except TaskSetError:
        return
    folder = tmp_path / "set"
    folder.mkdir(exist_ok=True)
    files = starter.files(KINDS["prompted"], SMOLLM2, None, found.tasks)
    for name in ("task_set.toml", "samples.jsonl"):
        (folder / name).write_text(files[f"tasks/any/{name}"], encoding="utf-8")
    read = jsonl.read(folder, scorers.check)
    assert len(read.samples) == len(rows)
    assert not [one for one in lint.check(read) if one.level == "error"]
