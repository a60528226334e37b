"""Metrics of rankings: closed forms, a second library, what a reader sees."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab import scorers
from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers import ranking
from pytest_modellab.scorers.interface import SetScorer

Make = Callable[..., Sample]
Judged = Mapping[str, int]

DOCUMENTS = [f"doc_{number}" for number in range(12)]
CUTS = (1, 3, 10)
NAMES = [f"{family}{cut}" for family in ranking.FAMILIES for cut in ("", *(f"@{k}" for k in CUTS))]


def query(relevant: Judged, **changes: Any) -> Sample:
    values: dict[str, Any] = {
        "id": "q1",
        "input": "Which?",
        "target": {"relevant": relevant},
        "scorer": "ndcg@10",
        "capability": "search",
        "difficulty": "easy",
    }
    return Sample(**{**values, **changes})


def ranked(documents: Sequence[str], scores: Sequence[float] | None = None) -> Output:
    if scores is None:
        scores = [-float(rank) for rank in range(len(documents))]
    return Output("", ranking=tuple(zip(documents, scores, strict=True)))


# --- closed forms --------------------------------------------------------------------------------


def closed_form(name: str, documents: Sequence[str], relevant: Judged) -> float:
    """Each metric by its formula, in the words of its definition."""
    family, _, cut = name.partition("@")
    first = documents[: int(cut)] if cut else documents
    found = [rank for rank, document in enumerate(first, start=1) if document in relevant]

    def dcg(grades: Sequence[int]) -> float:
        return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))

    if family == "ndcg":
        ideal = sorted(relevant.values(), reverse=True)
        return dcg([relevant.get(d, 0) for d in first]) / dcg(ideal[: int(cut)] if cut else ideal)
    if family == "recall":
        return len(found) / len(relevant)
    if family == "precision":
        asked = int(cut) if cut else len(first)
        return len(found) / asked if asked else 0.0
    if family == "mrr":
        return 1 / found[0] if found else 0.0
    return sum(count / rank for count, rank in enumerate(found, start=1)) / len(relevant)


judged = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(1, 3), min_size=1)
rankings = st.lists(st.sampled_from(DOCUMENTS), unique=True)
tied = st.lists(st.sampled_from([1.0, 2.0]), min_size=12, max_size=12)


@given(st.lists(st.tuples(judged, rankings, tied), min_size=1, max_size=5))
def test_every_metric_is_its_closed_form(
    queries: list[tuple[Judged, list[str], list[float]]],
) -> None:
    pytest.importorskip("ir_measures")
    samples = [query(relevant) for relevant, _, _ in queries]
    # scores that tie, or rise: only the order counts
    outputs = [ranked(found, scores[: len(found)]) for _, found, scores in queries]
    results = ranking.Ranking("ndcg@10").score_all(samples, outputs, NAMES)
    for (relevant, found, _), scored in zip(queries, results, strict=True):
        assert set(scored.metrics) == set(NAMES)
        for name, value in scored.metrics.items():
            assert value == pytest.approx(closed_form(name, found, relevant), abs=1e-9), name
        assert scored.score == scored.metrics["ndcg@10"]
        assert 0 <= scored.score <= 1 + 1e-12


# ranx compiles its code with numba, which takes some 15 s and warns of what ranx wrote
@pytest.mark.filterwarnings("ignore:.*unsafe cast from uint64 to int64")
def test_every_metric_agrees_with_a_second_library() -> None:
    pytest.importorskip("ir_measures")
    ranx = pytest.importorskip("ranx")
    generator = random.Random(5)
    pool = [f"doc_{number}" for number in range(40)]
    judgements = [
        {document: generator.randint(1, 3) for document in generator.sample(pool, size)}
        for size in range(1, 31)
    ]
    found = [generator.sample(pool, 20) for _ in judgements]
    outputs = [ranked(documents, [float(generator.randint(0, 3))] * 20) for documents in found]
    results = ranking.Ranking("ndcg").score_all([query(j) for j in judgements], outputs, NAMES)

    run = ranx.Run({str(i): {d: float(-r) for r, d in enumerate(ds)} for i, ds in enumerate(found)})
    ranx.evaluate(ranx.Qrels({str(i): dict(j) for i, j in enumerate(judgements)}), run, NAMES)
    for name in NAMES:
        theirs = [run.scores[name][str(i)] for i in range(len(found))]
        assert [scored.metrics[name] for scored in results] == pytest.approx(theirs, abs=1e-9), name


def test_ndcg_has_linear_gain() -> None:
    pytest.importorskip("ir_measures")
    [scored] = ranking.Ranking("ndcg").score_all(
        [query({"doc_1": 1, "doc_2": 3})], [ranked(["doc_1", "doc_2"])], ()
    )
    assert scored.score == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))


@pytest.mark.parametrize("name", NAMES)
def test_a_query_without_documents_scores_0(name: str) -> None:
    pytest.importorskip("ir_measures")
    samples = [query({"doc_1": 1}), query({"doc_1": 1})]
    hit, miss = ranking.Ranking(name).score_all(samples, [ranked(["doc_1"]), ranked([])], ())
    assert hit.score > 0
    assert (miss.score, miss.metrics) == (0.0, {name: 0.0})
    [alone] = ranking.Ranking(name).score_all(samples[:1], [ranked([])], ())
    assert (alone.score, alone.metrics) == (0.0, {name: 0.0})


def test_figures_are_built_in() -> None:
    pytest.importorskip("ir_measures")
    [scored] = ranking.Ranking("mrr@10").score_all(
        [query({"doc_1": 1})], [ranked(["doc_1"])], ["recall@10"]
    )
    assert type(scored.score) is float
    assert {name: type(value) for name, value in scored.metrics.items()} == {
        "mrr@10": float,
        "recall@10": float,
    }


# --- what a reader sees --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("documents", "text"),
    [
        (["doc_12", "doc_7", "doc_3", "doc_1"], "doc_12*, doc_7, doc_3"),
        (["doc_7", "doc_9"], "doc_7, doc_9*"),
        (["a", "b", "c", "d", "doc_9"], "a, b, c; first relevant: doc_9 at 5"),
        ([f"x{i}" for i in range(100)], "x0, x1, x2; no relevant one in the first 100"),
        (["x"], "x; no relevant one in the first 1"),
        ([], "(nothing found)"),
    ],
)
def test_answer(documents: list[str], text: str) -> None:
    pytest.importorskip("ir_measures")
    [scored] = ranking.Ranking("ndcg@10").score_all(
        [query({"doc_12": 2, "doc_9": 1})], [ranked(documents)], ()
    )
    assert scored.answer == text


# --- names and targets ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_names_are_parsed(name: str) -> None:
    found = scorers.find(name)
    assert isinstance(found, SetScorer)
    assert (found.name, found.likelihood, found.ranking, found.version) == (name, False, True, 1)


@pytest.mark.parametrize(
    "name", ["ndcg@0", "ndcg@", "ndcg@05", "ndcg@-1", "NDCG@10", "ndcg@10 ", "ndcg@1.5", "err@10"]
)
def test_other_names_are_not(name: str) -> None:
    assert ranking.parse(name) is None
    assert scorers.find(name) is None


def test_a_scorer_that_was_added_goes_before_a_metric() -> None:
    mine = ranking.Ranking("ndcg@5")
    assert scorers.find("ndcg@5", {"ndcg@5": mine}) is mine
    assert scorers.find("ndcg@6", {"ndcg@5": mine}) is not mine


NOT_JUDGED: list[Any] = ["d", {"relevant": {}}, {"relevant": ["d"]}, {"answers": ["a"]}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"scorer": "ndgc@10"},
            "scorer: unknown 'ndgc@10'; did you mean 'ndcg@K'? Known: anls, answer_f1, cer, "
            "choice, exact, json_schema, map@K, mrr@K, ndcg@K, number, perplexity, precision@K, "
            "recall@K, refusal, regex, spearman, wer",
        ),
        ({"choices": ("a",)}, "choices: the scorer 'ndcg@10' ranks the corpus and takes none"),
        (
            {"max_tokens": 4},
            "max_tokens: the scorer 'ndcg@10' generates nothing; leave it out",
        ),
        *(
            (
                {"target": target},
                "target: the scorer 'ndcg@10' needs "
                '{"relevant": {document id: grade}} with at least one document',
            )
            for target in NOT_JUDGED
        ),
        *(
            (
                {"target": {"relevant": {"doc_1": 1, "doc_2": grade}}},
                f"target: relevant: 'doc_2' has the grade {grade!r}, which is not a whole number "
                "from 1 to 1000; leave out what is not relevant",
            )
            for grade in (0, -1, 1.0, True, "1", 1001)
        ),
    ],
)
def test_check(changes: dict[str, Any], said: str) -> None:
    assert scorers.check(query({"doc_1": 1}, **changes)) == said


def test_check_finds_nothing() -> None:
    assert scorers.check(query({"doc_1": 1})) is None
    assert scorers.check(query({}, target={"relevant": {"d": 1000}, "answers": ["a"]})) is None


def test_an_unknown_metric() -> None:
    pytest.importorskip("ir_measures")
    with pytest.raises(ScoringError) as caught:
        ranking.Ranking("ndcg@10").score_all(
            [query({"doc_1": 1})], [ranked(["doc_1"])], ["recal@10"]
        )
    assert str(caught.value) == (
        "metrics: unknown 'recal@10'; did you mean 'recall@K'? "
        "Known: map@K, mrr@K, ndcg@K, precision@K, recall@K"
    )


def test_without_ir_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(ScoringError) as caught:
        ranking.Ranking("map").score_all([query({"doc_1": 1})], [ranked(["doc_1"])], ())
    assert str(caught.value) == (
        "the scorer 'map' needs ir_measures: pip install 'pytest-modellab[embedding]'"
    )


def test_half_a_surrogate_pair_as_an_id_is_an_ordinary_miss() -> None:
    scorer = scorers.find("ndcg@10")
    assert isinstance(scorer, SetScorer)
    (found,) = scorer.score_all([query({"d1": 1})], [ranked(["\ud800", "d1"])], ())
    assert found.score == pytest.approx(1 / math.log2(3))
