from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.gate.ratios import RatioResult
from pytest_modellab.reports import json_file
from pytest_modellab.reports.session import TestError
from pytest_modellab.reports.text import terminal

Make = Callable[..., Any]


def test_nothing_is_written_for_an_empty_session(report: Make) -> None:
    assert terminal.lines(report()) == []


def test_a_passing_variant(report: Make, run: Make, comparison: Make) -> None:
    assert terminal.lines(report(runs=(run(),), comparisons=(comparison("pass"),))) == [
        (
            (
                "[Quantized] nf4  success=0.61 ±0.02  worst=arithmetic/hard 0.32  31 ms/sample  "
                "memory=0.11GB  -> PASS"
            ),
            {"green": True},
        ),
        ("alpha 0.05 shared by 10 assertions: 0.005 each", {}),
        ("PASS: the comparison of 1 variant passed.", {"green": True, "bold": True}),
    ]


def test_findings_stand_under_their_variant(report: Make, run: Make, comparison: Make) -> None:
    found = terminal.lines(
        report(
            runs=(
                run(missing=1, cached=True),
                run(variant="base", kind="prompted", strategy="prompting", recorded="b.json"),
            ),
            comparisons=(
                comparison("block"),
                comparison("inconclusive", capability="code"),
                comparison("inconclusive", capability="logic"),
            ),
            errors=(
                TestError("t.py::test_x[int8]", "int8", "cannot load\ntrace", "VariantLoadError"),
                TestError("t.py::test_y", None, "worker died"),
            ),
            notes=("latency is not valid under xdist",),
        )
    )
    assert [text for text, _ in found] == [
        (
            "[Prompted] base  success=0.61 ±0.02  worst=arithmetic/hard 0.32  31 ms/sample  "
            "memory=0.11GB  -> baseline recorded"
        ),
        (
            "[Quantized] nf4  success=0.61 ±0.02  worst=arithmetic/hard 0.32  31 ms/sample"
            " (stored)  memory=0.11GB  1 sample without a score  -> BLOCK"
        ),
        (
            "  BLOCK arithmetic against own baseline: arithmetic fell from 0.62 to 0.41 (n = 66); "
            "a drop this large happens by chance in 1 of 1000 runs; the allowed risk here is 1 in "
            "200"
        ),
        (
            "  INCONCLUSIVE 2 of 3 undecided; smallest drop that shows is 0.15 (code); up to 310"
            " more samples would settle it (code)"
        ),
        "    nearest to a block: code against own baseline 0.62 -> 0.59, allowed drop 0.02, "
        "p = 0.4, blocks at 0.005",
        "int8  -> ERROR",
        "  ERROR t.py::test_x[int8]: cannot load",
        "  ERROR t.py::test_y: worker died",
        "note: latency is not valid under xdist",
        "alpha 0.05 shared by 10 assertions: 0.005 each",
        "BLOCK: 1 of 3 comparisons: nf4 (arithmetic).",
        "next:",
        "  no verdict on int8 until this is put right: cannot load",
        "  no verdict on t.py::test_y until this is put right: worker died",
        (
            "  nf4 fell: arithmetic 0.62 -> 0.41; look at the flipped samples; if the drop is"
            " wanted, accept it: modellab accept nf4 --task-set assistant_core_v2 "
            "--because 'WHO AND WHY', then commit what it writes"
        ),
        "  review and commit the recorded baseline: b.json",
    ]
    markup = dict(found)
    assert markup["int8  -> ERROR"] == {"red": True}
    assert markup["BLOCK: 1 of 3 comparisons: nf4 (arithmetic)."] == {"red": True, "bold": True}


def test_task_sets_are_named_where_there_are_several(
    report: Make, run: Make, comparison: Make
) -> None:
    found = report(
        runs=(run(), run(task_set="retrieval")),
        comparisons=(comparison("block"), comparison("block", task_set="retrieval")),
    )
    blocks = [text.split(": ")[0] for text, _ in terminal.lines(found) if "  BLOCK" in text]
    assert blocks == [
        "  BLOCK arithmetic against own baseline on assistant_core_v2",
        "  BLOCK arithmetic against own baseline on retrieval",
    ]
    found = report(runs=(run(), run(task_set="retrieval")), assertions=0)
    assert [text.split("  ")[1] for text, _ in terminal.lines(found)[:2]] == [
        "assistant_core_v2",
        "retrieval",
    ]


@pytest.mark.parametrize(
    ("probes", "shown"),
    [
        ({}, []),
        ({"parameter_bytes": 2.69e8}, ["memory=0.27GB"]),
        (
            {"prompts": 3.0, "prompt_stability": 0.912, "prompt_spread": 0.034},
            ["stability=0.91 spread=0.03"],
        ),
        ({"parameter_bytes": 4.5e7, "seconds": 0.726}, ["1.0 ms/sample", "memory=0.045GB"]),
    ],
)
def test_numbers_may_be_missing(run: Make, probes: dict[str, float], shown: list[str]) -> None:
    assert terminal.measurements(run(probes=probes)) == shown


def test_a_run_without_samples(report: Make, run: Make) -> None:
    bare = run(n=0, mean=0.0, stderr=0.0, buckets=(), capabilities=())
    assert terminal.run_line(report(runs=(bare,)), bare) == (
        "[Quantized] nf4  success=0.00 ±0.00  memory=0.11GB  -> not judged"
    )


