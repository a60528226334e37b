"""Retrieval in BEIR's layout: what is read, and the text of every error."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab import scorers, tasksets
from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Document, Sample, TaskSet
from pytest_modellab.scorers.interface import SetScorer
from pytest_modellab.tasksets import beir

Write = Callable[..., Path]
HEADER = 'name = "drinks"\nversion = "2"\nformat = "beir"\n'
Q1 = {"_id": "q1", "text": "Where does tea grow?"}


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Path], TaskSet]:
    return lambda folder: tasksets.read(folder, scorers.check, tmp_path / "cache")


@pytest.fixture
def message(read: Callable[[Path], TaskSet]) -> Callable[[Path], str]:
    """The error's message, with folders cut off."""

    def get(folder: Path) -> str:
        with pytest.raises(TaskSetError) as caught:
            read(folder)
        return str(caught.value).replace(f"{folder}/", "")

    return get


def test_whole_set(write_beir: Write, read: Callable[[Path], TaskSet]) -> None:
    folder = write_beir(f'{HEADER}description = "Beverages."\n[capabilities.coffee]\n')
    found = read(folder)
    assert (found.name, found.version, found.path) == ("drinks", "2", str(folder))
    assert found.description == "Beverages."
    assert found.metrics == ("recall@10", "recall@100", "precision@10", "mrr@10", "map@100")
    assert found.samples == (
        Sample(
            id="q1",
            input="Where does tea grow?",
            target={"relevant": {"d1": 2, "d3": 1}},
            scorer="ndcg@10",
            capability="retrieval",
            difficulty="medium",
        ),
        Sample(
            id="q2",
            input="Who roasts?",
            target={"relevant": {"d2": 1}},
            scorer="ndcg@10",
            capability="coffee",
            difficulty="medium",
            metadata={"page": 7},
        ),
    )
    assert found.corpus is not None
    assert [found.corpus[row] for row in range(len(found.corpus))] == [
        Document("d1", "Tea grows on hills.", "Tea"),
        Document("d2", "Coffee is roasted."),
        Document("d3", "", "Rain"),
    ]


def test_files_alone_are_a_set(write_beir: Write, read: Callable[[Path], TaskSet]) -> None:
    with_header, alone = read(write_beir()), read(write_beir(header=None))
    assert (alone.name, alone.version, alone.description) == ("drinks", "0", "")
    assert alone.hash == with_header.hash


def test_metadata_become_fields(write_beir: Write, read: Callable[[Path], TaskSet]) -> None:
    metadata = {
        "capability": "tea",
        "difficulty": "hard",
        "cluster": "plants",
        "exclude": ["d2"],
        "answers": ["hills"],
    }
    folder = write_beir(queries=[{**Q1, "metadata": metadata}], qrels="q1\td1\t1\n")
    (sample,) = read(folder).samples
    assert (sample.bucket, sample.cluster) == ("tea/hard", "plants")
    assert dict(sample.metadata) == {"exclude": ["d2"], "answers": ["hills"]}


def test_metrics_and_split(write_beir: Write, read: Callable[[Path], TaskSet]) -> None:
    folder = write_beir(f'{HEADER}metrics = ["map", "recall@1"]\nsplit = "dev"\n')
    (folder / "qrels/test.tsv").rename(folder / "qrels/dev.tsv")
    found = read(folder)
    assert {sample.scorer for sample in found.samples} == {"map"}
    assert found.metrics == ("recall@1",)


def test_a_later_metric_may_be_the_score(
    write_beir: Write, read: Callable[[Path], TaskSet]
) -> None:
    found = read(write_beir(f'{HEADER}metrics = ["map", "recall@1"]\nscorer = "recall@1"\n'))
    assert {sample.scorer for sample in found.samples} == {"recall@1"}
    assert found.metrics == ("map",)


