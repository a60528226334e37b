"""help_centre_v1: the files are what the generator makes, and every query has a right answer.

The generator is loaded from its folder, as its script does.
"""

from __future__ import annotations

import importlib
import json
import random
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[3] / "suites" / "tasks" / "help_centre_v1"
QA = FOLDER.parent / "help_centre_qa_v1" / "task_set.toml"
DIFFICULTIES = ("easy", "medium", "hard")


def records(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def grades(split: str) -> dict[str, dict[str, int]]:
    head, *rows = (FOLDER / "qrels" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()
    assert head == "query-id\tcorpus-id\tscore"
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        query, document, grade = row.split("\t")
        found.setdefault(query, {})[document] = int(grade)
    return found


def header(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def corpus() -> dict[str, dict[str, str]]:
    return {record["_id"]: record for record in records("corpus.jsonl")}


@pytest.fixture(scope="module")
def queries() -> dict[str, dict[str, Any]]:
    return {record["_id"]: record for record in records("queries.jsonl")}


@pytest.fixture(scope="module")
def generator() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("centre_generator")


@pytest.fixture(scope="module")
def made(generator: Any) -> dict[str, Any]:
    """The generator's queries by id, which know their hard negatives and their evidence."""
    _, queries = generator.made(header(FOLDER / "task_set.toml")["seed"])
    return dict(queries)


def of(made: dict[str, Any], *capabilities: str) -> list[Any]:
    found = [query for query in made.values() if query.capability in capabilities]
    assert len(found) == 36 * len(capabilities)
    return found


def right(relevant: dict[str, int]) -> str:
    """The one document that answers the query."""
    (document,) = (id for id, grade in relevant.items() if grade == 2)
    return document


def places(needle: str, text: str) -> list[int]:
    """Where a text stands as whole words."""
    return [found.start() for found in re.finditer(rf"(?<!\w){re.escape(needle)}(?!\w)", text)]


def test_the_files_are_what_the_generator_makes() -> None:
    command = [sys.executable, str(FOLDER / "generate.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    names = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv", "qrels/qa.tsv")
    assert done.stdout == "".join(f"{name}: up to date\n" for name in names), done.stderr
    assert done.returncode == 0


def test_every_bucket_has_twelve_queries(queries: dict[str, dict[str, Any]]) -> None:
    buckets = Counter(
        (query["metadata"]["capability"], query["metadata"]["difficulty"])
        for query in queries.values()
    )
    capabilities = header(FOLDER / "task_set.toml")["capabilities"]
    assert len(capabilities) == 7
    assert buckets == {(name, level): 12 for name in capabilities for level in DIFFICULTIES}
    assert list(queries) == [
        f"{name}-{level}-{number:03d}"
        for name in capabilities
        for level in DIFFICULTIES
        for number in range(1, 13)
    ]


def test_every_query_has_one_answer_in_the_corpus(
    corpus: dict[str, dict[str, str]], queries: dict[str, dict[str, Any]]
) -> None:
    relevant = grades("test")
    assert list(relevant) == list(queries)
    for documents in relevant.values():
        assert documents.keys() <= corpus.keys()
        assert sorted(documents.values(), reverse=True) in ([2], [2, 1])


def test_no_document_and_no_query_occurs_twice(
    corpus: dict[str, dict[str, str]], queries: dict[str, dict[str, Any]]
) -> None:
    assert len(records("corpus.jsonl")) == len(corpus) == 408
    assert len({one["text"] for one in corpus.values()}) == len(corpus)
    assert len({one["title"] for one in corpus.values()}) == len(corpus)
    assert len({one["text"] for one in queries.values()}) == len(queries) == 252


def test_lengths(corpus: dict[str, dict[str, str]]) -> None:
    for id, document in corpus.items():
        low, high = (350, 600) if id.startswith("handbook") else (60, 120)
        assert low <= len(document["text"].split()) <= high, id
        assert not re.search(r"[{}]|\s\s", document["title"] + document["text"]), id


def test_the_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 700_000


def test_the_texts_are_no_single_template(generator: Any) -> None:
    bank = generator.common.bank
    openings = {
        "guides": [
            line for topic in bank("guides")["topics"].values() for line in topic["openings"]
        ],
        "negation": [line for sheet in bank("negation")["sheet"] for line in sheet["openings"]],
        "entity": [line for family in bank("entity")["family"] for line in family["openings"]],
        "numbers": [family["text"] for family in bank("numbers")["family"]],
        "handbooks": [line for one in bank("handbooks")["handbook"] for line in one["openings"]],
    }
    assert {name: len(set(lines)) for name, lines in openings.items()} == {
        "guides": 30,
        "negation": 36,
        "entity": 24,
        "numbers": 12,
        "handbooks": 12,
    }


def test_every_query_has_hard_negatives(
    corpus: dict[str, dict[str, str]], made: dict[str, Any]
) -> None:
    for id, query in made.items():
        assert set(query.negatives) <= corpus.keys()
        assert not set(query.negatives) & query.relevant.keys()
        least = 2 if query.capability == "paraphrase" else 3
        assert len(set(query.negatives)) == len(query.negatives) >= least, id


def test_only_the_right_document_lacks_what_a_negation_asks_for(
    corpus: dict[str, dict[str, str]], made: dict[str, Any], generator: Any
) -> None:
    features = {
        feature["ask"]: feature
        for sheet in generator.common.bank("negation")["sheet"]
        for feature in sheet["features"]
    }

    def says(id: str, sentences: list[str]) -> bool:
        """A sentence stands in the document, whatever name fills its gap."""
        patterns = [re.escape(line).replace(r"\{m\}", r"[\w ]+?") for line in sentences]
        return any(re.search(pattern, corpus[id]["text"]) for pattern in patterns)

    for query in of(made, "negation"):
        feature = features[query.text]
        document = right(query.relevant)
        assert says(document, feature["no"])
        assert not says(document, feature["yes"])
        for negative in query.negatives:
            assert says(negative, feature["yes"]), (query.text, negative)
            assert not says(negative, feature["no"]), (query.text, negative)
        assert (query.difficulty == "easy") == ("no_title" in feature)
        plain = any(re.search(r"\b(not?|cannot|without)\b", line) for line in feature["no"])
        assert plain == (query.difficulty != "hard"), feature["no"]


def test_documents_of_numbers_differ_in_numbers_only(
    corpus: dict[str, dict[str, str]], made: dict[str, Any]
) -> None:
    def masked(id: str) -> str:
        text = f"{corpus[id]['title']} {corpus[id]['text']}"
        months = "January|February|March|April|May|June|August|October|December"
        return re.sub(rf"[\d.,:]*\d|\b({months})\b", "#", text)

    for query in of(made, "numbers"):
        assert {masked(id) for id in query.negatives} == {masked(right(query.relevant))}


def test_documents_of_entities_differ_in_their_names(
    corpus: dict[str, dict[str, str]], made: dict[str, Any], generator: Any
) -> None:
    families = {one["name"]: one for one in generator.common.bank("entity")["family"]}
    for query in of(made, "entity"):
        family = families[query.cluster]
        names = {
            key: id
            for key in family["keys"]
            for id in (right(query.relevant), *query.negatives)
            if corpus[id]["title"] == family["title"].format(k=key)
        }
        assert len(names) == len(set(names.values())) == 6
        # the longest name that the query holds, as "Corvo 300 S" holds "Corvo 300"
        asked = max((key for key in names if key in query.text), key=len)
        assert names[asked] == right(query.relevant), query.text


def test_evidence_stands_in_the_right_document_only(
    corpus: dict[str, dict[str, str]], made: dict[str, Any]
) -> None:
    for query in of(made, "numbers", "entity"):
        assert places(query.evidence, corpus[right(query.relevant)]["text"]), query.text
        for negative in query.negatives:
            assert not places(query.evidence, corpus[negative]["text"]), (query.text, negative)


def test_details_stand_where_their_depth_says(
    corpus: dict[str, dict[str, str]], made: dict[str, Any]
) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for query in of(made, "long_document"):
        text = corpus[right(query.relevant)]["text"]
        (start,) = places(query.evidence, text)
        before = len(text[:start].split()) / len(text.split())
        depth = query.metadata["depth"]
        assert ("first", "middle", "last")[int(3 * before)] == depth, (query.text, before)
        counts[depth, query.difficulty] += 1
        assert right(query.relevant).split("-")[1] == query.metadata["template"]
        assert not any(answer in query.text for answer in query.answers)
    assert set(counts.values()) == {4}
    assert len(counts) == 9


def test_paraphrases_avoid_the_words_of_their_article(made: dict[str, Any], generator: Any) -> None:
    documents, _ = generator.made(header(FOLDER / "task_set.toml")["seed"])
    by_id = {document.id: document for document in documents}
    for query in of(made, "paraphrase"):
        shared = generator.paraphrase.shared(query.text, by_id[right(query.relevant)])
        allowed = {1, 2} if query.difficulty == "easy" else {0}
        assert len(shared) in allowed, (query.text, shared)


def one_mistake(clean: str, wrong: str) -> bool:
    """`wrong` is `clean` with two letters swapped, one dropped, or one replaced."""
    spots = range(len(clean))
    swapped = {clean[:i] + clean[i + 1 : i + 2] + clean[i] + clean[i + 2 :] for i in spots}
    dropped = {clean[:i] + clean[i + 1 :] for i in spots}
    replaced = (
        len(wrong) == len(clean) and sum(a != b for a, b in zip(clean, wrong, strict=True)) == 1
    )
    return wrong in swapped | dropped or replaced


def test_typos_are_as_many_as_the_difficulty_says(made: dict[str, Any]) -> None:
    for query in of(made, "typo"):
        pairs = zip(query.metadata["clean"].split(), query.text.split(), strict=True)
        wrong = [(clean, word) for clean, word in pairs if clean != word]
        assert len(wrong) == {"easy": 2, "medium": 4, "hard": 6}[query.difficulty], query.text
        assert all(one_mistake(clean, word) for clean, word in wrong), query.text


def test_misspelling_refuses_a_text_that_is_too_short(generator: Any) -> None:
    with pytest.raises(
        ValueError, match="'Why is it wet' has 0 words of four letters, 2 are needed"
    ):
        generator.guides.misspelt(random.Random(1), "Why is it wet", 2)


def test_languages_are_equally_frequent(made: dict[str, Any]) -> None:
    counts = Counter(
        (query.metadata["language"], query.difficulty) for query in of(made, "other_language")
    )
    assert counts == {(name, level): 4 for name in ("de", "es", "fr") for level in DIFFICULTIES}


def test_guides_are_asked_about_once(made: dict[str, Any]) -> None:
    asked = [right(query.relevant) for query in of(made, "typo", "other_language")]
    assert len(set(asked)) == len(asked)


def test_queries_that_share_documents_share_a_cluster(made: dict[str, Any]) -> None:
    groups: dict[str, set[str]] = {}
    for query in of(made, "entity", "negation", "numbers"):
        name = f"{query.capability}-{query.cluster}"
        groups.setdefault(name, set()).add(right(query.relevant))
        assert right(query.relevant).startswith(name)
    assert len(groups) == 36
    assert all(len(documents) == 3 for documents in groups.values())
    alone = of(made, "long_document", "other_language", "paraphrase", "typo")
    assert [query for query in alone if query.cluster is not None] == []
    assert len({right(query.relevant) for query in alone}) == len(alone)


def test_answers_stand_in_the_right_document(
    corpus: dict[str, dict[str, str]], queries: dict[str, dict[str, Any]]
) -> None:
    answered = {id: one for id, one in queries.items() if "answers" in one["metadata"]}
    qa = grades("qa")
    assert list(qa) == list(answered)
    assert qa == {id: documents for id, documents in grades("test").items() if id in answered}
    assert Counter(id.rsplit("-", 1)[0] for id in answered) == {
        f"{name}-{level}": 5
        for name in ("entity", "long_document", "negation", "numbers")
        for level in DIFFICULTIES
    }
    for id, query in answered.items():
        for answer in query["metadata"]["answers"]:
            assert places(answer, corpus[right(qa[id])]["text"]), id
            assert 1 <= len(answer.split()) <= 3, answer


def test_the_question_answering_set_reads_the_same_files() -> None:
    described = header(QA)
    assert (QA.parent / described["layout"]).resolve() == FOLDER
    assert (FOLDER / "qrels" / f"{described['split']}.tsv").is_file()
    assert described["name"] == QA.parent.name
    assert header(FOLDER / "task_set.toml")["name"] == FOLDER.name
