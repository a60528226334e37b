"""What the page says of variants that search: metrics, the index apart, no word of tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.reports import page
from pytest_modellab.tradeoff.figures import Estimate

Make = Callable[..., Any]


@pytest.fixture(autouse=True, scope="module")
def _matplotlib() -> None:
    pytest.importorskip("matplotlib")


@pytest.fixture
def ranked(tradeoff: Make, search: Make) -> Any:
    """Two variants that rank: the second has an approximate index."""
    given = tradeoff(only=["prompting", "nf4"])
    profiles = []
    for profile, approximate in zip(given.profiles, (False, True), strict=True):
        run = search(approximate=approximate)
        profiles.append(
            dataclasses.replace(
                profile,
                metrics=run.metrics,
                probes=run.probes,
                latency=dataclasses.replace(profile.latency, first_token=None, per_token=None),
                cost=dataclasses.replace(profile.cost, tokens_out=0.0),
            )
        )
    return dataclasses.replace(given, profiles=tuple(profiles))


@pytest.fixture
def root(ranked: Any, read_html: Make) -> Any:
    return read_html(page.render([ranked], interactive=True))


@pytest.fixture
def tables(root: Any) -> Any:
    return {table.first("caption").text: table for table in root.all("table")}


def heads(table: Any) -> list[str]:
    return [th.text for th in table.first("thead").all("th")]


def test_metrics_have_a_part_of_their_own(root: Any, tables: Any) -> None:
    assert "metrics" in [a.text for a in root.first("nav", "within").all("a")]
    model = tables["Metrics of each variant"]
    assert heads(model)[:3] == ["variant", "ndcg@10", "recall@10"]
    assert len(heads(model)) == 7
    table = tables["What each variant's search takes and costs"]
    assert heads(table)[1:] == [
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
    exact, approximate = table.rows()
    assert exact[8:] == ["–", "–"]
    assert approximate[1:] == [
        "1536 B/doc", "43 docs/s", "9.0 ms", "14 ms", "$0.65", "57,638", "384", "0.970", "0.290",
    ]  # fmt: skip
    part = next(
        s for s in root.all("section") if s.attributes.get("aria-labelledby") == "t0-metrics"
    )
    assert [li.text for li in part.all("li")] == [
        "nf4: recall@10 0.97 of exact search; exact search over the same vectors would score 0.29"
    ]


def test_the_index_is_apart_from_the_capabilities(tables: Any) -> None:
    heat = tables["Mean score by variant and capability"]
    assert heads(heat)[-1] == "index recall@10 the index's, not the model's"
    assert [row[-1] for row in heat.rows()] == ["–", "0.97"]
    assert heads(tables["Mean score by variant and bucket"])[-1] == "hard"
    numbers = tables["Success by variant and capability, beside the accepted run and prompting"]
    assert numbers.rows()[-1] == [
        "nf4",
        "index recall@10 the index's, not the model's",
        "–",
        "0.970",
        *["–"] * 6,
    ]
    assert sum("index" in row[1] for row in numbers.rows()) == 1


def test_where_nothing_is_generated_no_token_is_spoken_of(root: Any, tables: Any) -> None:
    assert "token" not in " ".join(heads(tables["Latency of each variant"]))
    assert heads(tables["Latency of each variant"])[:3] == ["variant", "p50", "p95"]
    assert heads(tables["Dollars of each variant"])[-2:] == ["training", "tokens in"]
    assert root.first("p", "lede").text.startswith(
        "2 variants ranked documents for the same 396 queries of version "
    )
    drawn = [text.text for svg in root.all("svg") for text in svg.all("text")]
    assert "latency, median seconds of a query (← less is better)" in drawn
    assert not any("token" in text for text in drawn)


def test_the_index_is_held_beside_the_weights(tables: Any) -> None:
    table = tables["Memory of each variant"]
    assert heads(table)[:4] == ["variant", "weights held", "index", "files"]
    assert [row[1:3] for row in table.rows()] == [["538 MB", "88.5 MB"], ["164 MB", "88.5 MB"]]


def test_of_others_the_page_is_as_it_was(tradeoff: Make, read_html: Make) -> None:
    root = read_html(page.render([tradeoff(only=["prompting", "nf4"])]))
    found = {table.first("caption").text: table for table in root.all("table")}
    assert "Metrics of each variant" not in found
    assert "What each variant's search takes and costs" not in found
    assert heads(found["Dollars of each variant"])[-2:] == ["tokens in", "tokens out"]
    assert root.first("p", "lede").text.startswith(
        "2 variants answered the same 396 samples of version "
    )
    assert heads(found["Latency of each variant"])[:3] == [
        "variant",
        "first token",
        "each further token",
    ]
    assert heads(found["Memory of each variant"])[:3] == ["variant", "weights held", "files"]
    drawn = [text.text for svg in root.all("svg") for text in svg.all("text")]
    assert "latency, median seconds to the last token (← less is better)" in drawn


def test_what_has_no_weights_has_none_in_memory(ranked: Any, read_html: Make) -> None:
    first, second = ranked.profiles
    memory = dataclasses.replace(second.memory, held=0.0)
    bare = dataclasses.replace(
        second, strategy="lexical search", kind="lexical", memory=memory, variant="bm25_of_words"
    )
    given = dataclasses.replace(ranked, profiles=(first, bare), choices=(), deltas=())
    root = read_html(page.render([given]))
    (table,) = root.all("table", "variants")
    assert heads(table)[0] == "variant"
    cells = table.rows()[1]
    assert cells[4] == "none"
    assert cells[0].endswith("lexical search"), "the kind would say it again"
    assert len(table.all("wbr")) == 2, "a long name is broken after its underscores only"


def test_a_comparison_by_a_metric_says_so_everywhere(tradeoff: Make, read_html: Make) -> None:
    given = dataclasses.replace(tradeoff(only=["prompting", "nf4"]), metric="probability")
    profiles = [
        dataclasses.replace(p, metrics={"probability": p.success.value, "decision_margin": 0.1})
        for p in given.profiles
    ]
    deltas = [
        dataclasses.replace(d, what="probability" if d.what == "success" else d.what)
        for d in given.deltas
    ]
    found = dataclasses.replace(given, profiles=tuple(profiles), deltas=tuple(deltas))
    text = read_html(page.render([found])).text
    assert "compared by probability" in text
    assert "What probability costs" in text
    assert "ten points of probability or risk" in text
    assert "Probability: what the model gives to the right option" in text
    at = text.lower().find("success")
    assert at < 0, text[at - 60 : at + 60]


@pytest.fixture
def heard(tradeoff: Make) -> Any:
    """Two variants that listen, and one that reads text alone."""
    given = tradeoff(only=["prompting", "nf4", "lora"])
    profiles = list(given.profiles)
    for k, factor in enumerate((0.2, 0.1)):
        profile = profiles[k]
        minute = Estimate(6e-5 * factor, 5e-5 * factor, 7e-5 * factor)
        profiles[k] = dataclasses.replace(
            profile,
            metrics={"wer": 0.3 * factor},
            probes={"audio_seconds": 60.0, "real_time_factor": factor},
            latency=dataclasses.replace(
                profile.latency, real_time_factor=Estimate(factor, 0.9 * factor, 1.1 * factor)
            ),
            cost=dataclasses.replace(profile.cost, minute_of_audio=minute, image=minute),
        )
    return dataclasses.replace(given, profiles=tuple(profiles))


def test_what_was_heard_has_its_figures_everywhere(heard: Any, read_html: Make) -> None:
    root = read_html(page.render([heard], interactive=True))
    tables = {table.first("caption").text: table for table in root.all("table")}
    assert "success and real-time factor" in root.text
    numbers = tables["Success and real-time factor of each variant"]
    rows = [row.text for row in numbers.first("tbody").all("tr")]
    assert "0.2 0.18 to 0.22" in rows[0]
    assert len(rows) == 2, "who read text has no factor"
    row = tables["Every variant: what it gets right, what it costs, how it compares"]
    assert "real-time factor 0.2" in row.text
    assert "$0.000012 a minute of audio" in row.text
    assert "real-time factor" in heads(tables["Latency of each variant"])
    assert heads(tables["Dollars of each variant"])[6:8] == ["a minute of audio", "an image"]
    assert "Word error rate: errors of all samples" in root.text


def test_text_has_no_word_of_audio(tradeoff: Make, read_html: Make) -> None:
    text = read_html(page.render([tradeoff(only=["prompting", "nf4"])])).text
    assert "real-time factor" not in text
    assert "a minute of audio" not in text
