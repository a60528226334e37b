"""Exports of promptfoo and DeepEval, as their own releases wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_files import Write, check_rows_or_message, message, scores

from pytest_modellab import scorefiles
from pytest_modellab.scorefiles.matching import match
from pytest_modellab.scorefiles.rows import ScoreFile, Wanted

DATA = Path(__file__).parents[2] / "data" / "scorefiles"
ONE = DATA / "promptfoo_one.json"
RUN = DATA / "deepeval_latest_test_run.json"


def read(path: Path, **wanted: Any) -> ScoreFile:
    return scorefiles.read(path, Wanted(**wanted))


def edited(write: Write, path: Path, **changes: Any) -> Path:
    """The file with its first result or test case changed."""
    document = json.loads(path.read_text())
    rows = document["testRunData"]["testCases"] if path == RUN else document["results"]["results"]
    rows[0].update(changes)
    return write(path.name, json.dumps(document))


# --- promptfoo -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["one.json", "one.jsonl", "one.csv"])
def test_results_of_promptfoo(name: str) -> None:
    path = DATA / f"promptfoo_{name}"
    assert scores(path) == {"1 2 #0e09eeab5bde": 1.0, "3 4 #1909f5d5163e": 0.5}
    assert set(scores(path, score=("success",)).values()) == {1.0, 0.0}
    file = read(path)
    assert file.kind == "results of promptfoo"
    matched = match(file, read(ONE, hash=("content_hash",)))
    assert matched.content_checked
    assert (len(matched.ids), matched.only_baseline) == (2, ())


def test_named_scores_and_variables() -> None:
    assert list(scores(ONE, score=("namedScores.has",)).values()) == [1.0, 0.5]
    assert [row.bucket for row in read(ONE, by=("vars.a",)).rows] == ["1", "3"]


def test_version_2_has_no_test_and_no_reason(write: Write) -> None:
    results = [
        {"prompt": {"raw": "x", "display": "{{a}}"}, "vars": {"a": "1"}, "provider": {"id": "p"}}
        | {"success": True, "score": 1, "gradingResult": {"pass": True}},
        {"prompt": {"raw": "y", "display": "{{a}}"}, "vars": {"a": "2"}, "provider": {"id": "p"}}
        | {"success": False, "score": 0, "error": "timeout"},
    ]
    document = {"results": {"version": 2, "results": results}, "config": {}}
    file = read(write("old.json", json.dumps(document)))
    assert [row.score for row in file.rows] == [1.0, None]
    assert file.notes[0] == "1 test failed, without a score"


def test_tests_that_could_not_run(write: Write) -> None:
    assert message(DATA / "promptfoo_fail.json") == (
        "all 2 tests failed, none has a score; the first: quota; mend that, and run it again"
    )
    assert message(DATA / "promptfoo_fail.csv").startswith("all 2 tests failed, none has a score")
    assert list(scores(edited(write, ONE, failureReason=2)).values()) == [None, 0.5]


def test_tests_without_an_assertion_are_not_passed(write: Write) -> None:
    none = {"pass": True, "score": 1, "reason": "No assertions"}
    one = edited(write, ONE, gradingResult=none)
    assert list(scores(one).values()) == [None, 0.5]
    assert read(one).notes[0] == "1 test had no assertion, without a score"
    results = json.loads(ONE.read_text())["results"]["results"]
    rows = [{**row, "gradingResult": none} for row in results]
    assert message(write("a.jsonl", "\n".join(map(json.dumps, rows)))) == (
        "none of 2 tests has an assertion, so nothing was scored; give them assertions, and run "
        "them again"
    )
    table = (DATA / "promptfoo_one.csv").read_text()
    bare = write("a.csv", table.replace("All assertions passed", "No assertions"))
    assert list(scores(bare).values()) == [None, 0.5]


def test_several_providers_and_prompts(write: Write) -> None:
    two = DATA / "promptfoo_two.json"
    assert message(two) == (
        "results of 2 providers: one, two; name the one to compare between the two files: "
        "--filter one; to compare one with another, write each into a file of its own: "
        "promptfoo eval --filter-providers NAME"
    )
    assert scores(two, filter="two") == scores(ONE)
    assert message(two, filter="too") == (
        "--filter: unknown provider 'too'; did you mean 'two'? Known: one, two"
    )
    assert message(DATA / "promptfoo_two.csv") == (
        "outputs of 2 prompts or providers side by side; hand in what tells them apart: "
        "promptfoo eval -o out.json"
    )
    prompts = read(edited(write, ONE, prompt={"label": "Add {{a}}"}, vars={"a": "3", "b": "4"}))
    assert len({row.id for row in prompts.rows}) == 2


def test_what_two_tests_share(write: Write) -> None:
    other = edited(write, ONE, vars={"a": "3", "b": "4"}, testCase={"assert": [{"type": "x"}]})
    assert len(scores(other)) == 2
    same = edited(write, ONE, **json.loads(ONE.read_text())["results"]["results"][1])
    assert message(same).startswith(
        "1 ids stand on several lines: '3 4 #1909f5d5163e' (result 1, result 2)"
    )


def test_csv_of_an_older_promptfoo(write: Write) -> None:
    assert message(write("a.csv", 'a,[echo] {{a}}\n1,"[PASS] (1.00)\n\nx"\n')) == (
        "results of an older promptfoo, which writes scores into the outputs' text; hand in JSON: "
        "promptfoo eval -o out.json"
    )


# --- DeepEval ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [RUN, DATA / "deepeval_result.json"])
def test_a_test_run_of_deepeval(path: Path) -> None:
    file = read(path, score=("Length",))
    assert file.kind == "test run of DeepEval"
    assert [row.score for row in file.rows] == [0.3, 0.4, 0.5, None]
    assert file.rows[0].id.startswith("q0 #")
    assert file.rows[3].id == "named"
    assert file.notes[0] == "2 metrics failed, without a score"
    matched = match(file, read(RUN, score=("Length",)))
    assert matched.content_checked
    assert matched.changed == matched.only_baseline == ()
    assert message(path) == (
        "which column holds the score? Name it: --score NAME. Known: Length, Long"
    )
    assert list(scores(path, score=("success",)).values()) == [0.0] * 4


def test_a_metric_that_was_turned_round(write: Write) -> None:
    low = {"name": "Bias", "score": 0.1, "threshold": 0.5, "success": True}
    bias = edited(write, RUN, metricsData=[low])
    assert message(bias, score=("Bias",)) == ("a low 'Bias' is better here; say --lower-is-better")
    assert next(iter(scores(bias, score=("Bias",), lower_is_better=True).values())) == 0.9
    assert message(RUN, score=("Length",), lower_is_better=True) == (
        "a high 'Length' is better here, so leave --lower-is-better out; where the other file, or "
        "another task of the folder, has it the other way round, compare each with its like"
    )


def test_what_deepeval_did_not_score(write: Write) -> None:
    down = {"name": "Length", "error": "RuntimeError: judge down\nmore"}
    document = {"test_results": [{"name": "a", "input": "x", "metrics_data": [down]}]}
    assert message(write("a.json", json.dumps(document))) == (
        "no metric of 1 test case has a score; the first error: RuntimeError: judge down; mend "
        "that, and run it again"
    )
    assert message(write("b.json", '{"test_results": []}')) == (
        "a test run of DeepEval without a test case; run it again"
    )
    assert message(write("c.json", '{"test_cases_lookup_map": {}}')) == (
        "DeepEval's cache, which does not say what the last run was; hand in "
        ".deepeval/.latest_test_run.json, or a file of DEEPEVAL_RESULTS_FOLDER"
    )


def test_results_of_early_versions(write: Write) -> None:
    cases = json.loads((DATA / "deepeval_result.json").read_text())["test_results"]
    alone = [{key: value for key, value in case.items() if key != "name"} for case in cases]
    found = scores(write("list.json", json.dumps(alone)), score=("Length",))
    assert list(found.values()) == [0.3, 0.4, 0.5, None]
    assert list(found)[:3] == list(scores(RUN, score=("Length",)))[:3]
    run = json.dumps(json.loads(RUN.read_text())["testRunData"])
    assert scores(write("20241129_120502", run), score=("Length",)) == scores(
        RUN, score=("Length",)
    )


def test_two_metrics_of_one_name_and_conversations(write: Write) -> None:
    metric = {"name": "G", "score": 1.0}
    talk = {"name": "test_case_0", "turns": [{"role": "user", "content": "hi"}, 3]}
    document = {
        "testCases": [],
        "conversationalTestCases": [{**talk, "metricsData": [metric, {**metric, "score": 0}]}],
        "metricsScores": [],
    }
    path = write("a.json", json.dumps(document))
    assert list(scores(path, score=("G (2)",)).values()) == [0.0]
    assert next(iter(scores(path, score=("G",)))).startswith("['hi'] #")


# --- any change of a document --------------------------------------------------------------------

VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 1e400, "", "x\x00", "\ud800", [], [[]], {}, {"a": [1]}]
)


@settings(max_examples=60)
@given(st.sampled_from([ONE, RUN, DATA / "deepeval_result.json"]), VALUES, st.data())
def test_a_changed_export_is_rows_or_a_message(
    write: Write, path: Path, value: Any, data: st.DataObject
) -> None:
    node = document = json.loads(path.read_text())
    while True:
        key = data.draw(
            st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
        )
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = value
    check_rows_or_message(write("a.json", json.dumps(document)))


def test_brackets_without_end(write: Write) -> None:
    deep = '{"results": {"results": ' + "[" * 100_000
    assert message(write("a.json", deep)).startswith("line 1: malformed JSON: maximum recursion")


def test_metrics_of_one_name_are_numbered(write: Write) -> None:
    metrics = [{"name": name, "score": 1} for name in ("a", "a (2)", "a", "a")]
    case = {"name": "x", "input": "y", "metrics_data": metrics}
    path = write("a.json", json.dumps({"test_results": [case]}))
    assert message(path).endswith("Known: a, a (2), a (3), a (4)")


def test_a_metric_that_failed_is_not_zero(write: Write) -> None:
    metrics = [{"name": "a", "score": 0, "error": "quota"}], [{"name": "a", "score": 1}]
    cases = [{"name": n, "metrics_data": one} for n, one in zip("xy", metrics, strict=True)]
    file = read(write("a.json", json.dumps({"test_results": cases})))
    assert [(row.id, row.score) for row in file.rows] == [("x", None), ("y", 1.0)]
    assert file.notes[0] == "1 metric failed, without a score"


def test_the_provider_is_said(write: Write) -> None:
    assert "provider 'two'" in read(DATA / "promptfoo_two.json", filter="two").notes
    assert not any("provider" in note for note in read(DATA / "promptfoo_one.csv").notes)
