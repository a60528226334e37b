"""Samples of lm-evaluation-harness, in the layouts that its versions wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from score_files import Write, message, scores

from pytest_modellab import scorefiles
from pytest_modellab.scorefiles.rows import Wanted

DATA = Path(__file__).parents[2] / "data" / "scorefiles"
COLORS = "samples_colors_2026-11-22T05-57-40.908561.jsonl"


def test_samples_of_lm_eval() -> None:
    path = DATA / "lm_eval_base" / "base" / COLORS
    file = scorefiles.read(path, Wanted(by=("doc.subject",)))
    assert file.kind == "samples of lm-evaluation-harness"
    assert [row.id for row in file.rows] == [str(i) for i in range(8)]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row.score for row in file.rows] == [line["acc"] for line in lines]
    assert [row.bucket for row in file.rows] == [line["doc"]["subject"] for line in lines]
    assert file.rows[0].hash == " ".join(
        lines[0][f"{what}_hash"] for what in ("doc", "prompt", "target")
    )
    assert file.notes == (
        "id from 'doc_id', score from 'acc', content from 'doc_hash', 'prompt_hash', 'target_hash'",
    )
    norm = scores(path, score=("acc_norm",))
    assert list(norm.values()) == [line["acc_norm"] for line in lines]
    assert message(path, score=("acc_nrom",)) == (
        "--score: no column 'acc_nrom'; did you mean 'acc_norm'? Known: acc, acc_norm"
    )


def test_folder_of_lm_eval() -> None:
    file = scorefiles.read(DATA / "lm_eval_base", Wanted(filter="strict-match"))
    assert file.kind == "samples of lm-evaluation-harness, 2 tasks"
    assert [row.id for row in file.rows] == [
        *(f"colors/{i}" for i in range(8)),
        *(f"sums/{i}" for i in range(3)),
    ]
    assert [row.bucket for row in file.rows] == ["colors"] * 8 + ["sums"] * 3
    assert len(file.sources) == 2
    assert "sums: filter 'strict-match'" in file.notes


def test_filters_must_be_named_where_there_are_several() -> None:
    folder = DATA / "lm_eval_base"
    path = next(folder.glob("*/samples_sums*"))
    assert message(path) == (
        "scored under 2 filters; name one: --filter flexible-extract (or strict-match)"
    )
    assert message(path, filter="strict") == (
        "--filter: unknown filter 'strict'; did you mean 'strict-match'? Known: flexible-extract, "
        "strict-match"
    )


def test_newest_file_of_a_task_is_taken(write: Write, tmp_path: Path) -> None:
    text = (DATA / "lm_eval_base" / "base" / COLORS).read_text()
    older, newer = text.replace('"acc": 0.0', '"acc": 1.0'), text
    write("samples_colors_2026-01-09T00-00-00.5.jsonl", older)
    write("samples_colors_2026-01-10T00-00-00.1.jsonl", newer)
    file = scorefiles.read(tmp_path, Wanted())
    assert file.notes[0] == (
        "colors: samples_colors_2026-01-10T00-00-00.1.jsonl is the newest of 2 files"
    )
    assert [row.score for row in file.rows][:2] == [0.0, 0.0]
    assert {row.bucket for row in file.rows} == {None}


def test_folders_without_or_with_too_many_samples(write: Write, tmp_path: Path) -> None:
    assert message(tmp_path) == (
        "a folder without samples_*.jsonl; name a file, or make lm-evaluation-harness write "
        "samples: lm_eval run … --log_samples --output_path FOLDER"
    )
    log = write("2026.eval", "")
    assert f"samples_*.jsonl; name a file ({log}), or make" in message(tmp_path)
    write("one/samples_a_2026-01-09T00-00-00.5.jsonl", "{}")
    write("two/samples_a_2026-01-09T00-00-00.5.jsonl", "{}")
    assert message(tmp_path) == (
        f"holds results of 2 models; name one of them: {tmp_path}/one, {tmp_path}/two"
    )


def row(i: int, **values: Any) -> dict[str, Any]:
    """A sample as versions before 0.4.3 wrote it."""
    return {
        "doc_id": i,
        "doc": {},
        "target": "x",
        "resps": [["x"]],
        "filtered_resps": ["x"],
        **values,
    }


def array(*rows: dict[str, Any]) -> str:
    """Versions 0.4.0 to 0.4.2 write one indented array."""
    return json.dumps(rows, indent=2)


def test_arrays_of_early_versions(write: Write, tmp_path: Path) -> None:
    text = array(*(row(i, acc=float(i == 1), acc_norm=0.0) for i in range(3)))
    expected = {"0": 0.0, "1": 1.0, "2": 0.0}
    path = write("pretrained__x_arc_easy.jsonl", text)
    assert scores(path) == expected
    assert scorefiles.read(path, Wanted()).kind == "samples of lm-evaluation-harness"
    assert set(scores(path, score=("acc_norm",)).values()) == {0.0}
    time = "2024-06-08T05-42-41.351110"
    assert scores(write(f"may/samples_arc_easy_{time}.json", text)) == expected
    assert scores(tmp_path / "may") == {f"arc_easy/{id_}": s for id_, s in expected.items()}
    lines = "".join(json.dumps(row(i, acc=float(i == 1))) + "\n" for i in range(3))
    assert scores(write("lines.json", lines)) == expected


def test_folder_of_early_versions(write: Write, tmp_path: Path) -> None:
    write("run/results.json", '{"results": {}, "configs": {"easy": {}, "arc_easy": {}}}')
    write("run/model__a_arc_easy.jsonl", array(row(0, acc=1.0)))
    write("run/model__a_easy.jsonl", array(row(0, acc=0.0)))
    assert scores(tmp_path / "run") == {"arc_easy/0": 1.0, "easy/0": 0.0}
    write("run/model__b_easy.jsonl", array(row(0, acc=0.0)))
    assert message(tmp_path / "run") == (
        "model__a_easy.jsonl and model__b_easy.jsonl are both of task easy; name one of the files"
    )


def test_filters_without_a_name_are_numbered(write: Write) -> None:
    both = [row(i, exact_match=score) for score in (0.0, 1.0) for i in range(2)]
    path = write("a.jsonl", array(*both))
    numbered = ", numbered in the order of the task's filter_list (versions before 0.4.7 name none)"
    assert message(path) == (f"scored under 2 filters{numbered}; name one: --filter 1 (or 2)")
    assert scores(path, filter="2") == {"0": 1.0, "1": 1.0}
    assert message(path, filter="strict") == (
        f"--filter: unknown filter 'strict'{numbered}; Known: 1, 2"
    )
    rows = [{**one, "filter": "xy"[n // 2]} for n, one in enumerate(both)]
    named = write("c.jsonl", array(*rows))
    assert scores(named, filter="2") == scores(named, filter="y") == {"0": 1.0, "1": 1.0}
    assert message(write("b.jsonl", array(*both[:3]))).startswith("1 ids stand on several lines")


def test_metrics_without_a_score_a_sample(write: Write) -> None:
    assert scores(write("a.jsonl", array(row(0, f1=[1, 0], acc=True)))) == {"0": 1.0}
    assert scores(write("a.jsonl", array(row(0, exact_match="1.0")))) == {"0": 1.0}
    assert message(write("b.jsonl", array(row(0, word_perplexity=[-9.5, 4])))) == (
        "scored by word_perplexity, which lm-evaluation-harness computes over all samples "
        "together; score the task by acc or exact_match, which every sample has"
    )
    assert message(write("c.jsonl", array(row(0, bypass=None)))) == (
        "made with --predict_only, so nothing was scored; run lm_eval without it"
    )


def test_means_in_place_of_samples(write: Write) -> None:
    path = write("results_2026-01-09T00-00-00.5.json", '{"results": {"a": {}}, "configs": {}}')
    assert message(path) == (
        "holds the means that lm-evaluation-harness writes, and no sample; its samples are in "
        "samples_*.jsonl: lm_eval run … --log_samples"
    )


def test_tasks_of_several_runs_are_told(write: Write, tmp_path: Path) -> None:
    for name in ("a_2026-01-09", "b_2026-01-10"):
        write(f"samples_{name}T00-00-00.5.jsonl", json.dumps(row(0, acc=1.0)))
    assert scorefiles.read(tmp_path, Wanted()).notes[0] == (
        "tasks of several runs, from 2026-01-09T00-00-00.5 to 2026-01-10T00-00-00.5"
    )


@pytest.mark.parametrize(
    ("samples", "summary"),
    [
        (
            "samples_crows_2026-01-09T00-00-00.5.jsonl",
            {"higher_is_better": {"crows": {"pct": False, "other": None}}},
        ),
        (
            "results/model__a_crows.jsonl",
            {"configs": {"crows": {"metric_list": [{"metric": "pct", "higher_is_better": False}]}}},
        ),
    ],
)
def test_metrics_of_which_less_is_better(write: Write, samples: str, summary: Any) -> None:
    path = write(samples, array(row(0, pct=1.0)))
    assert scores(path) == {"0": 1.0}
    name = "results.json" if "/" in samples else "results_2026-01-09T00-00-00.5.json"
    beside = write(str(Path(samples).with_name(name)), json.dumps(summary))
    assert message(path) == "a low 'pct' is better here; say --lower-is-better"
    assert scores(path, lower_is_better=True) == {"0": 0.0}
    beside.write_text("[")
    assert scores(path) == {"0": 1.0}
