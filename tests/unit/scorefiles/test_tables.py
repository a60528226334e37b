"""Tables as spreadsheets and people write them: each is read as meant, or said to be unclear."""

from __future__ import annotations

import pytest
from score_files import Write, message, scores

from pytest_modellab import scorefiles
from pytest_modellab.scorefiles.rows import Wanted


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id;score\na;0,5\nb;1\n"),
        ("a.csv", "sep=;\nid;score\r\na;0,5\r\nb;1,0\r\n"),
        ("a.csv", '"sep=|"\nid|score\na|0.5\nb|1\n'),
        ("a.csv", "id\tscore\na\t0.5\nb\t1\n"),
        ("a.tsv", "id,score\na,.5\nb,1\n"),
        ("a.txt", "id\tscore\na\t0,5\nb\t1\n".encode("utf-16")),
        ("a.csv", "\ufeffid;score\na;0,5\nb;1\n".encode()),
        ("a.csv", '"note; or not, x";score;id\n"a;b,\nc";0,500;a\n;1,000;b\n'),
        ("a.csv", 'id,score\na,"0,5"\nb,1\n'),
        ("a.csv", "id,score,,\na,0.5,,\nb,1,,\n,,,\n"),
        ("a.csv", "id,score\na,0.5,,\nb,1\n"),
        ("a.csv", "id,score\na,50%\nb,100 %\n"),
        ("a.csv", "id;score\na;50,0%\nb;1\n"),
        ("a.csv", "id,score\na,P\nb,C\nc,N\n"),
        ("a.csv", 'id,reply,score\na,"x\n<<<<<<< HEAD\n=======",0.5\nb,,1\n'),
        ("a.csv", "id,score\na,0.5\n\ufeffb,1\n"),
        ("a.jsonl", '{"id": "a", "score": 0.5}\n\ufeff{"id": "b", "score": 1}\n'),
    ],
)
def test_read_as_meant(write: Write, name: str, content: str | bytes) -> None:
    found = scores(write(name, content))
    assert (found["a"], found["b"]) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pair.split("/")
        for pair in "pass/FAIL Passed/failed C/I C/N TRUE/false yes/No Y/n T/F P/F "
        "correct/incorrect right/wrong 1/0 100%/0%".split()
    ],
)
def test_grades(write: Write, right: str, wrong: str) -> None:
    path = write("a.csv", f"id,score\na,{right}\nb,{wrong}\nc,\n")
    assert scores(path) == {"a": 1.0, "b": 0.0, "c": None}


def test_numbers_of_other_ranges(write: Write) -> None:
    path = write("a.csv", 'id,score\na,"1,250.5"\nb,"1,000"\nc,"2,000,000"\n')
    expected = {"a": 0.00062525, "b": 0.0005, "c": 1.0}
    assert scores(path, high=2e6) == pytest.approx(expected)
    points = write("b.csv", "id;score\na;1.250,5\nb;1.000\nc;1.000,5\n")
    assert message(points, high=2e6) == (
        "line 3: sample 'b': score: '1.000' stands beside the decimal comma of '1.250,5'; write "
        "both with a decimal point and without other separators"
    )
    percent = write("c.csv", "id,score\na,71%\nb,50\n")
    assert scores(percent, high=100.0) == {"a": 0.71, "b": 0.5}
    assert message(percent, low=1.0, high=5.0) == (
        "line 2: sample 'a': score: '71%' is a share of a hundred, and the range is 1 to 5; write "
        "both alike"
    )


COMMA = (
    "line 2: 0,5 may be one number or two; put quotes around it if it is one, else name every "
    "column, and end lines without a comma"
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            'id,score\na,"1,234"\n',
            "line 2: sample 'a': score: '1,234' may be 1.234 or 1234; write it with a decimal "
            "point and without other separators",
        ),
        (
            'id,score\na,"1,000"\nb,"0,71"\nc,"1,234.5"\n',
            "line 2: sample 'a': score: '1,000' may be 1.000 or 1000; write it with a decimal "
            "point and without other separators",
        ),
        (
            "id,score\na,P\nb,P\n",
            "line 2: sample 'a': score: 'P' may be passed or partly right; write pass and fail, "
            "or numbers",
        ),
        (
            "id,score\na,0,5\n",
            "line 2: 3 cells, but the header names 2 columns; quote a cell that holds ',' (a "
            "decimal comma is one)",
        ),
        (
            ",score\na,1\n",
            "which column holds the id? Name it: --id NAME. Known: '' (which has no name), score",
        ),
        ("id,score,note\na,0,5,\n", COMMA),
        ("id,score,\na,0,5\n", COMMA),
        (
            "a,1\nb,0\n",
            "line 1: 'a', '1' are no names of columns; begin the file with a line that names "
            "them: id,score",
        ),
        ("id,score\n<<<<<<< HEAD\na,1\n", "conflict markers at line 2; resolve the merge"),
        (
            "id,score\na,A\n",
            "line 2: sample 'a': score: 'A' is not a number; write 0.71, true or false, or leave "
            "it empty where the score is missing",
        ),
    ],
)
def test_what_is_unclear_is_named(write: Write, content: str, expected: str) -> None:
    assert message(write("a.csv", content)) == expected


def test_the_delimiter_is_told(write: Write) -> None:
    file = scorefiles.read(write("a.csv", "name;points\na;0,5\n"), Wanted(("name",), ("points",)))
    assert file.kind == "CSV, separated by ';'"
    assert file.rows[0].score == 0.5