def test_questions_over_files_of_another_set(
    write_beir: Write, read: Callable[[Path], TaskSet], tmp_path: Path
) -> None:
    write_beir(
        queries=[{**Q1, "metadata": {"answers": ["On hills."], "page": 1}}], qrels="q1\td1\t1\n"
    )
    folder = tmp_path / "questions"
    folder.mkdir()
    (folder / "task_set.toml").write_text(
        'name = "questions"\nversion = "1"\nformat = "beir"\nlayout = "../drinks"\n'
        'metrics = ["ndcg@10"]\nscorer = "answer_f1"\nmax_tokens = 16\n'
    )
    found = read(folder)
    (sample,) = found.samples
    assert (found.path, found.metrics) == (str(folder), ("ndcg@10",))
    assert (sample.scorer, sample.max_tokens) == ("answer_f1", 16)
    assert sample.target == {"relevant": {"d1": 1}, "answers": ["On hills."]}
    assert dict(sample.metadata) == {"page": 1}


def test_identical_ids_are_excluded_where_the_header_says_so(
    write_beir: Write, read: Callable[[Path], TaskSet]
) -> None:
    corpus = [{"_id": "q1", "text": "Where does tea grow?"}, {"_id": "d1", "text": "Hills"}]
    queries = [{**Q1, "metadata": {"exclude": []}}]
    files = {"corpus": corpus, "queries": queries, "qrels": "q1\td1\t1\n"}
    assert read(write_beir(**files)).samples[0].metadata["exclude"] == []
    found = read(write_beir(f"{HEADER}ignore_identical_ids = true\n", **files))
    assert found.samples[0].metadata["exclude"] == ["q1"]


@pytest.mark.parametrize(
    "qrels",
    [
        "q1\td1\t2\nq1\td3\t1\nq2\td2\t1\n",  # no column names
        "query-id\tcorpus-id\tscore\r\nq1\td1\t2\r\n\r\nq1\td3\t1\r\nq2\td2\t1",
        "q1 0 d1 2\nq1 0 d3 1\nq2 0 d2 1\n",  # TREC
        "q1\tQ0\td1\t2\nq1\tQ0\td3\t1\nq2\tQ0\td2\t1\n",
        "q1  d1  +2\nq1 d3 1\nq2 d2 1\n",
        "q1\td1\t2\nq1\td3\t1\nq1\td1\t2\nq2\td2\t1\n",  # one twice, with the same grade
        "q1\td1\t2\nq1\td2\t-2\nq1\td3\t1\nq2\td2\t1\nq2\td1\t0\n",  # spam, not relevant
        "q1\td1\t2.0\nq1\td3\t1.00\nq2\td2\t1.0\n",  # a column of pandas with a gap
        # its index, and columns in another order
        "\tquery-id\tcorpus-id\tscore\n0\tq1\td1\t2\n1\tq1\td3\t1\n2\tq2\td2\t1\n",
        "corpus_id\tquery_id\trelevance\nd1\tq1\t2\nd3\tq1\t1\nd2\tq2\t1\n",
        "qid iteration docno label\nq1 0 d1 2\nq1 0 d3 1\nq2 0 d2 1\n",
        "frage\tantwort\tscore\nq1\td1\t2\nq1\td3\t1\nq2\td2\t1\n",
        # BEIR's names over TREC's columns, and tabs at the end
        "query-id\tcorpus-id\tscore\nq1\t0\td1\t2\nq1\t0\td3\t1\nq2\t0\td2\t1\n",
        "query-id\tcorpus-id\tscore\t\nq1\td1\t2\t\nq1\td3\t1\t\nq2\td2\t1\n",
    ],
)
def test_forms_of_judgements(
    write_beir: Write, read: Callable[[Path], TaskSet], qrels: str
) -> None:
    assert read(write_beir(qrels=qrels)).hash == read(write_beir()).hash


