from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.gate.ratios import RatioResult
from pytest_modellab.judging.words import Words
from pytest_modellab.records.runs import BucketScore
from pytest_modellab.reports.session import TestError
from pytest_modellab.reports.tracking import runs

Make = Callable[..., Any]


def test_a_session_is_a_parent_with_a_child_a_variant(
    report: Make, run: Make, comparison: Make
) -> None:
    found = runs.of_session(
        report(
            runs=(
                run(task_set_hash="abc", churn=0.01),
                run(variant="base", base=None, cached=True),
            ),
            comparisons=(comparison("block"), comparison("pass", capability="code")),
            errors=(TestError("t.py::test", "int8", "cannot load"),),
        )
    )
    assert found.parent.name == "pytest"
    assert found.parent.params == {
        "task_sets": "assistant_core_v2",
        "alpha": "0.05",
        "on_inconclusive": "warn",
    }
    assert found.parent.metrics == {
        "comparisons/accepted": 0.0,
        "comparisons/block": 1.0,
        "comparisons/inconclusive": 0.0,
        "comparisons/pass": 1.0,
        "tests_without_verdict": 1.0,
    }
    assert found.parent.tags["modellab.verdict"] == "block"
    assert (
        found.parent.tags["mlflow.note.content"] == "BLOCK: 1 of 2 comparisons: nf4 (arithmetic)."
    )
    base, nf4 = sorted(found.children, key=lambda child: child.name)
    assert nf4.params == {
        "variant": "nf4",
        "kind": "quantized",
        "strategy": "quantization",
        "base": "prompting",
        "fingerprint": "0123456789abcdef",
        "task_set": "assistant_core_v2",
        "task_set_version": "2",
        "task_set_hash": "abc",
    }
    assert nf4.metrics == {
        "success": 0.6123,
        "success_stderr": 0.0181,
        "samples": 726.0,
        "samples_without_score": 0.0,
        "capability/arithmetic": 0.41,
        "capability/reading": 0.8,
        "worst_bucket": 0.318,
        "latency/seconds_per_sample": 22.5 / 726,
        "memory/held_bytes": 112e6,
        "churn": 0.01,
    }
    assert nf4.tags["modellab.verdict"] == "block"
    assert nf4.tags["modellab.worst_bucket"] == "arithmetic/hard"
    assert base.tags["modellab.verdict"] == "not judged"
    assert base.tags["modellab.source"] == "stored"
    assert "base" not in base.params
    assert json.loads(found.files["report.json"])["verdict"] == "block"
    assert found.files["report.md"].startswith("## Model gate: BLOCK\n")


def test_of_several_task_sets_the_child_names_its_own(report: Make, run: Make) -> None:
    found = runs.of_session(report(runs=(run(), run(task_set="domain"))))
    names = [child.name for child in found.children]
    assert names == ["nf4 on assistant_core_v2", "nf4 on domain"]


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("capability", "reading"), "capability/reading"),
        (("capability", "a/b: c*d"), "capability/a_b_ c_d"),
        (("capability", ".."), "capability/_"),
        (("capability", "größe"), "capability/gr__e"),
        (("capability", "x" * 300), "capability/" + "x" * 189),
    ],
)
def test_names_of_metrics_are_what_mlflow_allows(parts: tuple[str, ...], name: str) -> None:
    assert runs.metric_name(*parts) == name
    assert re.fullmatch(r"[A-Za-z0-9_\-. /]{1,250}", name)


def test_names_that_become_equal_are_numbered_and_what_is_no_number_is_left_out(
    report: Make, run: Make
) -> None:
    capabilities = (BucketScore("a+b", 9, 0.1), BucketScore("a*b", 9, 0.2))
    (child,) = runs.of_session(
        report(runs=(run(capabilities=capabilities, churn=None, probes={}, buckets=()),))
    ).children
    assert child.metrics["capability/a_b"] == 0.1
    assert child.metrics["capability/a_b_2"] == 0.2
    assert not {"churn", "worst_bucket", "latency/seconds_per_sample"} & set(child.metrics)
    found = runs._run("x", params={}, metrics=[("a", math.nan), ("b", math.inf)], tags={})
    assert found.metrics == {}


def test_a_search_is_logged_with_its_index_apart(report: Make, search: Make) -> None:
    (child,) = runs.of_session(report(runs=(search(),))).children
    expected = {
        "metric/ndcg_10": 0.28,
        "metric/recall_100": 0.7,
        "index/recall_10": 0.97,
        "exact_search/ndcg_10": 0.29,
        "search/documents": 57_638.0,
        "search/vector_dimensions": 384.0,
        "search/index_bytes_per_document": 1536.0,
        "search/documents_per_second": 43.2,
        "search/query_seconds_p50": 0.009,
        "search/query_seconds_p95": 0.0141,
        "search/usd_per_million_documents": 0.65,
        "memory/held_bytes": 9e7,
    }
    assert {name: child.metrics.get(name) for name in expected} == expected
    assert "latency/seconds_per_sample" not in child.metrics


def test_a_variant_that_was_timed_only_has_a_child(
    report: Make, comparison: Make, ratio: RatioResult
) -> None:
    timed = comparison(
        "pass", assertion="no_slowdown", against="prompting", capability=None, ratio=ratio
    )
    (child,) = runs.of_session(report(comparisons=(timed,))).children
    assert child.name == "nf4"
    assert child.params == {"variant": "nf4", "kind": "quantized", "task_set": "assistant_core_v2"}
    assert child.metrics == {"latency/ratio": pytest.approx(1.01)}
    assert child.tags["modellab.verdict"] == "pass"
    assert child.tags["modellab.source"] == "not run"


def test_a_ratio_of_another_assertion_has_its_name(
    report: Make, run: Make, comparison: Make, ratio: RatioResult
) -> None:
    length = dataclasses.replace(ratio, name="reply length")
    words = Words("reply length", "reply length", "cut it")
    named = {"assertion": "no_longer_replies", "capability": None}
    judged = comparison("pass", ratio=length, words=words, **named)
    (child,) = runs.of_session(report(runs=(run(),), comparisons=(judged,))).children
    assert child.metrics["ratio/reply length"] == pytest.approx(1.01)
    assert "latency/ratio" not in child.metrics