def test_one_assertion_spends_all(report: Make, comparison: Make) -> None:
    assert terminal.alpha_line(
        report(comparisons=(comparison(share=0.01), comparison(share=0.02, capability="b")))
    ).endswith(" assertions: 0.01 to 0.02 each, by weight")
    assert terminal.alpha_line(report(assertions=1)) == "alpha 0.05 shared by 1 assertion"


def test_the_real_writer_takes_the_markup(
    report: Make, run: Make, comparison: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    from _pytest._io import TerminalWriter

    writer = TerminalWriter(sys.stdout)
    for text, markup in terminal.lines(report(runs=(run(),), comparisons=(comparison("block"),))):
        writer.line(text, **markup)
    assert "-> BLOCK" in capsys.readouterr().out


def test_a_searching_variant(report: Make, search: Make, comparison: Make) -> None:
    passed = comparison("pass", candidate="int8", kind="embedding", task_set="fiqa")
    found = terminal.lines(report(runs=(search(),), comparisons=(passed,)))
    assert found[:3] == [
        (
            (
                "[Embedding] int8  success=0.28 ±0.02 (ndcg@10)  worst=arithmetic/hard 0.32  "
                "recall@10=0.31  mrr@10=0.50  memory=0.090GB  -> PASS"
            ),
            {"green": True},
        ),
        (
            (
                "  search: index=1536 B/doc  43 docs/s  query p50 9.0 ms p95 14 ms  "
                "$0.65 per million documents"
            ),
            {},
        ),
        (
            (
                "  index: recall@10 0.97 of exact search; exact search over the same vectors would "
                "score 0.29"
            ),
            {},
        ),
    ]


def test_an_exact_index_has_no_line_of_its_own(report: Make, search: Make) -> None:
    run = search(approximate=False, cached=True, environment={"workers": 2})
    found = [text for text, _ in terminal.lines(report(runs=(run,), assertions=0))]
    assert "  query p50 9.0 ms p95 14 ms (under xdist, stored)  " in found[1]
    assert not any("index:" in text for text in found)


def test_what_reads_passages_keeps_its_time_a_sample(run: Make) -> None:
    probes = {"seconds": 72.6, "query_seconds_p50": 0.004, "query_seconds_p95": 0.005}
    reader = run(mean=0.4, metrics={"f1": 0.4, "exact": 0.3, "supported": 0.8}, probes=probes)
    assert terminal.measurements(reader) == ["100 ms/sample"]


def test_the_metrics_and_the_search_of_what_reads_passages(report: Make, run: Make) -> None:
    probes = {"seconds": 72.6, "query_seconds_p50": 0.004, "query_seconds_p95": 0.005}
    reader = run(mean=0.4, metrics={"f1": 0.4, "exact": 0.3, "supported": 0.8}, probes=probes)
    line, search = [text for text, _ in terminal.lines(report(runs=(reader,)))][:2]
    assert "  exact=0.30  supported=0.80  100 ms/sample  " in line
    assert search == "  search: query p50 4.0 ms p95 5.0 ms"


def test_a_metric_cannot_begin_another_line(report: Make, run: Make) -> None:
    evil = run(metrics={"a\n[Quantized] nf4": 0.5})
    (line, *_) = terminal.lines(report(runs=(evil,)))
    assert "  a\\n[Quantized] nf4=0.50  " in line[0]


def test_a_variant_that_was_timed_only_has_a_line(
    report: Make, run: Make, comparison: Make, ratio: RatioResult
) -> None:
    timed = comparison(
        "pass",
        assertion="no_slowdown",
        against="prompting",
        capability=None,
        figures=(),
        ratio=ratio,
    )
    session = report(comparisons=(timed,))
    (line, _), *_ = terminal.lines(session)
    assert line == "[Quantized] nf4  latency x1.01, allowed x1.05 (against prompting)  -> PASS"
    assert json_file.to_dict(session)["runs"] == []
    elsewhere = report(runs=(run(task_set="other"),), comparisons=(timed,))
    lines = [text for text, _ in terminal.lines(elsewhere) if text.startswith("[Quantized]")]
    assert [line.endswith("-> PASS") for line in lines] == [False, True]
    assert lines[1].startswith("[Quantized] nf4  assistant_core_v2  latency x1.01")


def test_a_run_keeps_its_churn_when_another_test_reports_it_without(
    report: Make, run: Make
) -> None:
    (kept,) = report(runs=(run(), run(churn=0.02))).runs
    assert kept.churn == 0.02


def test_what_keeps_several_variants_is_said_once(report: Make, comparison: Make) -> None:
    told = "modellab.toml: variants.plain.prompt: 'x.jinja' does not exist"
    broken = [
        TestError(
            f"t.py::test_{n}[{variant}]",
            variant,
            f"variant {variant!r} on 'words': {told}",
            "ConfigError",
            cause=told,
        )
        for variant in ("plain", "nf4")
        for n in range(4)
    ]
    missing = TestError("t.py::test_a[int8]", "int8", "none", "BaselineMissing", "accept int8")
    found = terminal.lines(report(comparisons=(comparison("block"),), errors=(missing, *broken)))
    text = [line for line, _ in found]
    assert text.count(f"ERROR in 8 tests of nf4, plain: {told}") == 1
    assert "plain  -> ERROR" not in text, "it has nothing more to say"
    assert text[text.index("next:") + 1 :][:2] == [
        f"  no verdict on nf4, plain until this is put right: {told}",
        "  record the missing baseline: accept int8",
    ]
    assert text[-1].startswith("  nf4 fell: arithmetic")
    assert len([line for line in text if told in line]) == 2
