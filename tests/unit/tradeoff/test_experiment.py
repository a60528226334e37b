"""A trade-off as runs of an experiment tracker."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pytest_modellab.reports.tracking import runs
from pytest_modellab.tradeoff import figures
from pytest_modellab.tradeoff.entry import Entry
from pytest_modellab.tradeoff.figures import TradeOff

Weigh = Callable[..., TradeOff]
MakeEntry = Callable[..., Entry]


def child(tradeoff: TradeOff, name: str) -> runs.Run:
    found = {run.name: run for run in runs.of_tradeoff(tradeoff, {}).children}
    return found[name]


def test_a_trade_off_is_a_parent_with_a_child_a_variant(
    weigh: Weigh, entry: MakeEntry, wrong: Any
) -> None:
    tradeoff = weigh(
        entry("base", wrong), entry("worse", range(90), strategy="quantization", training_usd=0.25)
    )
    found = runs.of_tradeoff(tradeoff, {"report.md": "# words"})
    assert found.parent.name == "compare words"
    assert found.parent.params == {
        "task_set": "words",
        "task_set_version": "1.0",
        "task_set_hash": tradeoff.task_set["hash"],
        "reference": "base",
        "seed": str(tradeoff.seed),
        "resamples": "400",
        "alpha": "0.05",
    }
    assert re.match("choose: base|tie: ", found.parent.tags["modellab.choice.prototype"])
    assert found.files == {"tradeoff.json": figures.dumps(tradeoff), "report.md": "# words"}

    worse = child(tradeoff, "worse")
    profile = tradeoff.profile("worse")
    assert worse.params["fingerprint"] == entry("worse").record.fingerprint.key
    assert worse.params["strategy"] == "quantization"
    assert worse.params["base"] == "base"
    assert worse.tags["modellab.verdict"] == "block"
    assert worse.tags["modellab.verdict.success"] == "block"
    assert worse.tags["modellab.source"] == "stored"
    assert profile.latency is not None
    assert profile.cost is not None
    expected = {
        "success": 0.25,
        "capability/reading": profile.capabilities[0].mean.value,
        "worst_bucket": profile.worst.mean,
        "latency/p95_seconds": profile.latency.p95.value,
        "cost/usd_per_1000_requests": profile.cost.serving.value,
        "cost/training_usd": 0.25,
        "memory/held_bytes": 4e8,
        "memory/disk_bytes": 1e8,
        "risk": profile.risk.value.value,
        "churn": 0.0,
    }
    assert {name: worse.metrics[name] for name in expected} == expected
    assert child(tradeoff, "base").tags["modellab.verdict"] == "not judged"


def test_what_was_not_measured_is_no_metric(weigh: Weigh, entry: MakeEntry, wrong: Any) -> None:
    found = child(weigh(entry("base", wrong, timed=False, price=None, churn=None)), "base")
    assert not [name for name in found.metrics if name.startswith(("latency", "cost"))]
    assert "churn" not in found.metrics


def test_a_session_has_cost_and_risk_from_its_trade_off(
    weigh: Weigh, entry: MakeEntry, wrong: Any
) -> None:
    from pytest_modellab.records.runs import RunSummary
    from pytest_modellab.reports.session import SessionReport

    run = RunSummary(
        variant="base",
        kind="prompted",
        strategy="prompting",
        base=None,
        task_set="words",
        task_set_version="1.0",
        fingerprint="abc",
        n=120,
        mean=0.5,
        stderr=0.01,
        capabilities=(),
        buckets=(),
        missing=0,
        probes={},
        environment={"seed": 7},
    )
    report = SessionReport((run,), (), (), 0.05, 1, "warn", True, ())
    (found,) = runs.of_session(report, {"words": weigh(entry("base", wrong))}).children
    assert found.metrics["success"] == 0.5, "the session's own"
    assert found.metrics["cost/usd_per_1000_requests"] > 0
    assert "risk" in found.metrics
    assert found.params["seed"] == "7"
