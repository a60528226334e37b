"""Files of every format, as users hand them in, and the text of every error."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from score_files import Write, check_rows_or_message, message, scores

from pytest_modellab import scorefiles
from pytest_modellab.baselines import file as baseline_file
from pytest_modellab.baselines.accepted import Baseline
from pytest_modellab.errors import ModellabError, ScoreFileError
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.scorefiles.purpose import PURPOSE
from pytest_modellab.scorefiles.rows import ScoreRow, Wanted
from pytest_modellab.tables import source

DATA = Path(__file__).parents[2] / "data" / "scorefiles"
COLORS = "samples_colors_2026-11-22T05-57-40.908561.jsonl"


# --- CSV -----------------------------------------------------------------------------------------


def test_csv(write: Write) -> None:
    content = 'id,score,level\na,1,easy\n"b,c",0.5,hard\n\nd,,hard\n'
    path = write("a.csv", content)
    file = scorefiles.read(path, Wanted(by=("level",)))
    assert file.rows == (
        ScoreRow("a", 1.0, "line 2", bucket="easy"),
        ScoreRow("b,c", 0.5, "line 3", bucket="hard"),
        ScoreRow("d", None, "line 5", bucket="hard"),
    )
    assert file.kind == "CSV"
    assert file.notes == ("id from 'id', score from 'score'",)
    assert file.sources == ((str(path), hashlib.sha256(content.encode()).hexdigest()),)


def test_tab_separated_and_byte_order_mark_and_windows_line_ends(write: Write) -> None:
    assert scores(write("a.tsv", b"\xef\xbb\xbfid\tscore\r\na\t1\r\nb\t0\r\n")) == {"a": 1, "b": 0}


def test_usual_columns_are_found_and_named_ones_win(write: Write) -> None:
    path = write("a.csv", "doc_id,acc,mine,other\n1,1,0,x\n")
    assert scores(path) == {"1": 1.0}
    assert scores(path, id=("key", "other"), score=("mine",)) == {"x": 0.0}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "empty; hand in one score a sample"),
        (" \n\n", "empty; hand in one score a sample"),
        ("id,score\n", "holds no sample; hand in one score a sample"),
        (
            "id,score\na,1,2\n",
            "line 2: 3 cells, but the header names 2 columns; quote a cell that holds ',' (a "
            "decimal comma is one)",
        ),
        (
            "id,score\na\n",
            "line 2: 1 cells, but the header names 2 columns; quote a cell that holds ','",
        ),
        ("id,score,id\n", "line 1: columns 1 and 3 are both named 'id'; rename one"),
        (
            'id,score\n"a"b,1\n',
            "line 2: malformed CSV: ',' expected after '\"'; quote cells that hold quotes or line "
            "ends, and leave columns of very long text out",
        ),
        ("id,score\n,1\n", "line 2: id: the sample has no id"),
        (
            "id,score\na,good\n",
            "line 2: sample 'a': score: 'good' is not a number; write 0.71, true or false, or "
            "leave it empty where the score is missing",
        ),
        (
            "id,score\na,1\nb,71\n",
            "line 3: sample 'b': score: 71 lies outside [0, 1]; say which range the metric has, "
            "for percent: --range 0 100",
        ),
        (
            "id,score\na,inf\n",
            "line 2: sample 'a': score: 'inf' is not a number; write 0.71, true or false, or leave "
            "it empty where the score is missing",
        ),
        *(
            (
                f"id,score\na,{text}\n",
                f"line 2: sample 'a': score: {text!r} is not a number; write 0.71, true or false, "
                "or leave it empty where the score is missing",
            )
            for text in ("0_1", "\u0661", "\uff11", "0x1", "1e999", "1 0", ".")
        ),
        ("id,score\n ,1\n", "line 2: id: ' ' is blank; give the sample another id"),
        (
            "id,score\n a,1\n",
            "line 2: id: ' a' begins or ends with a blank; give the sample another id",
        ),
        (
            "id,score\na\x1b[2J,1\n",
            "line 2: id: 'a\\x1b[2J' holds the control character U+001B; give the sample another "
            "id",
        ),
        (
            "id,score\na,1\nb,1\na,0\n",
            "1 ids stand on several lines: 'a' (line 2, line 4). Ids must be unique; if these are "
            "repeated runs of one sample: --repeats mean",
        ),
        ("name,score\na,1\n", "which column holds the id? Name it: --id NAME. Known: name, score"),
        (
            "id,points\na,1\n",
            "which column holds the score? Name it: --score NAME. Known: id, points",
        ),
    ],
)
def test_csv_errors(write: Write, content: str, expected: str) -> None:
    assert message(write("a.csv", content)) == expected


def test_unknown_columns_come_with_near_misses(write: Write) -> None:
    path = write("a.csv", "id,score,level\na,1,\n")
    hint = "did you mean 'level'? Known: id, level, score"
    assert message(path, by=("levl",)) == f"--by: no column 'levl'; {hint}"
    assert message(path, cluster="levl") == f"--cluster: no column 'levl'; {hint}"
    assert message(path, hash=("levl",)) == f"--hash: no column 'levl'; {hint}"
    assert message(path, id=("levl",)) == f"--id: no column 'levl'; {hint}"
    assert message(path, score=("levl", "x")) == f"--score: no column 'levl' or 'x'; {hint}"
    assert message(path, by=("level",)) == (
        "line 2: sample 'a': level: empty, so the sample has no bucket"
    )


def test_what_is_no_file_of_scores(write: Write, tmp_path: Path) -> None:
    assert message(tmp_path / "no.csv") == "cannot be read: No such file or directory"
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"
    assert message(write("big.parquet", pointer)) == (
        "a Git LFS pointer, not the file itself; fetch it: git lfs pull --include big.parquet"
    )
    assert message(write("a.xlsx", "x")) == (
        "unknown kind of file '.xlsx'; known are .csv, .tsv, .jsonl, .parquet, .eval, .json, or a "
        "folder of lm-eval's samples_*.jsonl; save the sheet as CSV"
    )
    assert message(write("a.csv", "id,score\na,1\né,1\n".encode("latin-1"))) == (
        "line 3: not UTF-8 (invalid continuation byte); save it as UTF-8"
    )
    assert message(write("b.csv", "id,score\na\0,1\n")) == (
        "line 2, byte 2: 0x00, which is in no text; save the table as CSV or JSON lines, in UTF-8"
    )


# --- JSON lines ----------------------------------------------------------------------------------


def test_json_lines(write: Write) -> None:
    lines = [
        {"id": 7, "score": True, "doc": {"subject": "law"}},
        {"id": "b", "score": "0.25", "doc": {"subject": 3.0}},
        {"id": 2.0, "score": None, "doc": {"subject": False}},
        {"id": "c", "doc": {"subject": "law"}},
        {"id": "d", "score": float("nan"), "doc": {"subject": "law"}},
    ]
    text = "\n".join(map(json.dumps, lines))
    expected = {"7": 1.0, "b": 0.25, "2": None, "c": None, "d": None}
    assert scores(write("a.jsonl", text)) == expected
    assert scores(write("a.jsonl.gz", gzip.compress(text.encode()))) == expected
    file = scorefiles.read(write("a.ndjson", text), Wanted(by=("doc.subject",)))
    assert [row.bucket for row in file.rows] == ["law", "3", "False", "law", "law"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"id": 1,}', "line 1, column 10: malformed JSON: Illegal trailing comma"),
        ("\n[1]", "entry 1: holds int, expected a JSON object with the sample's id and score"),
        ("{}\n[1]", "line 2: holds list, expected a JSON object with the sample's id and score"),
        ("[\n{},\n{]", "line 3, column 2: malformed JSON: Expecting property name enclosed in"),
        (
            '{"id": 1}\n<<<<<<< HEAD\n{}',
            "conflict markers at line 2; resolve the merge",
        ),
        ('{"id": "a", "score": [1]}', "line 1: sample 'a': score: holds list, but one number"),
        ('{"id": ["a"], "score": 1}', "line 1: id: holds list, expected text or a number"),
        ('{"score": 1, "id": null}', "line 1: id: the sample has no id"),
        ('{"id": 1, "score": 1' + "0" * 400 + "}", "line 1: sample '1': score: inf lies outside"),
        ('{"id": 1, "score": 1' + "0" * 5000 + "}", "line 1: malformed JSON: Exceeds the limit"),
        ("[" * 100_000, "line 1: malformed JSON: maximum recursion depth"),
    ],
)
def test_json_lines_errors(write: Write, content: str, expected: str) -> None:
    found = message(write("a.jsonl", content))
    # Python 3.11 words a trailing comma otherwise
    other = "line 1, column 10: malformed JSON: Expecting property name enclosed in double quotes"
    assert found.startswith(expected) or ("trailing comma" in expected and found == other)


def test_broken_gzip(write: Write) -> None:
    whole = gzip.compress(b'{"id": 1, "score": 1}\n' * 99)
    found = message(write("a.jsonl.gz", whole[:-9]))
    assert found.startswith("malformed or truncated gzip: ")
    assert message(write("b.jsonl.gz", b"x")).startswith("malformed or truncated gzip: ")
    assert message(write("c.csv.gz", gzip.compress(b""))) == "empty; hand in one score a sample"


# --- Parquet -------------------------------------------------------------------------------------


def test_parquet(write: Write, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    table = pa.table(
        {
            "id": [1, 2, 3, 4],
            "score": [1.0, None, float("nan"), 0.25],
            "right": [True, False, None, True],
            "level": pa.array(["easy", "hard", "easy", "hard"]).dictionary_encode(),
            "doc": [{"subject": "law"}, {"subject": "art"}, {"subject": "law"}, {"subject": "art"}],
            "output": [b"never", b"read", b"", b""],
        }
    )
    pq.write_table(table, path)
    assert scores(path) == {"1": 1.0, "2": None, "3": None, "4": 0.25}
    assert scores(path, score=("right",)) == {"1": 1.0, "2": 0.0, "3": None, "4": 1.0}
    for column, expected in (
        ("level", ["easy", "hard", "easy", "hard"]),
        ("doc.subject", ["law", "art", "law", "art"]),
    ):
        rows = scorefiles.read(path, Wanted(by=(column,))).rows
        assert [row.bucket for row in rows] == expected
        assert rows[3].where == "row 4"
    assert message(path, score=("output",)) == (
        "row 1: sample '1': output: holds bytes, but one number a sample is needed; choose another "
        "column: --score NAME"
    )
    assert message(path, score=("points",)) == (
        "--score: no column 'points'; Known: doc, id, level, output, right, score"
    )
    content = path.read_bytes()
    assert message(write("cut.parquet", content[:-20])).startswith("malformed or truncated Parquet")


@settings(max_examples=60)
@given(st.integers(0, 2000), st.binary(min_size=1, max_size=4))
@example(196, b"l")  # sizes of levels that do not fit: asked for them, pyarrow ends the process
def test_damaged_parquet_is_a_message(write: Write, at: int, noise: bytes) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": ["a", "b"], "score": [0.0, 1.0]}), sink)
    content = bytearray(sink.getvalue().to_pybytes())
    at %= len(content)
    content[at : at + len(noise)] = noise
    check_rows_or_message(write("a.parquet", bytes(content)))


# --- baselines -----------------------------------------------------------------------------------


def test_baseline(
    record: Callable[..., RunRecord],
    make_tasks: Callable[..., TaskSet],
    sample: Callable[..., Any],
    tmp_path: Path,
) -> None:
    run = record(make_tasks([sample(i) for i in range(3)]), [1.0, None, 0.5])
    path = tmp_path / "plain.json"
    baseline_file.write(path, Baseline(run))
    file = scorefiles.read(path, Wanted())
    assert file.kind == "baseline of 'plain' on tiny 1"
    assert [(row.id, row.score, row.hash) for row in file.rows] == [
        (s.id, s.score, s.hash) for s in run.samples
    ]
    path.write_text(path.read_text().replace('"score":0.5', '"score":1.0'))
    assert message(path).startswith("digest: the content does not match it")


def test_other_json(write: Write) -> None:
    assert message(write("results.json", '{"results": {}, "id": 1}')) == (
        "an object with 'results', 'id', which is no layout that is known: no baseline of "
        "pytest-modellab, no log of inspect_ai, no results of promptfoo or DeepEval; write scores "
        "of other tools as one object a sample, in an array or one a line"
    )
    assert message(write("text.json", "7")) == (
        "line 1: holds int, expected a JSON object with the sample's id and score"
    )
    assert scores(write("array.json", '[{"id": 1, "score": 0.5}]')) == {"1": 0.5}


# --- any bytes -----------------------------------------------------------------------------------


@given(
    st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.jsonl.gz", "a.json", "a.parquet"]),
    st.binary(max_size=200)
    | st.text("id,score\n\"'01ax{}[]: \t", max_size=80).map(lambda t: f"id,score\n{t}".encode())
    | st.lists(
        st.dictionaries(
            st.sampled_from(["id", "score", "doc_id", "resps", "filter", "metrics", "acc", "hash"]),
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.lists(st.text(max_size=3), max_size=2)
            | st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
        ),
        max_size=4,
    ).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
)
@example("a.jsonl", b'{"id": "\\ud800", "score": 1}')
@example("a.jsonl", b'{"id": 1, "score": "' + b"9" * 5000 + b'"}')
def test_any_bytes_are_rows_or_a_message(write: Write, name: str, content: bytes) -> None:
    check_rows_or_message(write(name, content))


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1),
        st.none() | st.floats(0, 1),
        min_size=1,
    )
)
def test_a_written_table_reads_back_equal(write: Write, table: dict[str, float | None]) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "score"])
    writer.writerows((id_, "" if score is None else repr(score)) for id_, score in table.items())
    assert scores(write("a.csv", text.getvalue())) == table
    lines = (json.dumps({"id": id_, "score": score}) for id_, score in table.items())
    assert scores(write("a.jsonl", "\n".join(lines))) == table


def test_errors_are_modellab_errors() -> None:
    assert issubclass(ScoreFileError, ModellabError)


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.csv.gz"
    packed = gzip.compress(b"\n" * (source.SMALL + 1))
    with pytest.raises(ScoreFileError) as caught:
        source.text(path, packed, PURPOSE)
    assert str(caught.value) == (
        f"{path}: {len(packed):,} bytes of gzip unpack to more than {source.SMALL:,}, "
        "which is no file of scores; unpack it yourself and look what it holds"
    )


@pytest.mark.parametrize("rows", [20, 5_000_001])
def test_a_parquet_bomb_is_refused(tmp_path: Path, rows: int) -> None:
    """A long text that stands in the file once, and millions of rows of one value."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    score = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["9" * 16_000_000])
    if rows > 20:
        score = pa.array([1] * rows, pa.int8())
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"score": score}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    assert f"{path.stat().st_size:,} bytes of Parquet hold " in message(path)
    assert message(path).endswith("write the columns that matter into a file of their own")


def test_parquet_columns_of_lists(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    table = {"id": ["a"], "score": [1.0], "metadata": [{"level": "easy", "tags": ["x"]}]}
    pq.write_table(pa.table(table), path)
    assert scorefiles.read(path, Wanted(by=("metadata.level",))).rows[0].bucket == "easy"
    pq.write_table(pa.table({"id": ["a"], "score": [[1.0]]}), path)
    assert message(path) == (
        "column 'score' holds lists (list.element), and a sample has one value; "
        "write it into a column of its own"
    )


def test_a_file_without_an_end_is_read_to_a_limit(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "UNPACKED", 20)
    assert message(write("a.csv", "id,score\na,1\nb,1\nc,1\n")) == (
        "has more than 20 bytes, which is no file of scores; leave out the texts, "
        "or cut it into parts"
    )
