"""Variants whose answers are rankings: no token is generated, the index stands beside the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import pytest

from pytest_modellab.cli import compare
from pytest_modellab.records.declared import Price
from pytest_modellab.reports.text import tradeoff as words
from pytest_modellab.reports.tracking import runs
from pytest_modellab.tradeoff import figures
from pytest_modellab.tradeoff.entry import Entry
from pytest_modellab.tradeoff.figures import TradeOff

Make = Callable[..., Entry]
Weigh = Callable[..., TradeOff]

PROBES = {
    "documents": 1000.0,
    "vector_dimensions": 384.0,
    "index_bytes_per_document": 384.0,
    "documents_per_second": 43.2,
    "query_seconds_p50": 0.009,
    "query_seconds_p95": 0.0141,
    "usd_per_million_documents": 0.65,
}
INDEXED = {"index_recall@10": 0.97, "exact:ndcg@10": 0.85}


@pytest.fixture
def ranking(entry: Make) -> Make:
    """An entry as a search gives it: metrics, probes, and timings without a generated token."""

    def make(*args: object, metrics: Mapping[str, float] | None = None, **changes: object) -> Entry:
        found = entry(*args, **changes)
        samples = tuple(
            dataclasses.replace(
                sample,
                tokens_out=0,
                confidence=None,
                metrics={"ndcg@10": sample.score or 0.0, "recall@10": 0.5, **(metrics or {})},
            )
            for sample in found.record.samples
        )
        probes = {**found.record.probes, **PROBES}
        record = dataclasses.replace(found.record, samples=samples, probes=probes)
        performance = found.performance
        if performance is not None:
            own, other = performance.candidate, performance.reference
            performance = dataclasses.replace(
                performance,
                candidate=dataclasses.replace(own, tokens_out=(0,) * 4),
                reference=other and dataclasses.replace(other, tokens_out=(0,) * 4),
            )
        spec = dataclasses.replace(found.spec, kind="embedding")
        return dataclasses.replace(found, spec=spec, record=record, performance=performance)

    return make


@pytest.fixture
def weighed(ranking: Make, weigh: Weigh, wrong: tuple[int, ...]) -> TradeOff:
    return weigh(
        ranking("base", wrong),
        ranking("int8", wrong, slower=0.5, memory=1e8, metrics=INDEXED),
    )


def test_nothing_is_divided_by_tokens_that_were_not_generated(weighed: TradeOff) -> None:
    assert not weighed.generates
    for profile, seconds in zip(weighed.profiles, (0.25, 0.125), strict=True):
        latency, cost = profile.latency, profile.cost
        assert latency is not None
        assert cost is not None
        assert (latency.first_token, latency.per_token) == (None, None)
        assert latency.p50.value == pytest.approx(seconds, rel=0.03)
        assert (cost.tokens_in, cost.tokens_out) == (25.0, 0.0)
        assert cost.serving.value == pytest.approx(1000 * 0.6 * seconds * 0.36 / 3600, rel=0.03)


def test_an_endpoint_is_paid_for_the_query_alone(
    ranking: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    (base,) = weigh(ranking("base", wrong, price=Price("api", None, 1.0, 2.0))).profiles
    assert base.cost is not None
    assert base.cost.serving.value == pytest.approx(1000 * 25 / 1e6)


def test_memory_is_the_model_s_and_the_index_is_beside_it(weighed: TradeOff) -> None:
    base, int8 = weighed.profiles
    assert int8.memory is not None
    assert int8.memory.held == 1e8
    assert int8.probes["index_bytes_per_document"] == 384.0
    assert int8.metrics == pytest.approx({"ndcg@10": 0.8, "recall@10": 0.5, **INDEXED})
    assert base.metrics == pytest.approx({"ndcg@10": 0.8, "recall@10": 0.5})


def test_json_has_the_metrics_and_comes_back(weighed: TradeOff) -> None:
    text = figures.dumps(weighed)
    found = figures.loads(text)
    assert found.profile("int8").metrics == weighed.profile("int8").metrics
    assert found.profile("int8").probes["query_seconds_p95"] == 0.0141
    assert figures.dumps(found) == text


def test_the_lines(weighed: TradeOff) -> None:
    lines = words.lines(weighed)
    assert lines[2] == (
        "[Embedding] int8 success=0.80 ±0.04 (ndcg@10) recall@10=0.50 cost=$0.0075 latency=0.12s "
        "(p95 0.20s) memory=0.10GB worst=reading/easy 0.80 risk=low"
    )
    assert lines[3] == (
        "  search: index=384 B/doc  43 docs/s  query p50 9.0 ms p95 14 ms in its run  "
        "$0.65 per million documents"
    )
    assert lines[4] == (
        "  index: recall@10 0.97 of exact search; exact search over the same vectors would score "
        "0.85"
    )
    assert lines[0].startswith("[Embedding] base ")
    assert lines[-1] == (
        "success: mean score ± one standard error; cost: dollars for 1,000 requests; latency: "
        "median and 95th percentile of a query, one request at a time; memory: weights as held, "
        "the index beside it; worst: lowest bucket; risk: docs/compare.md"
    )


def test_of_what_generates_the_legend_is_of_tokens(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    for timed in (True, False):
        found = weigh(entry("base", wrong, timed=timed))
        assert found.generates
        assert words.legend(found) == (
            "success: mean score ± one standard error; cost: dollars for 1,000 requests; latency: "
            "median and 95th percentile to the last token, one request at a time; memory: weights "
            "as held; worst: lowest bucket; risk: docs/compare.md"
        )
        assert words.further(found) == []


def test_markdown_has_every_metric(weighed: TradeOff) -> None:
    text = words.markdown(weighed)
    assert (
        "| variant | index | encoding | query p50 | query p95 | cost per million documents "
        "| documents | dimensions | index recall&#64;10 (the index's, not the model's) "
        "| ndcg&#64;10 of exact search |\n"
    ) in text
    assert "| int8 | 0.800 | 0.500 |\n\n| variant | index |" in text
    assert (
        "| int8 | 384 B/doc | 43 docs/s | 9.0 ms | 14 ms | &#36;0.65 | 1,000 | 384 | 0.970 | 0.850 "
        "|\n\n- int8: index: recall&#64;10 0.97 of exact search; "
    ) in text
    assert text.index("| variant | success (ndcg&#64;10) |") < text.index("| variant | ndcg")


def test_at_a_terminal_the_metrics_stand_below_the_table(
    weighed: TradeOff, capsys: pytest.CaptureFixture[str]
) -> None:
    compare._print_table(weighed)
    search = "recall@10=0.50  index=384 B/doc  43 docs/s  query p50 9.0 ms p95 14 ms in its run  "
    assert capsys.readouterr().out.partition("better in something\n")[2].splitlines() == [
        "",
        f"base  {search}$0.65 per million documents",
        f"int8  {search}$0.65 per million documents",
        "  index: recall@10 0.97 of exact search; exact search over the same vectors would score "
        "0.85",
    ]


def test_the_tracker_gets_no_seconds_of_tokens(weighed: TradeOff) -> None:
    children = {run.name: run for run in runs.of_tradeoff(weighed, {}).children}
    found = children["int8"].metrics
    assert not [name for name in found if "token" in name]
    assert found["metric/recall_10"] == 0.5
    assert found["index/recall_10"] == pytest.approx(0.97)
    assert found["exact_search/ndcg_10"] == pytest.approx(0.85)
    assert found["search/index_bytes_per_document"] == 384.0
    assert found["memory/held_bytes"] == 1e8
    assert "index/recall_10" not in children["base"].metrics