CORPUS: list[dict[str, Any]] = [
    {"_id": "1", "text": "Tea grows on hills."},
    {"_id": "2", "text": "Coffee is roasted."},
    {"_id": "3", "text": "Rain"},
]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="as it is"),
        pytest.param({"title": None, "metadata": None, "more": float("nan")}, id="null"),
        pytest.param({"title": float("nan")}, id="NaN"),
        pytest.param({"_id": 2}, id="a number"),
        pytest.param({"_id": 2.0}, id="a number beside a gap"),
        pytest.param({"_id": None, "doc_id": "2"}, id="another name"),
        pytest.param({"_id": None, "docid": 2, "id": "2"}, id="two names for one"),
    ],
)
def test_a_document_as_pandas_writes_it(
    write_beir: Write, read: Callable[[Path], TaskSet], change: dict[str, Any]
) -> None:
    one, two, three = CORPUS
    judged = "1\t1\t2\n1\t2\t1\n2\t2\t1\n"
    asked: list[dict[str, Any]] = [
        {"_id": q, "text": "?", "metadata": {"capability": "c"}} for q in "12"
    ]
    expected = read(write_beir(corpus=CORPUS, queries=asked, qrels=judged))
    asked = [
        {"qid": 1, "text": "?", "metadata": {"capability": "c", "cluster": None}},
        {"_id": 2.0, "text": "?", "metadata": {"capability": "c", "answers": float("nan")}},
    ]
    folder = write_beir(corpus=[one, {**two, **change}, three], queries=asked, qrels=judged)
    found = read(folder)
    assert found.hash == expected.hash
    assert found.corpus is not None
    assert [found.corpus[row].id for row in range(3)] == ["1", "2", "3"]
    floats = "1.0\t1.0\t2.0\n1.0\t2.0\t1.0\n2.0\t2.0\t1.0\n"
    assert read(write_beir(corpus=CORPUS, queries=asked, qrels=floats)).hash == expected.hash


def test_the_id_of_a_number_beside_a_gap_may_be_the_id(
    write_beir: Write, read: Callable[[Path], TaskSet]
) -> None:
    corpus = [{"_id": "1.0", "text": "release"}, {"_id": "1", "text": "one"}]
    (sample,) = read(write_beir(corpus=corpus, queries=[Q1], qrels="q1\t1.0\t1\n")).samples
    assert sample.target == {"relevant": {"1.0": 1}}


def test_a_set_with_holes_is_judged_as_trec_eval_does(
    write_beir: Write, read: Callable[[Path], TaskSet]
) -> None:
    import ir_measures

    judged = "q1\td1\t1\nq1\tlost\t2\nq1\td3\t1\nq9\td2\t1\nq2\td2\t1\n"
    corpus = [{**d, "_id": f"d{d['_id']}"} for d in CORPUS]
    corpus.append({"_id": "d4", "title": None, "text": None})
    found = read(write_beir(corpus=corpus, qrels=judged))
    assert found.note == (
        "1 judged query is not in queries.jsonl and left out: q9. 1 judged document is not in "
        "corpus.jsonl: it counts, as in trec_eval, and is not found: lost. "
        "1 document is empty: d4."
    )
    metrics = ("ndcg@10", "recall@10", "map@100")
    ranking = (("d3", 3.0), ("d2", 2.0), ("d1", 1.0))
    scorer = scorers.find("ndcg@10")
    assert isinstance(scorer, SetScorer)
    scored = scorer.score_all(found.samples[:1], [Output("", ranking=ranking)], metrics[1:])
    measures = [ir_measures.parse_measure(m) for m in ("nDCG@10", "R@10", "AP@100")]
    theirs = ir_measures.calc_aggregate(
        measures,
        {"q1": {"d1": 1, "lost": 2, "d3": 1}},
        {"q1": dict(ranking)},
    )
    ours = [scored[0].metrics[name] for name in metrics]
    assert ours == pytest.approx([theirs[m] for m in measures])
    assert ours[0] < 1


def test_files_in_another_form_are_named(write_beir: Write, message: Callable[[Path], str]) -> None:
    folder = write_beir(corpus=None, qrels=None)
    (folder / "corpus.parquet").touch()
    assert message(folder).endswith("; corpus.parquet is not read, write it as corpus.jsonl")
    folder = write_beir(qrels=None)
    (folder / "qrels" / "test.parquet").touch()
    assert message(folder) == (
        "qrels/test.tsv: missing; split: test.parquet is not read; write it as tab-separated "
        "query-id, corpus-id, score"
    )


