"""``modellab gate`` as users call it: files in, exit code, text and reports out."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import gate
from pytest_modellab.baselines import file
from pytest_modellab.baselines.accepted import Baseline
from pytest_modellab.cli import main
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet

DATA = Path(__file__).parents[2] / "data" / "scorefiles"
WARNING = "warning: inconclusive is no pass; --on-inconclusive fail makes it exit code 3\n"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in an empty folder, as if piped."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def call(call: Call) -> Call:
    """Call ``modellab gate``: exit code, output, errors."""
    return functools.partial(call, "gate")


def write(path: str, scores: Iterable[object], columns: str = "id,score", rest: str = "") -> str:
    lines = "".join(f"s{i:03d},{score}{rest}\n" for i, score in enumerate(scores))
    Path(path).write_text(f"{columns}\n{lines}")
    return path


def halves(wrong: Sequence[int], count: int = 400) -> list[int]:
    return [int(i not in wrong) for i in range(count)]


def test_pass(call: Call) -> None:
    write("a.csv", halves([]))
    assert call("a.csv", "a.csv") == (
        0,
        "PASS: a.csv against a.csv\n"
        "passed: the mean score stayed at 1.00 (n = 400); with 95% confidence the drop is "
        "at most 0.007, and 0.02 is allowed\n"
        "\n"
        "  bucket    n  baseline  candidate   drop      bound  adjusted p  verdict\n"
        "  all     400     1.000      1.000  0.000  <= +0.007      1.0000  pass\n"
        "\n"
        "alpha 0.05: 0.05 on the mean drop\n"
        "400 samples matched by id alone: no content hash in a.csv (--hash COLUMN names "
        "one)\n"
        "a.csv: CSV; id from 'id', score from 'score'\n"
        "a.csv: CSV; id from 'id', score from 'score'\n",
        "",
    )


def test_block_names_the_bucket(call: Call) -> None:
    rows = [(i, "even" if i % 2 == 0 else "odd") for i in range(200)]
    for name, wrong in (("a.csv", 0), ("b.csv", 40)):
        text = "".join(f"{i},{int(not (k == 'odd' and i < wrong))},{k}\n" for i, k in rows)
        Path(name).write_text(f"id,score,kind\n{text}")
    code, out, err = call("a.csv", "b.csv", "--by", "kind", "--margin", "0.05")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == "BLOCK: b.csv against a.csv"
    assert lines[1].startswith("blocked: odd fell from 1.00 to 0.80 (n = 100); a drop this large")
    assert lines[2].startswith(
        "blocked: the mean score fell from 1.00 to 0.90 (n = 200); a drop this large"
    )
    assert lines[4].split() == "bucket n baseline candidate drop bound adjusted p verdict".split()
    assert [line.split()[0] for line in lines[5:8]] == ["odd", "all", "even"]
    assert "alpha 0.05: 0.025 on the mean drop, 0.025 on the drop in 2 buckets" in lines


def test_inconclusive_warns_fails_or_passes(call: Call) -> None:
    write("a.csv", halves([], 30))
    code, out, _ = call("a.csv", "a.csv")
    assert code == 0
    assert out.startswith(
        "INCONCLUSIVE: a.csv against a.csv\nundecided: the mean score stayed at 1.00"
    )
    assert "samples cannot pass at --margin 0.02 (all samples), even if nothing changed: 149" in out
    assert out.endswith(
        f"next: about 119 more samples would settle the mean score (n = 30)\n{WARNING}"
    )
    for answer, expected in (("warn", 0), ("pass", 0), ("fail", 3)):
        code, out, _ = call("a.csv", "a.csv", "--on-inconclusive", answer)
        assert code == expected
        assert out.endswith(WARNING) == (answer == "warn")


def test_order_and_format_do_not_matter(call: Call) -> None:
    write("a.csv", halves([]))
    write("b.csv", halves(range(60)))
    head, *lines = Path("b.csv").read_text().splitlines()
    Path("c.csv").write_text("\n".join([head, *reversed(lines)]))
    rows = (line.split(",") for line in lines)
    Path("d.jsonl").write_text(
        "\n".join(json.dumps({"sample_id": id_, "acc": score == "1"}) for id_, score in rows)
    )
    verdicts = [call("a.csv", name) for name in ("b.csv", "c.csv", "d.jsonl")]
    assert [code for code, _, _ in verdicts] == [1, 1, 1]
    tables = [out.split("\n\n")[1] for _, out, _ in verdicts]
    assert tables[0] == tables[1] == tables[2]


def test_percent_where_lower_is_better(call: Call) -> None:
    write("a.csv", [5] * 400, columns="id,wer")
    write("b.csv", [35] * 400, columns="id,wer")
    asked = ("--metric", "wer", "--range", 0, 100, "--lower-is-better", "--margin", "0.1")
    code, out, _ = call("a.csv", "b.csv", *asked)
    assert code == 1
    assert "blocked: the mean score fell from 0.95 to 0.65 (n = 400)" in out
    assert call("b.csv", "a.csv", *asked)[0] == 0


def test_floor(call: Call) -> None:
    write("a.csv", [int(i % 5 == 0) for i in range(200)])
    code, out, _ = call("a.csv", "a.csv", "--floor", "0.5")
    assert code == 1
    assert "blocked: the mean score is 0.20 (n = 200), below the floor of 0.5" in out
    assert "  all     200  0.500      0.200  <= 0.262     <0.0001  block\n" in out
    assert "alpha 0.05: 0.025 on the mean drop, 0.025 on the floor in 1 bucket\n" in out


def test_a_pass_does_not_share_alpha(call: Call) -> None:
    write("a.csv", halves([], 59), columns="id,score,topic", rest=",sums")
    code, out, _ = call("a.csv", "a.csv", "--by", "topic", "--margin", "0.05", "--floor", "0.95")
    assert (code, out.count(" pass\n")) == (0, 3)
    assert "alpha 0.05: 0.0125 on the mean drop" in out


def test_clusters_are_the_baselines(call: Call) -> None:
    write("a.csv", halves([], 20), columns="id,score,passage", rest=",moon")
    write("b.csv", halves(range(20), 20))
    code, out, _ = call("a.csv", "b.csv", "--cluster", "passage")
    assert code == 0
    assert "(n = 20 in 1 cluster); one sample or cluster alone shows nothing" in out


def test_what_does_not_match_is_listed(call: Call) -> None:
    write("a.csv", halves([]))
    write("b.csv", [*halves([])[:397], "", ""])
    code, out, _ = call("a.csv", "b.csv")
    assert code == 0
    assert "\n399 samples matched by id alone: " in out
    assert "\n1 only in the baseline: 's399'\n" in out
    assert "\n2 without a candidate score: 's397', 's398'\n" in out


def test_too_much_that_does_not_match_is_an_error_with_all_ids(call: Call) -> None:
    write("a.csv", halves([], 100))
    write("b.csv", halves([], 80))
    code, out, err = call("a.csv", "b.csv", "--json", "r.json", "--markdown", "r.md")
    assert (code, out) == (2, "")
    assert err == (
        "modellab: 20 of 100 samples do not match (20.0%, allowed 2.0%): 20 only in the baseline: "
        "'s080', 's081', 's082', 's083', 's084', 's085', 's086', 's087', 's088', 's089' and 10 "
        "more. Run both on the same samples, or raise --max-missing; --json PATH lists all ids.\n"
    )
    report = json.loads(Path("r.json").read_text())
    assert report["verdict"] == "error"
    assert report["error"] == err.removeprefix("modellab: ").rstrip("\n")
    assert report["matching"]["only_baseline"] == [f"s{i:03d}" for i in range(80, 100)]
    assert Path("r.md").read_text().startswith("## Model gate: ERROR\n\n20 of 100 samples do not")
    assert call("a.csv", "b.csv", "--max-missing", "0.2")[0] == 0


def test_changed_content_does_not_match(call: Call) -> None:
    write("a.csv", halves([]), columns="id,score,text", rest=",x")
    write("b.csv", halves([]), columns="id,score,text", rest=",y")
    assert call("a.csv", "b.csv")[0] == 0
    code, _, err = call("a.csv", "b.csv", "--hash", "text")
    assert code == 2
    assert "400 of 400 samples do not match (100.0%, allowed 2.0%): 400 with changed" in err
    assert err.endswith(
        "Every content differs, in every column that may identify it; if these are the same "
        "samples nevertheless, --hash id pairs them by id alone.\n"
    )
    assert call("a.csv", "b.csv", "--hash", "id")[0] == 0
    assert "matched by id and content" in call("a.csv", "a.csv", "--hash", "text")[1]


def test_json_holds_every_figure(call: Call) -> None:
    before, after = halves([]), halves(range(30))
    write("a.csv", before)
    write("b.csv", [*after[:399], ""])
    code, _, _ = call("a.csv", "b.csv", "--json", "out/r.json")
    assert code == 1
    report = json.loads(Path("out/r.json").read_text())
    expected = gate.compare(before, [*after[:399], None], margin=0.02)
    assert report["schema"] == 1
    assert report["verdict"] == "block"
    assert report["explanation"] == [expected.explain()]
    for name in ("n", "drop", "drop_low", "drop_high", "p_block", "p_pass", "level", "mde"):
        assert report["drop"]["pooled"][name] == getattr(expected.pooled, name)
    assert report["drop"]["pooled"]["missing"] == ["s399"]
    assert report["matching"]["unscored_candidate"] == ["s399"]
    assert report["rules"]["margin"] == 0.02
    assert report["files"]["candidate"]["sha256"] == {
        "b.csv": hashlib.sha256(Path("b.csv").read_bytes()).hexdigest()
    }


def test_markdown(call: Call) -> None:
    write("a.csv", halves([]), columns="id,score,kind", rest=",a|b")
    assert call("a.csv", "a.csv", "--by", "kind", "--markdown", "r.md")[0] == 0
    text = Path("r.md").read_text()
    assert text.startswith("## Model gate: PASS\n\na.csv against a.csv\n\n- passed: ")
    assert "\n| bucket | n | baseline | candidate | drop | bound | adjusted p | verdict |\n" in text
    assert "\n| a&#124;b | 400 | 1.000 | 1.000 |" in text
    assert "\n- alpha 0.05: 0.025 on the mean drop, 0.025 on the drop in 1 bucket\n" in text


def test_colours_on_a_terminal_only(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    write("a.csv", halves([]))
    assert "\x1b" not in call("a.csv", "a.csv")[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    out = call("a.csv", "a.csv")[1]
    assert "\x1b[1;32mPASS: a.csv against a.csv\x1b[0m" in out
    assert "─" in out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;32m" not in call("a.csv", "a.csv")[1]


def test_samples_of_lm_eval(call: Call) -> None:
    code, out, _ = call(
        DATA / "lm_eval_base", DATA / "lm_eval_candidate", "--filter", "strict-match"
    )
    assert code == 0
    assert "\n11 samples matched by id and content\n" in out
    assert [line.split()[0] for line in out.split("\n\n")[1].splitlines()[1:]] == [
        "all",
        "colors",
        "sums",
    ]


def test_logs_of_inspect(call: Call) -> None:
    pytest.importorskip("inspect_ai")
    base, candidate = DATA / "inspect_base.eval", DATA / "inspect_candidate.eval"
    code, out, _ = call(base, candidate, "--score", "match", "--max-missing", "0.25")
    assert code == 0
    assert "\n4 samples matched by id and content\n1 without a candidate score: 'd1'\n" in out
    assert "undecided: the mean score fell from 0.75 to 0.62 (n = 4)" in out
    assert call(base, candidate, "--score", "match")[0] == 2


def test_baselines_of_pytest_modellab(
    call: Call,
    record: Callable[..., RunRecord],
    make_tasks: Callable[..., TaskSet],
    sample: Callable[..., Any],
) -> None:
    tasks = make_tasks([sample(i) for i in range(100)])
    for name, right in (("a", 100), ("b", 70)):
        run = record(tasks, [float(i < right) for i in range(100)])
        file.write(Path(f"{name}.json"), Baseline(run))
    code, out, _ = call("a.json", "b.json")
    assert code == 1
    assert "b.json: baseline of 'plain' on tiny 1; id from 'id', score from 'score'" in out


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--margin", ["0_0.05"]),
        ("--margin", ["\u0660.\u0660\u0665"]),
        ("--bucket-margin", ["0_1"]),
        ("--floor", ["\u0660.1"]),
        ("--alpha", ["0.0_5"]),
        ("--max-missing", ["inf"]),
        ("--range", ["0", "1_0"]),
        ("--range", ["0", "nan"]),
    ],
)
def test_numbers_have_ascii_digits(
    capsys: pytest.CaptureFixture[str], option: str, values: list[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["gate", "a.csv", "b.csv", option, *values])
    said = f"modellab gate: error: argument {option}: invalid decimal value: {values[-1]!r}\n"
    assert capsys.readouterr().err.endswith(said)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["no.csv", "a.csv"], "no.csv: cannot be read: No such file or directory"),
        (
            ["a.csv", "."],
            ".: a folder without samples_*.jsonl; name a file, or make lm-",
        ),
        (["a.csv", "a.csv", "--range", "1", "0"], "--range: 1 0 is no range; write the lowest"),
        (["a.csv", "a.csv", "--range", "0", "0"], "--range: 0 0 is no range; write the"),
        (["a.csv", "a.csv", "--margin", "2"], "margin is 2, but must be at least 0 and below 1"),
        (["a.csv", "a.csv", "--alpha", "0"], "alpha is 0, but must lie above 0 and below 1"),
        (
            ["a.csv", "a.csv", "--by", "kind"],
            "a.csv: --by: no column 'kind'; did you mean 'id'?",
        ),
        (["a.csv", "a.csv", "--json", "a.csv/r"], "a.csv/r: cannot be written: "),
    ],
)
def test_errors_are_one_line(call: Call, arguments: list[str], expected: str) -> None:
    write("a.csv", halves([], 30))
    code, _, err = call(*arguments)
    assert code == 2
    assert err.startswith(f"modellab: {expected}")
    assert err.count("\n") == 1


def test_an_old_report_does_not_outlive_an_error(call: Call) -> None:
    write("a.csv", halves([]))
    assert call("a.csv", "a.csv", "--json", "r.json")[0] == 0
    assert call("a.csv", "b.csv", "--json", "r.json")[0] == 2
    assert json.loads(Path("r.json").read_text())["verdict"] == "error"


def test_odd_names_reach_every_report(call: Call) -> None:
    lines = (json.dumps({"id": f"\u202e{i}", "score": 1, "k": "a\x1b\nb"}) for i in range(5))
    Path("a.jsonl").write_text("\n".join(lines))
    Path("b.jsonl").write_text("\n".join(Path("a.jsonl").read_text().splitlines()[1:]))
    asked = ("--by", "k", "--max-missing", "0.5", "--json", "r.json", "--markdown", "r.md")
    code, out, _ = call("a.jsonl", "b.jsonl", *asked)
    assert code == 0
    assert "1 only in the baseline: '\\u202e0'" in out
    assert "  a\\x1b\\nb " in out
    assert json.loads(Path("r.json").read_text())["matching"]["only_baseline"] == ["\u202e0"]


def test_a_margin_of_0_where_everything_moved_is_said(call: Call) -> None:
    write("a.csv", [0.5 + 0.001 * (i % 7) for i in range(200)])
    write("b.csv", [0.5 + 0.001 * (i % 7) - 0.005 for i in range(200)])
    code, out, _ = call("a.csv", "b.csv", "--margin", "0")
    assert code == 1
    said = (
        "200 of 200 samples moved at an allowed drop of 0: a score that batch size, threads or "
        "dtype move a little can block an unchanged model; allow what such runs show: --margin "
        "0.01"
    )
    assert said in out.split("\n")
    code, out, _ = call("a.csv", "b.csv", "--margin", "0.05")
    assert code == 0
    assert "moved at an allowed drop" not in out
