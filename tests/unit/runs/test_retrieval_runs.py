"""Searches from a declared variant to its run, its verdict, and what rag answers from them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import cli, testing
from pytest_modellab.baselines import file as baseline_file
from pytest_modellab.baselines.accepted import Baseline
from pytest_modellab.config import read
from pytest_modellab.errors import (
    ComparisonRefused,
    ConfigError,
    GateUsageError,
    ModellabError,
    ScoringError,
)
from pytest_modellab.judging import scores
from pytest_modellab.judging.drop import no_regression
from pytest_modellab.judging.floor import worst_bucket
from pytest_modellab.judging.forgetting import no_forgetting
from pytest_modellab.judging.question import Question
from pytest_modellab.lab.jobs import named_scorers
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.registry import BUILT_IN
from pytest_modellab.lab.settings import Settings
from pytest_modellab.lab.survey import survey
from pytest_modellab.records.asked import Budget
from pytest_modellab.records.runs import EXACT, INDEX_RECALL, Audited, Output, RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs import scoring
from pytest_modellab.runs.corpus import depth_of
from pytest_modellab.scorers.interface import Scored

pytest.importorskip("bm25s")
pytest.importorskip("ir_measures")
pytest.importorskip("transformers")

DOCUMENTS = {
    "gold": "the gold card has no annual fee",
    "silver": "the silver card costs nine dollars",
    "tent": "a tent for two people in the rain",
    "stove": "the stove burns gas and boils water",
}
QUERIES: dict[str, tuple[str, Mapping[str, int]]] = {
    "q1": ("which card has no annual fee", {"gold": 2, "silver": 1}),
    "q2": ("a tent for the rain", {"tent": 1}),
    "q3": ("what boils water", {"stove": 1}),
}
METADATA = {
    "q1": {"capability": "cards", "answers": ["gold card"]},
    "q2": {"capability": "gear", "answers": ["tent"]},
    "q3": {"capability": "gear", "answers": ["stove"]},
}
TOML = """
[models.tiny]
source = "./tiny"
[task_sets.search]
path = "search"
[task_sets.excluding]
path = "excluding"
[task_sets.questions]
path = "questions"
[variants.bm25]
kind = "lexical"
[variants.plain]
kind = "prompted"
model = "tiny"
prompt = "plain.jinja"
[variants.rag]
kind = "rag"
base = "plain"
retriever = "bm25"
passages = 1
prompt = "rag.jinja"
[variants.lost]
kind = "rag"
base = "rag"
retriever = "bm52"
[variants.wordy]
kind = "rag"
base = "rag"
retriever = "plain"
[prices]
cpu = { usd_per_hour = 3.6 }
"""


@pytest.fixture
def lab(tmp_path: Path, model_folder: Path) -> Lab:
    metrics = 'metrics = ["ndcg@10", "recall@1", "mrr@10"]\n'
    testing.write_retrieval_set(
        tmp_path / "search", DOCUMENTS, QUERIES, header=metrics, metadata=METADATA
    )
    testing.write_retrieval_set(
        tmp_path / "excluding",
        DOCUMENTS,
        {"q1": (QUERIES["q1"][0], {"silver": 1})},
        header=metrics,
        metadata={"q1": {"exclude": ["gold"]}},
    )
    testing.write_retrieval_set(
        tmp_path / "questions",
        DOCUMENTS,
        QUERIES,
        header='scorer = "answer_f1"\nmax_tokens = 4\n',
        metadata=METADATA,
    )
    (tmp_path / "tiny").symlink_to(model_folder)
    (tmp_path / "plain.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (tmp_path / "rag.jinja").write_text(
        "{% block user %}{% for p in passages %}{{ p }}\n{% endfor %}{{ input }}{% endblock %}"
    )
    (tmp_path / "modellab.toml").write_text(TOML)
    return Lab(read.load(tmp_path / "modellab.toml"), Settings(cache=tmp_path / "cache"))


def test_a_search_is_run_scored_and_measured(lab: Lab) -> None:
    record = lab.record(*lab.asked("bm25", "search"))
    assert record.scorers == {"ndcg@10": 1}
    assert [r.score for r in record.samples] == pytest.approx([1.0, 1.0, 1.0])
    assert record.samples[0].output.startswith("gold*, silver*")
    assert record.samples[0].metrics == {"ndcg@10": 1.0, "recall@1": 0.5, "mrr@10": 1.0}
    probes = record.probes
    assert probes["documents"] == 4
    assert probes["index_bytes_per_document"] > 0
    assert 0 < probes["query_seconds_p50"] <= probes["query_seconds_p95"]
    dollars = 1e6 / probes["documents_per_second"] * 3.6 / 3600
    assert "usd_per_million_documents" not in probes
    assert record.fingerprint.weights == ""
    summary = lab.summary(*lab.asked("bm25", "search"))
    assert summary.probes["usd_per_million_documents"] == pytest.approx(dollars, abs=1e-6)
    assert summary.metrics == {
        "ndcg@10": 1.0,
        "recall@1": pytest.approx(5 / 6, abs=1e-6),
        "mrr@10": 1.0,
    }


def test_a_changed_price_shows_at_once(lab: Lab, tmp_path: Path) -> None:
    """Also where the run comes from the store, or from a baseline of a version that kept it."""
    speed = lab.record(*lab.asked("bm25", "search")).probes["documents_per_second"]
    path = tmp_path / "modellab.toml"
    path.write_text(TOML.replace("3.6", "7.2"))
    dearer = Lab(read.load(path), lab.settings)
    dollars = pytest.approx(1e6 / speed * 7.2 / 3600, abs=1e-6)
    summary = dearer.summary(*dearer.asked("bm25", "search"))
    assert summary.cached
    assert summary.probes["usd_per_million_documents"] == dollars
    (profile,) = survey(dearer, "search", variants=["bm25"], timed=False).profiles
    assert profile.probes["usd_per_million_documents"] == dollars
    path.write_text(TOML.partition("[prices]")[0])
    unpriced = Lab(read.load(path), lab.settings)
    summary = unpriced.summary(*unpriced.asked("bm25", "search"))
    assert "usd_per_million_documents" not in summary.probes


def test_a_baseline_has_no_price(lab: Lab) -> None:
    _, new = lab.accept(*lab.asked("bm25", "search"))
    path = lab.baseline_path("bm25", "search")
    assert "usd" not in path.read_text()
    probes = {**new.run.probes, "usd_per_million_documents": 99.0}  # as older versions wrote it
    kept = dataclasses.replace(new.run, probes=probes)
    baseline_file.write(path, Baseline(kept, new.repeat))
    assert "99.0" in path.read_text()
    assert lab.baseline("bm25", "search").run.probes == new.run.probes


def test_it_is_not_run_twice(lab: Lab) -> None:
    again = Lab(lab.config, lab.settings)
    assert lab.record(*lab.asked("bm25", "search")) == again.record(*again.asked("bm25", "search"))
    assert again.summary(*again.asked("bm25", "search")).cached


def test_an_excluded_document_leaves_its_place(lab: Lab) -> None:
    assert lab.record(*lab.asked("bm25", "search")).samples[0].output.startswith("gold*, silver*")
    (result,) = lab.record(*lab.asked("bm25", "excluding")).samples
    assert result.output.startswith("silver*")
    assert "gold" not in result.output
    assert result.score == 1.0


def question(
    lab: Lab,
    candidate: RunRecord,
    reference: RunRecord,
    *,
    against: str = "own baseline",
    metric: str | None = None,
) -> Question:
    return Question(
        assertion="no_regression",
        test="t",
        spec=lab.spec("bm25"),
        task_set=lab.task_set("search"),
        against=against,
        budget=Budget(0.05, 0.05),
        candidate=candidate,
        reference=reference,
        metric=metric,
    )


def test_what_is_left_out_is_said_with_the_verdict(lab: Lab, tmp_path: Path) -> None:
    with (tmp_path / "search" / "queries.jsonl").open("a") as file:
        file.write('{"_id": "q9", "text": "nothing"}\n')
    with (tmp_path / "search" / "qrels" / "test.tsv").open("a") as file:
        file.write("q9\ttent\t0\n")
    record = lab.record(*lab.asked("bm25", "search"))
    asked = question(lab, record, record, against="itself")
    alone = dataclasses.replace(asked, assertion="worst_bucket", reference=None, against="floor")
    said = "search: 1 query without a relevant document is left out: q9"
    for comparison in (
        no_regression(asked, margin=0.1),
        no_forgetting(asked, second=record, targeted=(), margin=0.1),
        worst_bucket(alone, floor=0.1, slice_=lambda sample: sample.capability),
    ):
        assert said in comparison.notes


def test_depth(make_tasks: Callable[..., TaskSet], sample: Callable[..., Any]) -> None:
    tasks = make_tasks([sample(0, scorer="ndcg@10")], metrics=("recall@500",))
    assert depth_of(tasks) == 500
    tasks = make_tasks([sample(0, scorer="mrr", metadata={"exclude": ["a", "b"]})])
    assert depth_of(tasks) == 102


def test_who_is_asked_the_wrong_thing(lab: Lab) -> None:
    with pytest.raises(ScoringError) as caught:
        lab.record(*lab.asked("plain", "search"))
    assert str(caught.value) == (
        "variant 'plain' on 'search': 'search' asks for rankings of its corpus and 'prompted' "
        'variants answer in words; select others: @pytest.mark.variants(kind="embedding")'
    )
    with pytest.raises(ScoringError) as caught:
        lab.record(*lab.asked("bm25", "questions"))
    assert str(caught.value) == (
        "variant 'bm25' on 'questions': sample 'q1' asks for a reply, which the scorer 'answer_f1' "
        "judges, and 'lexical' variants give none; select others: @pytest.mark.variants(kind=…)"
    )


def test_a_ranking_of_nothing(lab: Lab, tmp_path: Path) -> None:
    lab.record(*lab.asked("bm25", "search"))  # whose corpus must not be taken for the next one's
    sample = {
        "id": "s0",
        "input": "tent",
        "target": {"relevant": {"tent": 1}},
        "scorer": "ndcg@10",
        "capability": "gear",
        "difficulty": "easy",
    }
    testing.write_task_set(tmp_path / "bare", [sample])
    path = tmp_path / "modellab.toml"
    path.write_text(TOML + '[task_sets.bare]\npath = "bare"\n')
    other = Lab(read.load(path), lab.settings)
    with pytest.raises(ScoringError) as caught:
        other.record(*other.asked("bm25", "bare"))
    assert str(caught.value) == (
        "variant 'bm25' on 'bare': sample 's0' asks for a ranking (scorer 'ndcg@10'), but 'bare' "
        'has no corpus; a set with one has format = "beir"'
    )


def test_what_was_measured_of_a_choice_is_no_likelihood(lab: Lab, tmp_path: Path) -> None:
    testing.write_task_set(tmp_path / "choices", testing.choice_samples(["a"], 1))
    path = tmp_path / "modellab.toml"
    path.write_text(TOML + '[task_sets.choices]\npath = "choices"\n')
    with pytest.raises(ScoringError, match="asks for a choice by likelihood, which the scorer"):
        (made := Lab(read.load(path), lab.settings)).record(*made.asked("bm25", "choices"))


def test_a_damaged_index_of_words_is_made_again(lab: Lab, tmp_path: Path) -> None:
    before = lab.record(*lab.asked("bm25", "search"))
    (folder,) = (path for path in (tmp_path / "cache" / "lexical").iterdir() if path.is_dir())
    for file in folder.glob("*.npy"):
        file.write_bytes(file.read_bytes()[:-9] + b"123456789")
    again = Lab(lab.config, dataclasses.replace(lab.settings, reuse=False))
    assert again.record(*again.asked("bm25", "search")).samples == tuple(
        dataclasses.replace(a, seconds=b.seconds)
        for a, b in zip(
            before.samples, again.record(*again.asked("bm25", "search")).samples, strict=True
        )
    )


def test_a_new_metric_is_no_change_of_what_was_accepted(lab: Lab, tmp_path: Path) -> None:
    lab.accept(*lab.asked("bm25", "search"))
    header = tmp_path / "search" / "task_set.toml"
    header.write_text(header.read_text().replace('"mrr@10"]', '"mrr@10", "recall@2"]'))
    _, new = (made := Lab(lab.config, lab.settings)).accept(*made.asked("bm25", "search"))
    assert new.anchor is None
    assert new.repeat is not None
    assert new.run.samples[0].metrics["recall@2"] == 1.0


def test_latency_needs_a_corpus_too(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "task_set.toml").write_text(
        'name = "pairs"\nversion = "1"\nformat = "sts"\n'
    )
    pairs = [{"id": f"p{i}", "a": "a b", "b": "c", "similarity": i} for i in range(3)]
    (tmp_path / "pairs" / "pairs.jsonl").write_text("".join(json.dumps(p) + "\n" for p in pairs))
    path = tmp_path / "modellab.toml"
    path.write_text(TOML + '[task_sets.pairs]\npath = "pairs"\n')
    other = Lab(read.load(path), lab.settings)
    asked = other.asked("bm25", "pairs")
    with pytest.raises(ModellabError) as caught:
        other.performance(*asked, asked[0])
    assert str(caught.value).endswith("'pairs' has no corpus, and what is timed is a search")


# --- rag -----------------------------------------------------------------------------------------


def test_rag_answers_from_what_is_found(lab: Lab, tmp_path: Path) -> None:
    record = lab.record(*lab.asked("rag", "questions"))
    assert [set(r.metrics) for r in record.samples] == [{"exact", "f1", "supported"}] * 3
    stored = list((tmp_path / "cache" / "runs").glob("*/run.json"))
    shown = [text for text in (path.read_text() for path in stored) if '"passages":["' in text]
    assert len(shown) == 1
    for text in ("the gold card has no annual fee", "a tent for two people in the rain"):
        assert f'"passages":["{text}"]' in shown[0]


def test_rag_reads_a_reply_after_what_is_found(lab: Lab, tmp_path: Path) -> None:
    record = lab.record(*lab.asked("rag", "questions"))
    said = tuple(dataclasses.replace(r, output="a tent") for r in record.samples)
    reference = dataclasses.replace(record, samples=said)
    before = {path.parent for path in (tmp_path / "cache" / "runs").glob("*/run.json")}
    found = lab.read(*lab.asked("rag", "questions"), reference)
    (made,) = {p.parent for p in (tmp_path / "cache" / "runs").glob("*/run.json")} - before
    text = (made / "run.json").read_text()
    assert '"passages":["the gold card has no annual fee"]' in text
    plain = lab.read(*lab.asked("plain", "questions"), reference)
    for one, other in zip(found.samples, plain.samples, strict=True):
        assert one.metrics["likelihood"] != pytest.approx(other.metrics["likelihood"], rel=1e-3)


def test_rag_is_run_again_when_other_documents_are_excluded(lab: Lab, tmp_path: Path) -> None:
    lab.record(*lab.asked("rag", "questions"))
    queries = tmp_path / "questions" / "queries.jsonl"
    text = queries.read_text()
    assert '"answers": ["tent"]' in text
    queries.write_text(
        text.replace('"answers": ["tent"]', '"answers": ["tent"], "exclude": ["stove"]')
    )
    again = Lab(lab.config, lab.settings)
    again.record(*again.asked("rag", "questions"))
    assert not again.summary(*again.asked("rag", "questions")).cached


def test_rag_with_one_wording_and_two_answers(lab: Lab, tmp_path: Path) -> None:
    queries = {**QUERIES, "q4": (QUERIES["q2"][0], {"stove": 1})}
    testing.write_retrieval_set(
        tmp_path / "questions",
        DOCUMENTS,
        queries,
        header='scorer = "answer_f1"\nmax_tokens = 4\n',
        metadata={**METADATA, "q4": {"answers": ["no"], "exclude": ["tent"]}},
    )
    with pytest.raises(ScoringError) as caught:
        lab.record(*lab.asked("rag", "questions"))
    assert str(caught.value).endswith(
        "sample 'q4' asks what another one asks and excludes other documents, so that nothing says "
        "which passages to show; give it another wording"
    )


def test_rag_is_another_when_its_search_is(lab: Lab) -> None:
    assert lab.variant("rag").fingerprint.key != lab.variant("plain").fingerprint.key
    assert (
        lab.variant("rag").fingerprint.settings["retriever"] == lab.variant("bm25").fingerprint.key
    )
    assert lab.variant("rag").fingerprint.settings["passages"] == 1


def test_rag_needs_a_search_and_a_corpus(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        lab.variant("lost")
    assert str(caught.value).startswith(
        f"{tmp_path / 'modellab.toml'}: variants.lost.retriever: unknown variant 'bm52'; "
        "did you mean 'bm25'?"
    )
    with pytest.raises(ConfigError) as caught:
        lab.variant("wordy")
    assert str(caught.value) == (
        f"{tmp_path / 'modellab.toml'}: variants.wordy.retriever: 'plain' is of kind 'prompted', "
        "which ranks no documents; name one of kind embedding or lexical"
    )
    testing.write_task_set(tmp_path / "words", testing.choice_samples(["a"], 1))
    path = tmp_path / "modellab.toml"
    path.write_text(TOML + '[task_sets.words]\npath = "words"\n')
    other = Lab(read.load(path), lab.settings)
    with pytest.raises(ModellabError) as raised:
        other.record(*other.asked("rag", "words"))
    assert isinstance(raised.value, GateUsageError)
    assert str(raised.value).endswith("'words' has no corpus that 'bm25' could search")


# --- scorers of one's own -------------------------------------------------------------------------


class Rank:
    """Scores a reply by how many replies of the set are shorter."""

    name, version, likelihood, ranking = "rank", 1, False, False

    def check(self, sample: Sample) -> str | None:
        return None

    def score_all(
        self, samples: Sequence[Sample], outputs: Sequence[Output], metrics: Sequence[str]
    ) -> list[Scored]:
        lengths = [len(output.text) for output in outputs]
        return [
            Scored(
                score=sum(other < own for other in lengths) / len(lengths),
                answer=output.text,
                metrics={"length": float(own)},
            )
            for own, output in zip(lengths, outputs, strict=True)
        ]


def test_a_set_scorer_of_a_plugin(lab: Lab, tmp_path: Path) -> None:
    samples = [
        {
            "id": f"s{i}",
            "input": "say " + "so " * i,
            "target": "",
            "scorer": "rank",
            "capability": "talk",
            "difficulty": "easy",
            "max_tokens": 2 + i,
        }
        for i in range(4)
    ]
    testing.write_task_set(tmp_path / "talk", samples)
    path = tmp_path / "modellab.toml"
    path.write_text(TOML + '[task_sets.talk]\npath = "talk"\n')
    added = dataclasses.replace(BUILT_IN, scorers={**BUILT_IN.scorers, "rank": Rank()})
    settings = dataclasses.replace(lab.settings, sequential=True)
    other = Lab(read.load(path), settings, extensions=added)
    record = other.candidate(*other.asked("plain", "talk"))
    assert isinstance(record, RunRecord)  # whole: what one scores depends on the others
    lengths = [result.metrics["length"] for result in record.samples]
    expected = [sum(b < a for b in lengths) / 4 for a in lengths]
    assert [result.score for result in record.samples] == expected
    assert other.summary(*other.asked("plain", "talk")).metrics == {"length": sum(lengths) / 4}


# --- metrics -------------------------------------------------------------------------------------


def test_a_run_under_another_metric(lab: Lab) -> None:
    variant, asked = lab.asked("bm25", "search")
    record = lab.record(variant, asked)
    under = scores.under(record, "recall@1", asked)
    assert [r.score for r in under.samples] == [0.5, 1.0, 1.0]
    with pytest.raises(ComparisonRefused) as caught:
        scores.under(record, "recall@2", asked)
    assert str(caught.value) == (
        "metric 'recall@2': the run of 'bm25' on 'search' has none; did you mean 'recall@1'? "
        "Known: mrr@10, ndcg@10, recall@1. A metric of rankings: name it in the task set's "
        "metrics, and accept accepted runs again"
    )
    beyond = dataclasses.replace(
        record,
        samples=tuple(dataclasses.replace(r, metrics={"spearman": -2.0}) for r in record.samples),
    )
    with pytest.raises(ComparisonRefused) as caught:
        scores.under(beyond, "spearman", asked)
    assert str(caught.value) == (
        "metric 'spearman': the run of 'bm25' on 'search' has -2.0 for 'q1', outside [0, 1]; judge "
        "the score, which is the same figure mapped to that range"
    )


def test_an_approximate_index_is_told_apart_from_the_model(lab: Lab) -> None:
    record = lab.record(*lab.asked("bm25", "search"))
    lossy = tuple(
        dataclasses.replace(r, metrics={**r.metrics, INDEX_RECALL: 0.5, f"{EXACT}ndcg@10": 1.0})
        for r in record.samples
    )
    worse = tuple(dataclasses.replace(r, metrics={**r.metrics, "ndcg@10": 0.75}) for r in lossy)
    asked = question(lab, dataclasses.replace(record, samples=worse), record, metric="ndcg@10")
    comparison = no_regression(asked, margin=0.1)
    assert comparison.metric == "ndcg@10"
    assert comparison.notes[-1] == (
        "the approximate index finds 0.500 of the exact best 10 and changes ndcg@10 by -0.250; "
        "exact search over the same vectors scores 1.000: what is missing beyond that is the "
        "model's"
    )


def test_a_scorer_need_not_list_its_own_figure(lab: Lab) -> None:
    """The notes tell of the score, also where another figure is judged."""
    record = lab.record(*lab.asked("bm25", "search"))
    lossy = tuple(
        dataclasses.replace(
            r, score=0.75, metrics={"found": 0.5, INDEX_RECALL: 0.5, f"{EXACT}rank": 1.0}
        )
        for r in record.samples
    )
    for metric in (None, "found"):
        found = dataclasses.replace(record, samples=lossy)
        comparison = no_regression(question(lab, found, found, metric=metric), margin=0.1)
        note = (
            "the approximate index finds 0.500 of the exact best 10 and changes rank by -0.250; "
            "exact search over the same vectors scores 1.000: what is missing beyond that is the "
            "model's"
        )
        assert comparison.notes[-2:] == (note, f"of own baseline: {note}")


def test_an_approximate_reference_is_told_apart_too(lab: Lab) -> None:
    record = lab.record(*lab.asked("bm25", "search"))
    lossy = tuple(
        dataclasses.replace(r, metrics={**r.metrics, INDEX_RECALL: 0.5, f"{EXACT}ndcg@10": 1.0})
        for r in record.samples
    )
    reference = dataclasses.replace(record, samples=lossy)
    asked = question(lab, record, reference, against="baseline of hnsw")
    comparison = no_regression(asked, margin=0.1)
    assert comparison.notes[-1].startswith(
        "of baseline of hnsw: the approximate index finds 0.500 of the exact best 10 and changes "
    )


def test_a_plan_knows_the_times_of_stored_rankings(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.accept(*lab.asked("bm25", "search"))
    monkeypatch.setenv("MODELLAB_CACHE", str(lab.settings.cache))
    toml = str(tmp_path / "modellab.toml")
    assert cli.main(["plan", "--task-set", "search", "--variant", "bm25", "--config", toml]) == 0
    assert "times as stored here of 'bm25'" in capsys.readouterr().out


def test_guessing_similarities_scores_five_sixths(sample: Callable[..., Any]) -> None:
    pair = sample(0, scorer="spearman", target={"similarity": 1}, choices=("b",))
    assert scores.chance_of(pair) == pytest.approx(5 / 6)
    assert scores.chance_of(sample(0, target=1)) == 0.5
    assert scores.chance_of(sample(0, scorer="exact", target="x", choices=())) == 0.0


def test_index_metrics_of_a_run(lab: Lab) -> None:
    """Exact rankings beside approximate ones become metrics of their own."""
    task_set = lab.task_set("search")
    ranking = (("silver", 0.9), ("tent", 0.1))
    audit = Audited((("gold", 1.0), ("silver", 0.9)), recall=0.25)
    outputs = [Output("", ranking=ranking, exact=audit) for _ in task_set.samples]
    scored = scoring.score_sets(task_set, named_scorers(task_set, lab.extensions), outputs)[0]
    assert isinstance(scored, Scored)
    assert scored.metrics[INDEX_RECALL] == 0.25
    assert scored.metrics[f"{EXACT}ndcg@10"] == pytest.approx(1.0)
    assert scored.metrics["ndcg@10"] < 0.5


def test_baselines_keep_metrics(lab: Lab) -> None:
    old, _ = lab.accept(*lab.asked("bm25", "search"))
    assert old is None
    again = lab.baseline("bm25", "search")
    assert again.run.samples[0].metrics == {"mrr@10": 1.0, "ndcg@10": 1.0, "recall@1": 0.5}
    assert again.repeat is not None
    second = again.second_run()
    assert isinstance(second, RunRecord)
    assert second.samples[0].metrics == again.run.samples[0].metrics
