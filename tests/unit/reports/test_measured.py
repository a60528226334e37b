"""Metrics and the figures of a search in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.reports import measured
from pytest_modellab.reports.text.table import measured_markdown

Make = Callable[..., Any]


def test_a_line_has_what_matters_beside_success(search: Make) -> None:
    run = search()
    assert measured.in_line(run, run.mean) == ["recall@10=0.31", "mrr@10=0.50"]
    assert measured.figures(run) == [
        "index=1536 B/doc",
        "43 docs/s",
        "query p50 9.0 ms p95 14 ms",
        "$0.65 per million documents",
    ]
    assert measured.index_words(run) == (
        "recall@10 0.97 of exact search; exact search over the same vectors would score 0.29"
    )


def test_of_equal_metrics_only_the_one_that_is_success_is_left_out(search: Make) -> None:
    run = search(metrics=dict.fromkeys(("ndcg@10", "recall@10", "mrr@10"), 1.0), mean=1.0)
    assert measured.in_line(run, run.mean) == ["recall@10=1.00", "mrr@10=1.00"]


def test_where_samples_without_an_answer_count_as_zero_the_metric_says_more(search: Make) -> None:
    assert measured.in_line(search(), 0.27) == ["ndcg@10=0.28", "recall@10=0.31", "mrr@10=0.50"]


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        ({"f1": 0.4, "exact": 0.3, "supported": 0.9}, ["exact=0.30", "supported=0.90"]),
        ({"spearman": 0.61}, ["spearman=0.61"]),
        ({"precision@5": 0.2, "precision@10": 0.1}, ["precision@5=0.20"]),
        ({"recall@100": 0.9, "recall@5": 0.3}, ["recall@5=0.30"]),
        ({"index_recall@10": 0.97, "exact:ndcg@10": 0.29}, []),
        ({}, []),
    ],
)
def test_the_metrics_of_a_line(run: Make, metrics: dict[str, float], shown: list[str]) -> None:
    assert measured.in_line(run(metrics=metrics), 0.4) == shown


@pytest.mark.parametrize(
    ("probes", "shown"),
    [
        ({}, []),
        ({"documents": 9.0}, []),
        ({"query_seconds_p95": 1.25}, ["query p95 1250 ms"]),
        ({"query_seconds_p50": 0.00042}, ["query p50 0.42 ms"]),
        ({"index_bytes_per_document": 48.0, "documents_per_second": 3.21},
         ["index=48 B/doc", "3.2 docs/s"]),
        ({"usd_per_million_documents": 0.00284}, ["$0.0028 per million documents"]),
    ],
)  # fmt: skip
def test_figures_may_be_missing(run: Make, probes: dict[str, float], shown: list[str]) -> None:
    assert measured.figures(run(probes=probes)) == shown


def test_an_index_may_be_known_by_half(run: Make) -> None:
    assert measured.index_words(run(metrics={"index_recall@10": 1.0})) == (
        "recall@10 1.00 of exact search"
    )
    assert measured.index_words(run(metrics={"exact:map": 0.5})) == (
        "exact search over the same vectors would score 0.50"
    )
    assert measured.index_words(run(metrics={"recall@10": 1.0})) is None


def test_a_table_has_everything_and_says_what_is_the_index_s(search: Make, run: Make) -> None:
    lexical = search(approximate=False, probes={"documents": 57_638.0, "query_seconds_p50": 0.0021})
    model, taken, media = measured.tables([("bm25", lexical), ("chat", run()), ("int8", search())])
    quality = ["0.280", "0.310", "0.700", "0.200", "0.500", "0.220"]
    assert model == (
        ["variant", "ndcg@10", "recall@10", "recall@100", "precision@10", "mrr@10", "map@100"],
        [["bm25", *quality], ["int8", *quality]],
    )
    head, rows = taken
    assert head == [
        "variant",
        "index",
        "encoding",
        "query p50",
        "query p95",
        "cost per million documents",
        "documents",
        "dimensions",
        "index recall@10 (the index's, not the model's)",
        "ndcg@10 of exact search",
    ]
    assert rows == [
        ["bm25", "–", "–", "2.1 ms", "–", "–", "57,638", "–", "–", "–"],
        ["int8", "1536 B/doc", "43 docs/s", "9.0 ms", "14 ms", "$0.65", "57,638", "384", "0.970",
         "0.290"],
    ]  # fmt: skip
    assert media == (["variant"], [])


def test_without_metrics_there_is_no_table(run: Make) -> None:
    assert [rows for _, rows in measured.tables([("nf4", run())])] == [[], [], []]
    assert measured_markdown([("nf4", run())]) == []


def test_a_query_s_time_is_an_answer_s_only_where_the_answer_is_a_ranking(
    search: Make, run: Make
) -> None:
    reader = run(metrics={"f1": 0.4}, probes={"seconds": 9.0, "query_seconds_p50": 0.01})
    uncut = run(metrics={"map": 0.4}, probes={"query_seconds_p50": 0.01})
    found = [measured.searched(one) for one in (search(), uncut, reader, run())]
    assert found == [True, True, False, False]


def test_a_speed_of_zero_was_not_measured(search: Make) -> None:
    run = search(probes={"documents_per_second": 0.0, "index_bytes_per_document": 48.0})
    assert measured.figures(run) == ["index=48 B/doc"]
    assert "encoding" not in measured.facts(run)


def test_what_the_index_takes_is_what_exact_search_has_more(search: Make, run: Make) -> None:
    assert measured.index_loss(search()) == pytest.approx(0.01)
    assert measured.index_loss(search(approximate=False)) == 0.0
    lucky = {"ndcg@10": 0.3, "exact:ndcg@10": 0.29}
    assert measured.index_loss(run(metrics=lucky)) == 0.0


def test_the_whole_index_in_bytes(search: Make, run: Make) -> None:
    assert measured.index_bytes(search()) == 57_638 * 1536
    assert measured.index_bytes(run()) is None


def test_success_says_what_a_ranking_is_scored_by(search: Make, run: Make) -> None:
    assert measured.success_words(search(), 0.28, 0.02) == "success=0.28 ±0.02 (ndcg@10)"
    assert measured.success_words(search(), 0.27, 0.02) == "success=0.27 ±0.02"
    assert measured.success_words(run(), 0.6, 0.02) == "success=0.60 ±0.02"
    assert measured.success_title([(search(), 0.28), (search(), 0.28)]) == "success (ndcg@10)"
    assert measured.success_title([(search(), 0.28), (run(), 0.6)]) == "success"
    assert measured.success_title([]) == "success"


def test_what_has_no_weights_has_no_gigabytes() -> None:
    assert measured.memory_words(0.0) == "no weights"
    assert measured.memory_words(2.29e7) == "memory=0.023GB"
    assert measured.memory_words(5.38e8) == "memory=0.54GB"


@given(st.floats(1e-9, 1e12))
def test_a_short_number_is_near_and_has_no_exponent(value: float) -> None:
    text = measured.short(value)
    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=0.0501)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.3, "0.30"),
        (0.0599, "0.060"),
        (0.0999, "0.10"),
        (9.96, "10"),
        (9.04, "9.0"),
        (99.6, "100"),
        (100.0, "100"),
    ],
)
def test_short_numbers(value: float, text: str) -> None:
    assert measured.short(value) == text


GRADED = {"decision_margin": -0.0123, "likelihood": 0.41, "probability": 0.62}


def test_how_sure_a_model_is_stands_in_tables_and_in_no_line(run: Make) -> None:
    one = run(metrics=GRADED)
    assert measured.in_line(one, 0.7) == []
    (head, rows), *_ = measured.tables([("chat", one)])
    assert head == ["variant", "probability", "likelihood", "decision margin (nats a byte)"]
    assert rows == [["chat", "0.620", "0.410", "-0.012"]]
    said = measured.meanings(one.metrics)
    assert [text.partition(":")[0] for text in said] == [
        "Probability",
        "Likelihood",
        "Decision margin",
    ]
    assert measured.meanings(["recall@10"]) == []


def test_metrics_of_documents_are_better_where_they_are_lower(run: Make) -> None:
    metrics = {"bits_per_byte": 1.2, "byte_perplexity": 2.3, "likelihood": 0.43}
    one = run(metrics=metrics)
    assert measured.in_line(one, 0.43) == ["bits_per_byte=1.20", "byte_perplexity=2.30"]
    (head, _), *_ = measured.tables([("text", one)])
    assert head == ["variant", "likelihood", "bits per byte", "byte perplexity"]
    assert measured.better("bits_per_byte") == measured.better("word_perplexity") == "lower"
    assert measured.better("probability") == measured.better("recall@10") == "higher"


def test_error_rates_are_better_where_they_are_lower(run: Make) -> None:
    one = run(metrics={"wer": 0.5, "cer": 0.0416})
    assert measured.in_line(one, 0.5) == ["cer=0.042", "wer=0.500"]
    assert measured.scored_by(one, 0.5) is None, "it is half by chance"
    (head, _), *_ = measured.tables([("heard", one)])
    assert head == ["variant", "character error rate", "word error rate"]
    assert measured.better("wer") == measured.better("cer") == "lower"
    assert [text.partition(":")[0] for text in measured.meanings(one.metrics)] == [
        "Word error rate",
        "Character error rate",
    ]


HEARD = {
    "audio_seconds": 1234.5,
    "real_time_factor": 0.0831,
    "usd_per_minute_audio": 0.000138,
}


SEEN = {"images": 1.0, "seconds_per_image": 0.35, "usd_per_image": 0.00001}


def test_what_media_take_is_a_line(run: Make) -> None:
    assert measured.media_words(run(probes=HEARD)) == (
        "media: 1,234 s of audio  real-time factor 0.083  $0.00014 per minute of audio"
    )
    assert measured.media_words(run(probes=SEEN)) == (
        "media: 1 image  0.35 s per image  $0.000010 per image"
    )
    assert measured.media_words(run(probes={"images": 2.0})) == "media: 2 images"
    assert measured.media_words(run()) is None


def test_what_media_take_is_a_table_of_its_own(run: Make) -> None:
    runs = [("ears", run(probes=HEARD)), ("eyes", run(probes=SEEN)), ("nf4", run())]
    *_, media = measured.tables(runs)
    assert media == (
        [
            "variant",
            "real-time factor",
            "cost per minute of audio",
            "seconds per image",
            "cost per image",
            "seconds of audio",
            "images",
        ],
        [
            ["ears", "0.083", "$0.00014", "–", "–", "1,234", "–"],
            ["eyes", "–", "–", "0.35 s", "$0.000010", "–", "1"],
        ],
    )
    said = "\n".join(measured_markdown(runs))
    assert "| ears | 0.083 | &#36;0.00014 |" in said


def test_success_is_named_by_what_stands_in_for_it(run: Make) -> None:
    one = run(metrics=GRADED)
    assert measured.success_words(one, 0.62, 0.01, "probability") == "probability=0.62 ±0.01"
    assert measured.success_title([(one, 0.62)], "probability") == "probability"
