from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.reports.card import section
from pytest_modellab.reports.card.section import CardMetric

Make = Callable[..., Any]

SPEC = VariantSpec("nf4", "quantized", "quantization", "prompting")


def test_the_section_shows_scores_beside_the_base_and_what_the_gate_says(
    run: Make, comparison: Make
) -> None:
    found = section.section(
        SPEC,
        [
            CardMetric(
                summary=run(missing=2, environment={"device": "cpu", "recorded": "2026-01-31"}),
                task_set_hash="abc123",
                description="What an assistant can do | daily.",
                churn=0.0041,
                reference=run(variant="prompting", mean=0.7, capabilities=()),
                comparisons=(comparison("block", against="baseline of prompting"),),
                refused=("another task set",),
            )
        ],
    )
    lines = found.splitlines()
    assert lines[:7] == [
        section.BEGIN,
        "## Evaluation",
        "",
        "nf4: quantized, adapted from prompting.",
        "",
        "### assistant_core_v2 2 (abc123)",
        "",
    ]
    assert "What an assistant can do &#124; daily." in lines
    assert "| score | samples | nf4 | prompting |" in lines
    assert "| success | 726 | 0.612 ± 0.018 | 0.700 ± 0.018 |" in lines
    assert "| arithmetic | 66 | 0.410 | – |" in lines
    assert "| worst bucket: arithmetic/hard | 22 | 0.318 | 0.318 (arithmetic/hard) |" in lines
    assert "| churn: samples that flip between two runs | 726 | 0.4% | – |" in lines
    assert (
        "Scores are means in &#91;0, 1&#93; with the standard error over clusters of samples, "
        "2 samples without an answer, counted as 0; run on cpu on 2026-01-31, fingerprint "
        "0123456789abcdef." in lines
    )
    assert any(
        line.startswith(
            "- **BLOCK** against baseline of prompting, arithmetic: arithmetic fell from 0.62 to "
        )
        for line in lines
    )
    assert "- not judged: another task set" in lines
    assert "These are scores of this task set only (assistant_core_v2): they say " in found
    assert lines[-1] == section.END


def test_without_a_base_there_is_no_column_for_it(run: Make) -> None:
    spec = VariantSpec("plain", "prompted", "prompting")
    found = section.section(
        spec, [CardMetric(run(variant="plain"), "abc"), CardMetric(run(), "def")]
    )
    assert "\nplain: prompted.\n" in found
    assert "| score | samples | plain |\n" in found
    assert "What the gate says" not in found
    assert "churn" not in found
    assert "scores of these task sets only" in found


def test_results_are_what_the_hub_reads(run: Make) -> None:
    pytest.importorskip("huggingface_hub")
    from huggingface_hub.repocard_data import model_index_to_eval_results

    found = section.results(
        [CardMetric(run(), "abc", churn=0.00412), CardMetric(run(task_set="b"), "d")]
    )
    assert [result["dataset"]["type"] for result in found] == ["assistant_core_v2", "b"]
    assert found[0]["task"] == {"type": "text-generation", "name": "Text generation"}
    assert found[0]["dataset"] == {
        "type": "assistant_core_v2",
        "name": "assistant_core_v2 2",
        "revision": "abc",
        "args": {"version": "2", "samples": 726},
    }
    assert found[0]["metrics"] == [
        {"type": "mean_score", "name": "success", "value": 0.6123},
        {"type": "mean_score", "name": "capability: arithmetic", "value": 0.41},
        {"type": "mean_score", "name": "capability: reading", "value": 0.8},
        {"type": "mean_score", "name": "worst bucket: arithmetic/hard", "value": 0.318},
        {"type": "flip_rate", "name": "churn", "value": 0.0041},
    ]
    name, read = model_index_to_eval_results([{"name": "nf4", "results": found}])
    assert name == "nf4"
    assert len(read) == 5 + 4


@pytest.mark.parametrize(
    ("probe", "task"),
    [("audio_seconds", "automatic-speech-recognition"), ("images", "image-text-to-text")],
)
def test_what_was_heard_or_seen_is_another_task(run: Make, probe: str, task: str) -> None:
    pytest.importorskip("huggingface_hub")
    heard = run(metrics={"wer": 0.0412}, probes={probe: 60.0})
    (found,) = section.results([CardMetric(heard, "abc")])
    assert found["task"]["type"] == task
    assert found["metrics"][-1] == {"type": "wer", "name": "word error rate", "value": 0.0412}


def test_a_ranking_s_metrics_are_rows_apart_from_the_capabilities(search: Make) -> None:
    spec = VariantSpec("int8", "embedding", "quantization", "float32")
    base = search(variant="float32", approximate=False, mean=0.3, metrics={"ndcg@10": 0.3})
    lines = section.section(spec, [CardMetric(search(), "abc", reference=base)]).splitlines()
    at = lines.index("| ndcg&#64;10 | 648 | 0.280 | 0.300 |")
    assert lines[at - 1].startswith("| worst bucket: arithmetic/hard |")
    assert any(line.startswith("| success (ndcg&#64;10) | 648 | 0.280 ") for line in lines)
    assert lines[at + 5 : at + 16] == [
        "| map&#64;100 | 648 | 0.220 | – |",
        "| index recall&#64;10 (the index's, not the model's) | 648 | 0.970 | – |",
        "| ndcg&#64;10 of exact search | 648 | 0.290 | – |",
        "| documents | – | 57,638 | 57,638 |",
        "| dimensions | – | 384 | 384 |",
        "| index | – | 1536 B/doc | 1536 B/doc |",
        "| encoding | – | 43 docs/s | 43 docs/s |",
        "| query p50 | – | 9.0 ms | 9.0 ms |",
        "| query p95 | – | 14 ms | 14 ms |",
        "| cost per million documents | – | &#36;0.65 | &#36;0.65 |",
        "",
    ]
    assert (
        "Of the index, not the model: recall&#64;10 0.97 of exact search; exact search over the "
        "same vectors would score 0.29." in lines
    )
    assert "Of the index" not in section.section(spec, [CardMetric(base, "abc")])


def test_the_hub_reads_a_ranking_s_metrics(search: Make, run: Make) -> None:
    pytest.importorskip("huggingface_hub")
    similar = run(task_set="stsb", metrics={"spearman": 0.61})
    ranked, pairs = section.results([CardMetric(search(), "abc"), CardMetric(similar, "def")])
    assert ranked["task"] == {"type": "information-retrieval", "name": "Information Retrieval"}
    assert pairs["task"] == {"type": "semantic-similarity", "name": "Semantic Similarity"}
    assert ranked["metrics"][4:] == [
        {"type": "ndcg@10", "name": "ndcg@10", "value": 0.28},
        {"type": "recall@10", "name": "recall@10", "value": 0.31},
        {"type": "recall@100", "name": "recall@100", "value": 0.7},
        {"type": "precision@10", "name": "precision@10", "value": 0.2},
        {"type": "mrr@10", "name": "mrr@10", "value": 0.5},
        {"type": "map@100", "name": "map@100", "value": 0.22},
        {
            "type": "index_recall@10",
            "name": "index recall@10 (the index's, not the model's)",
            "value": 0.97,
        },
        {"type": "exact:ndcg@10", "name": "ndcg@10 of exact search", "value": 0.29},
    ]
    assert pairs["metrics"][4:] == [{"type": "spearman", "name": "spearman", "value": 0.61}]
