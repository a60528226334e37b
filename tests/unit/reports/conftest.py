"""Small hand-made records, as the gate and the runner would hand them over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.gate.ratios import RatioResult, latency_ratio
from pytest_modellab.gate.results import Figures
from pytest_modellab.judging.comparison import Comparison, Flip
from pytest_modellab.records.runs import BucketScore, RunSummary
from pytest_modellab.reports.session import SessionReport

Make = Callable[..., Any]


def make_figures(**changes: Any) -> Figures:
    values: dict[str, Any] = {
        "name": "arithmetic",
        "n": 66,
        "clusters": 66,
        "baseline": 0.62,
        "candidate": 0.41,
        "drop": 0.21,
        "drop_low": 0.09,
        "drop_high": 0.33,
        "losses": 17,
        "gains": 3,
        "margin": 0.0,
        "floor": None,
        "p_block": 0.001,
        "p_adjusted": 0.002,
        "p_pass": 1.0,
        "alpha": 0.005,
        "level": 0.005,
        "pass_alpha": 0.05,
        "verdict": "block",
        "mde": 0.15,
        "samples_needed": None,
        "dropped": (),
        "missing": (),
    }
    return Figures(**{**values, **changes})


def make_comparison(verdict: str = "block", **changes: Any) -> Comparison:
    values: dict[str, Any] = {
        "assertion": "no_regression",
        "test": "suites/test_quantized.py::test_capability[nf4-arithmetic]",
        "task_set": "assistant_core_v2",
        "candidate": "nf4",
        "kind": "quantized",
        "against": "own baseline",
        "capability": "arithmetic",
        "verdict": verdict,
        "family": 1,
        "share": 0.005,
    }
    if "figures" not in changes:
        shown = {
            "block": {},
            "pass": {
                "candidate": 0.63,
                "drop": -0.01,
                "drop_low": -0.05,
                "drop_high": 0.018,
                "margin": 0.02,
                "p_block": 0.7,
                "p_adjusted": 1.4,
                "p_pass": 0.01,
            },
            "inconclusive": {
                "candidate": 0.59,
                "drop": 0.03,
                "drop_low": -0.02,
                "drop_high": 0.08,
                "margin": 0.02,
                "p_block": 0.2,
                "p_adjusted": 0.4,
                "p_pass": 0.6,
                "samples_needed": 376,
            },
        }[verdict]
        changes["figures"] = (make_figures(verdict=verdict, **shown),)
    return Comparison(**{**values, **changes})


def make_flip(**changes: Any) -> Flip:
    values: dict[str, Any] = {
        "id": "arithmetic-hard-003",
        "bucket": "arithmetic/hard",
        "before": 1.0,
        "after": 0.0,
        "before_output": "The answer is 12.",
        "after_output": "The answer is 11.",
    }
    return Flip(**{**values, **changes})


def make_run(**changes: Any) -> RunSummary:
    values: dict[str, Any] = {
        "variant": "nf4",
        "kind": "quantized",
        "strategy": "quantization",
        "base": "prompting",
        "task_set": "assistant_core_v2",
        "task_set_version": "2",
        "fingerprint": "0123456789abcdef",
        "n": 726,
        "mean": 0.6123,
        "stderr": 0.0181,
        "capabilities": (BucketScore("arithmetic", 66, 0.41), BucketScore("reading", 66, 0.8)),
        "buckets": (
            BucketScore("arithmetic/hard", 22, 0.318),
            BucketScore("reading/easy", 22, 0.9),
        ),
        "missing": 0,
        "probes": {"parameter_bytes": 112e6, "seconds": 22.5, "tokens_per_second": 640.0},
        "environment": {"python": "3.11.2", "torch": "2.13.0", "device": "cpu", "threads": 2},
    }
    return RunSummary(**{**values, **changes})


METRICS = {
    "map@100": 0.22,
    "mrr@10": 0.5,
    "ndcg@10": 0.28,
    "precision@10": 0.2,
    "recall@10": 0.31,
    "recall@100": 0.7,
}
INDEXED = {"exact:ndcg@10": 0.29, "index_recall@10": 0.97}
SEARCH = {
    "documents": 57_638.0,
    "vector_dimensions": 384.0,
    "index_bytes_per_document": 1536.0,
    "documents_per_second": 43.2,
    "query_seconds_p50": 0.009,
    "query_seconds_p95": 0.0141,
    "usd_per_million_documents": 0.65,
}


def make_search(*, approximate: bool = True, **changes: Any) -> RunSummary:
    """The run of an embedding variant; ``approximate`` where its index is."""
    values: dict[str, Any] = {
        "variant": "int8",
        "kind": "embedding",
        "base": "float32",
        "task_set": "fiqa",
        "n": 648,
        "mean": 0.28,
        "probes": {"parameter_bytes": 9e7, "seconds": 6.48, "tokens": 9e3, **SEARCH},
        "metrics": {**METRICS, **(INDEXED if approximate else {})},
    }
    return make_run(**{**values, **changes})


def make_report(**changes: Any) -> SessionReport:
    values: dict[str, Any] = {
        "runs": (),
        "comparisons": (),
        "errors": (),
        "alpha": 0.05,
        "assertions": 10,
        "on_inconclusive": "warn",
        "complete": True,
        "notes": (),
    }
    return SessionReport(**{**values, **changes})


@pytest.fixture
def figures() -> Make:
    return make_figures


@pytest.fixture
def ratio() -> RatioResult:
    """A latency that is 1.01 times the reference's, where 1.05 is allowed."""
    factors = [1.009, 1.0095, 1.01, 1.0105, 1.011]
    return latency_ratio([[f, 2 * f] for f in factors], [[1.0, 2.0]] * 5, limit=1.05)


@pytest.fixture
def comparison() -> Make:
    return make_comparison


@pytest.fixture
def flip() -> Make:
    return make_flip


@pytest.fixture
def run() -> Make:
    return make_run


@pytest.fixture
def search() -> Make:
    return make_search


@pytest.fixture
def report() -> Make:
    return make_report