def test_a_column_without_a_name_is_not_taken_for_another(
    write_beir: Write, message: Callable[[Path], str]
) -> None:
    rows = "query-id\tcorpus-id\tscore\nq1\t4\td1\t2\n"  # R names rows, and not that column
    assert message(write_beir(qrels=rows)) == (
        "qrels/test.tsv:2: holds 4 columns, but the first line names 3; give both as many"
    )


def test_judgements_as_json_lines(
    write_beir: Write, read: Callable[[Path], TaskSet], message: Callable[[Path], str]
) -> None:
    expected = read(write_beir()).hash
    path = write_beir(qrels=None) / "qrels" / "test.jsonl"
    path.write_text(
        '{"query-id": "q1", "corpus-id": "d1", "score": 2}\n'
        '{"query-id": "q1", "corpus-id": "d3", "score": 1.0}\n'
        '{"score": 1, "corpus_id": "d2", "query_id": "q2", "more": null}\n'
    )
    assert read(path.parent.parent).hash == expected
    path.write_text('{"query-id": "q1", "score": 2}\n')
    assert message(path.parent.parent) == (
        "qrels/test.jsonl:1: the columns are called 'query-id', 'score'; call them query-id, "
        "corpus-id, score"
    )


@pytest.mark.parametrize(
    ("zeros", "said"),
    [
        (1, "1 query without a relevant document is left out: z0."),
        (3, "3 queries without a relevant document are left out: z0, z1, z2."),
        (
            12,
            "12 queries without a relevant document are left out: "
            "z0, z1, z2, z3, z4, z5, z6, z7, z8, z9 and 2 more.",
        ),
    ],
)
def test_queries_without_a_relevant_document(
    write_beir: Write, read: Callable[[Path], TaskSet], zeros: int, said: str
) -> None:
    found = read(
        write_beir(
            f'{HEADER}description = "Beverages."\n',
            queries=[Q1, *({"_id": f"z{i}", "text": "?"} for i in range(zeros))],
            qrels="q1\td1\t1\n"
            + "".join(f"z{i}\td{i % 3 + 1}\t{-(i % 2)}\n" for i in range(zeros)),
        )
    )
    assert [sample.id for sample in found.samples] == ["q1"]
    assert found.description == f"Beverages. {said}"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        # the header
        ({"header": f"{HEADER}metrics = 3"}, "task_set.toml: metrics: 3 is int, expected list"),
        (
            {"header": f"{HEADER}metrics = []"},
            'task_set.toml: metrics: [] is not a list of names such as ["ndcg@10"]',
        ),
        (
            {"header": f'{HEADER}metrics = ["map", 3]'},
            "task_set.toml: metrics: ['map', 3] is not a list of names such as [\"ndcg@10\"]",
        ),
        (
            {"header": f'{HEADER}metrics = ["map", "map"]'},
            "task_set.toml: metrics: ['map', 'map'] names one twice",
        ),
        (
            {"header": f'{HEADER}metrics = ["map", "ndgc@K"]'},
            "task_set.toml: metrics: scorer: unknown 'ndgc@K'; did you mean 'ndcg@K'",
        ),
        ({"header": f"{HEADER}split = 1"}, "task_set.toml: split: 1 is int, expected str"),
        (
            {"header": f'{HEADER}split = "tets"'},
            "qrels/tets.tsv: missing; split: did you mean 'test'? Known: test",
        ),
        (
            {"header": f'{HEADER}scorer = "answer_f1"'},
            "task_set.toml: max_tokens: 0; the scorer 'answer_f1' is none of the metrics and "
            "compares a reply: say how long it may be, at least 1",
        ),
        (
            {"header": f"{HEADER}max_tokens = 8"},
            "task_set.toml: max_tokens: the scorer 'ndcg@10' generates nothing; leave it out",
        ),
        (
            {"header": f"{HEADER}max_tokens = true"},
            "task_set.toml: max_tokens: True is bool, expected int",
        ),
        (
            {"header": f"{HEADER}ignore_identical_ids = 1"},
            "task_set.toml: ignore_identical_ids: 1 is neither true nor false",
        ),
        (
            {"header": f"{HEADER}[capabilities.milk]"},
            "task_set.toml: capabilities.milk: declared but queries.jsonl has no sample of it",
        ),
        # files
        (
            {"corpus": None},
            "corpus.jsonl: missing; BEIR's layout has corpus.jsonl, queries.jsonl and "
            "qrels/<split>.tsv",
        ),
        (
            {"queries": None},
            "queries.jsonl: missing; BEIR's layout has corpus.jsonl, queries.jsonl and "
            "qrels/<split>.tsv",
        ),
        ({"qrels": None}, "qrels/test.tsv: missing; split: there is no split at all"),
        # judgements
        ({"qrels": "\n"}, "qrels/test.tsv: holds no judgement"),
        (
            {"qrels": b"q1\td\xe9\t1\n"},
            "qrels/test.tsv: line 1: not UTF-8 (invalid continuation byte); save it as UTF-8",
        ),
        (
            {"qrels": "q1\td1\t1\nq1\td3\n"},
            "qrels/test.tsv:2: holds 2 columns, expected query-id, corpus-id, score, or TREC's "
            "four",
        ),
        (
            {"qrels": "q1\td1\t0.5\n"},
            "qrels/test.tsv:1: score: '0.5' is not a whole number of at most 9 digits; TREC's "
            "grades are: 0 for not relevant, 1 and more for relevant",
        ),
        (
            {"qrels": "q1\td1\t9999999999\n"},
            "qrels/test.tsv:1: score: '9999999999' is not a whole number of at most 9 digits; ",
        ),
        (
            {"qrels": "q1\td1\t1\nq2\td2\t1\n\nq1\td1\t2\n"},
            "qrels/test.tsv:4: query 'q1' and document 'd1' have the grade 2 here and 1 on line 1; "
            "remove one",
        ),
        ({"qrels": 'q1\t"d1\t1\n'}, "qrels/test.tsv:1: malformed: unexpected end of data"),
        (
            {"qrels": "q1\td1\t1\nqq1\td2\t0\nqq2\td2\t1\n"},
            "qrels/test.tsv:2: query 'qq1' is not in queries.jsonl (did you mean 'q1'?); 2 of 3 "
            "judged queries are not: take all three files from one set",
        ),
        (
            {"qrels": "q1\tD1\t1\nq2\td2\t0\nq2\tD2\t0\n"},
            "qrels/test.tsv:1: document 'D1' is not in corpus.jsonl; 2 of 3 judged documents are "
            "not: take all three files from one set",
        ),
        (
            {"qrels": "q2\td22\t1\n"},
            "qrels/test.tsv:1: document 'd22' is not in corpus.jsonl (did you mean 'd2'?); 1 of 1 ",
        ),
        (
            {"qrels": "query-id\tcorpus\tgrade\nq1\td1\t1\n"},
            "qrels/test.tsv:1: the columns are called 'query-id', 'corpus', 'grade'; call them "
            "query-id, corpus-id, score",
        ),
        (
            {"qrels": "q1\td1\tnan\n"},
            "qrels/test.tsv:1: score: 'nan' is not a whole number of at most 9 digits; ",
        ),
        (
            {"qrels": "q1\td1\t0\n"},
            "qrels/test.tsv: no query has a relevant document, one of grade 1 or higher",
        ),
        # queries
        ({"queries": ["{"]}, "queries.jsonl:1: malformed JSON, column 2: Expecting property name"),
        ({"queries": ["", "3"]}, "queries.jsonl:2: holds int, expected a JSON object"),
        (
            {"queries": b'{"_id": "\xe9"}'},
            "queries.jsonl: line 1: not UTF-8 (invalid continuation byte); save it as UTF-8",
        ),
        ({"queries": [{"_id": "q1"}]}, "queries.jsonl:1: text: missing"),
        (
            {"queries": [{"_id": 1.5, "text": "?"}]},
            "queries.jsonl:1: _id: 1.5 is float, expected str",
        ),
        ({"queries": [{"_id": "q1", "text": None}]}, "queries.jsonl:1: text: missing"),
        (
            {"queries": [{"id": "q1", "qid": "7", "text": "?"}]},
            "queries.jsonl:1: _id: missing, and 'id' and 'qid' differ; name the one that the "
            "judgements hold _id",
        ),
        ({"queries": [{"_id": "q1", "text": " "}]}, "queries.jsonl:1: text: empty"),
        (
            {"queries": [Q1, Q1]},
            "queries.jsonl:2: _id: 'q1' stands on line 1 too; ids must be unique",
        ),
        (
            {"queries": [{**Q1, "metadata": {"x": float("inf")}}]},
            "queries.jsonl:1: holds what JSON and UTF-8 cannot say (NaN, Infinity, half a "
            "surrogate pair): Out of range float values",
        ),
        (
            {"queries": [{**Q1, "metadata": 1}]},
            "queries.jsonl:1: metadata: 1 is int, expected dict",
        ),
        (
            {"queries": [{**Q1, "metadata": {"capability": " "}}]},
            "queries.jsonl:1: metadata: capability: empty",
        ),
        (
            {"queries": [{**Q1, "metadata": {"difficulty": "hrad"}}]},
            "queries.jsonl:1: metadata: difficulty: unknown 'hrad'; did you mean 'hard'?",
        ),
        (
            {"queries": [{**Q1, "metadata": {"cluster": 1}}]},
            "queries.jsonl:1: metadata: cluster: 1 is int, expected str",
        ),
        (
            {"queries": [{**Q1, "metadata": {"exclude": [["d1"]]}}]},
            "queries.jsonl:1: metadata.exclude: [['d1']] is not a list of document ids",
        ),
        (
            {"queries": [{**Q1, "metadata": {"exclude": ["dd1"]}}], "qrels": "q1\td1\t1\n"},
            "queries.jsonl:1: metadata.exclude: document 'dd1' is not in corpus.jsonl (did you "
            "mean 'd1'?)",
        ),
        (
            {"queries": [{**Q1, "metadata": {"exclude": ["d1"]}}], "qrels": "q1\td1\t1\n"},
            "queries.jsonl:1: document 'd1' is left out of the ranking, but judged relevant on "
            "line 1 of qrels/test.tsv; choose one",
        ),
        (
            {
                "header": f'{HEADER}scorer = "answer_f1"\nmax_tokens = 8',
                "queries": [{**Q1, "metadata": {"answers": ["hills", ""]}}],
                "qrels": "q1\td1\t1\n",
            },
            "queries.jsonl:1: metadata.answers: ['hills', '']; the scorer 'answer_f1' needs a list "
            "of texts",
        ),
        # what the scorer says
        (
            {"qrels": "q1\td1\t1001\nq2\td2\t1\n"},
            "queries.jsonl:1: sample 'q1': target: relevant: 'd1' has the grade 1001, which is ",
        ),
    ],
)
def test_message(
    write_beir: Write, message: Callable[[Path], str], files: dict[str, Any], said: str
) -> None:
    assert message(write_beir(**files)).startswith(said)


ids = st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1)
texts = st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip)


@given(
    documents=st.lists(
        st.builds(Document, ids, texts, texts), min_size=1, unique_by=lambda d: d.id
    ),
    queries=st.dictionaries(ids, texts, min_size=1, max_size=5),
    data=st.data(),
)
@settings(max_examples=50)
def test_what_is_written_is_read(
    documents: list[Document], queries: dict[str, str], data: st.DataObject
) -> None:
    grades = st.dictionaries(
        st.sampled_from([d.id for d in documents]), st.integers(1, 999), min_size=1, max_size=5
    )
    judged = {query: data.draw(grades) for query in queries}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "set"
        beir.write(
            folder,
            documents,
            [{"_id": id, "text": text} for id, text in queries.items()],
            [(q, d, grade) for q, relevant in judged.items() for d, grade in relevant.items()],
        )
        found = tasksets.read(folder, scorers.check, Path(name) / "cache")
        assert found.corpus is not None
        assert list(found.corpus.blocks(len(documents))) == [documents]
    assert {s.id: (s.input, s.target["relevant"]) for s in found.samples} == {
        query: (text, judged[query]) for query, text in queries.items()
    }
