"""Retrieval in BEIR's layout (Thakur et al. 2021): corpus, queries and judgements.

- ``corpus.jsonl``: ``{"_id", "text", "title"?, "metadata"?}`` a line, one document each;
- ``queries.jsonl``: ``{"_id", "text", "metadata"?}`` a line; of ``metadata``, ``capability``,
  ``difficulty`` and ``cluster`` become those of the sample, ``exclude`` lists documents that the
  ranking of this query leaves out, and ``answers`` is what a reply is compared with;
- ``qrels/<split>.tsv``: see :mod:`.qrels`.

A document without a judgement is not relevant. Published sets have holes, which are noted and read
as trec_eval does: a judged document that the corpus lacks stays relevant, and is never found; a
judged query that the set lacks is left out.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import io
import itertools
from collections.abc import Callable, Container, Iterable, Mapping, Sized
from pathlib import Path
from typing import Any

from pytest_modellab.errors import TaskSetError, near_misses
from pytest_modellab.records.hashing import canonical_json
from pytest_modellab.records.setting import OPTIONAL, Setting
from pytest_modellab.records.tasks import Document, Sample, TaskSet
from pytest_modellab.store import atomic
from pytest_modellab.tasksets import corpus, entries, header, lines, qrels

CORPUS, QUERIES, JUDGEMENTS = "corpus.jsonl", "queries.jsonl", "qrels"


METRICS = ("ndcg@10", "recall@10", "recall@100", "precision@10", "mrr@10", "map@100")
"""What is computed where the header says nothing; the first is the score."""


CAPABILITY, DIFFICULTY = "retrieval", "medium"
"""Of a query that does not say."""


SHOWN = 10
"""Most queries without a relevant document that a description names."""


SEARCHED = 100_000
"""Documents that near misses of an id are looked for among."""


_REQUIRED: lines.Types = {"_id": str, "text": str}


_OPTIONAL: lines.Types = {"metadata": dict}


_METADATA: lines.Types = {"capability": str, "difficulty": str, "cluster": str, "exclude": list}


SETTINGS = {
    "metrics": Setting(
        list,
        list(METRICS),
        f'a list of names such as ["{METRICS[0]}"]',
        lambda names: names and all(isinstance(name, str) and name for name in names),
        items=object,
    ),
    "scorer": Setting(str, OPTIONAL),
    "split": Setting(str, "test"),
    "max_tokens": Setting(int, 0),
    "ignore_identical_ids": Setting(
        object,
        False,
        check=lambda value: isinstance(value, bool),
        wrong="{value!r} is neither true nor false",
    ),
}


@dataclasses.dataclass(frozen=True)
class BeirSettings:
    """What a header says beside name, version, description and capabilities.

    Attributes:
        metrics: computed of every ranking; the first is the score.
        scorer: another scorer of the samples, or the first metric.
        split: names the file of judgements.
        max_tokens: most tokens of a reply, where the scorer is none of the metrics; else 0.
        ignore_identical_ids: True where a document of the query's own id is left out of its
            ranking, as BEIR does for ArguAna and Quora.
    """

    metrics: tuple[str, ...] = METRICS
    scorer: str = METRICS[0]
    split: str = "test"
    max_tokens: int = 0
    ignore_identical_ids: bool = False

    @property
    def generates(self) -> bool:
        """Whether a reply is scored, and not the ranking."""
        return self.scorer not in self.metrics


def read(
    folder: Path,
    source: Path,
    declared: dict[str, Any],
    check: Callable[[Sample], str | None],
    cache: Path,
) -> TaskSet:
    """Read a task set of one sample for each query that has a relevant document.

    Args:
        folder: the task set's.
        source: where corpus, queries and judgements lie.
        declared: the header, from :func:`header.read`.
        check: says what is wrong with a sample beyond its form (its scorer's view), or None.
        cache: root of the store, for the corpus's index.

    Returns:
        The task set in the order of the queries' file. Queries without a judgement belong to
        another split and are left out silently; those whose judgements are all 0 are named in the
        description.

    Raises:
        TaskSetError: a file is missing or malformed; the message names file, line and key.
    """
    place = folder / header.NAME
    settings = _settings(place, declared)
    documents = corpus.read(_file(source, CORPUS), cache)
    judgements_path = _judgements_path(source, settings.split)
    judgements = qrels.read(judgements_path)
    queries_path = _file(source, QUERIES)
    places, queries = _queries(queries_path, {*judgements, *map(qrels.whole, judgements)})
    excluded = {
        query: tuple(data.get("metadata", {}).get("exclude", ()))
        for query, (_, data) in queries.items()
    }
    named = {document for judged in judgements.values() for document in judged}
    rows = documents.rows(named.union(map(qrels.whole, named), *excluded.values()))
    judgements = qrels.matched(judgements_path, judgements, places, rows)
    unasked = {
        query: min(number for _, number in judged.values())
        for query, judged in judgements.items()
        if query not in places
    }
    numbers = {d: number for judged in judgements.values() for d, (_, number) in judged.items()}
    lacking = {document: number for document, number in numbers.items() if document not in rows}
    _check_holes(judgements_path, unasked, judgements, "query", queries_path, places)
    _check_holes(judgements_path, lacking, numbers, "document", source / CORPUS, _ids(documents))

    samples: list[Sample] = []
    without: list[str] = []
    for query, (where, data) in queries.items():
        if query not in judgements:  # its id is only another's, written otherwise
            continue
        relevant = {d: grade for d, (grade, _) in judgements[query].items() if grade}
        for document in excluded[query]:
            if document not in rows:
                raise TaskSetError(
                    f"{where}: metadata.exclude: document {document!r} is not in "
                    f"{source / CORPUS}{_close(document, _ids(documents))}"
                )
        sample = _sample(where, data, relevant, settings)
        for document in sample.metadata.get("exclude", ()):
            if document in relevant:
                raise TaskSetError(
                    f"{where}: document {document!r} is left out of the ranking, but judged "
                    f"relevant on line {judgements[query][document][1]} of {judgements_path}; "
                    "choose one"
                )
        if not relevant:
            without.append(query)
            continue
        if problem := check(sample):
            raise TaskSetError(f"{where}: sample {query!r}: {problem}")
        samples.append(sample)
    if not samples:
        raise TaskSetError(
            f"{judgements_path}: no query has a relevant document, one of grade 1 or higher"
        )
    _check_metrics(place, settings, samples[0], check)
    return header.task_set(
        folder,
        declared,
        samples,
        QUERIES,
        note=_note(
            (
                len(without),
                without,
                "query without a relevant document is left out",
                "queries without a relevant document are left out",
            ),
            (
                len(unasked),
                unasked,
                f"judged query is not in {QUERIES} and left out",
                f"judged queries are not in {QUERIES} and left out",
            ),
            (
                len(lacking),
                lacking,
                f"judged document is not in {CORPUS}: it counts, as in trec_eval, and is not found",
                f"judged documents are not in {CORPUS}: they count, as in trec_eval, and are not "
                "found",
            ),
            (*documents.empty, "document is empty", "documents are empty"),
        ),
        corpus=documents,
        metrics=tuple(name for name in settings.metrics if name != settings.scorer),
    )


def write(
    folder: Path,
    documents: Iterable[Document],
    queries: Iterable[Mapping[str, Any]],
    judgements: Iterable[tuple[str, str, int]],
    split: str = "test",
) -> None:
    """Write the three files of a set that fits into memory.

    Args:
        folder: destination.
        documents: the corpus, in order.
        queries: ``{"_id", "text", "metadata"?}`` each.
        judgements: query id, document id and grade.
        split: names the file of judgements.

    Raises:
        OSError: the folder cannot be written.
    """
    entries = ({"_id": d.id, "title": d.title, "text": d.text} for d in documents)
    for name, objects in ((CORPUS, entries), (QUERIES, queries)):
        atomic.write_text(folder / name, "".join(f"{canonical_json(o)}\n" for o in objects))
    table = io.StringIO()
    csv.writer(table, "excel-tab").writerows([qrels.COLUMNS, *judgements])
    atomic.write_text(folder / JUDGEMENTS / f"{split}.tsv", table.getvalue())


def _settings(place: Path, declared: Mapping[str, Any]) -> BeirSettings:
    found = header.settings(SETTINGS, declared, f"{place}: ", others=True)
    metrics = found["metrics"]
    if len(set(metrics)) < len(metrics):
        raise TaskSetError(f"{place}: metrics: {metrics!r} names one twice")
    settings = BeirSettings(**{"scorer": metrics[0], **found, "metrics": tuple(metrics)})
    if settings.generates and settings.max_tokens < 1:
        raise TaskSetError(
            f"{place}: max_tokens: {settings.max_tokens}; the scorer {settings.scorer!r} is none "
            "of the metrics and compares a reply: say how long it may be, at least 1"
        )
    if not settings.generates and settings.max_tokens:
        raise TaskSetError(
            f"{place}: max_tokens: the scorer {settings.scorer!r} generates nothing; leave it out"
        )
    return settings


def _file(source: Path, name: str) -> Path:
    path = source / name
    if not path.is_file():
        others = sorted(p.name for p in source.glob(f"{path.stem}.*"))
        hint = f"; {others[0]} is not read, write it as {name}" if others else ""
        raise TaskSetError(
            f"{path}: missing; BEIR's layout has {CORPUS}, {QUERIES} and {JUDGEMENTS}/<split>.tsv"
            f"{hint}"
        )
    lines.check_inside(path, source)
    return path


def _judgements_path(source: Path, split: str) -> Path:
    path = source / JUDGEMENTS / f"{split}.tsv"
    if not path.is_file() and (objects := path.with_suffix(".jsonl")).is_file():
        return objects
    if not path.is_file():
        there = [p.stem for p in (source / JUDGEMENTS).glob("*.tsv")]
        others = sorted(p.name for p in (source / JUDGEMENTS).glob(f"{split}.*"))
        hint = near_misses(split, there) if there else "there is no split at all"
        if others:
            hint = f"{others[0]} is not read; write it as tab-separated {', '.join(qrels.COLUMNS)}"
        raise TaskSetError(f"{path}: missing; split: {hint}")
    return path


def _check_holes(
    judgements_path: Path,
    holes: Mapping[str, int],
    judged: Sized,
    what: str,
    path: Path,
    known: Iterable[str],
) -> None:
    """Refuse judgements that are of another set: more than half of them fit nothing in this one."""
    if 2 * len(holes) <= len(judged):
        return
    id, number = next(iter(holes.items()))
    plural = "queries" if what == "query" else "documents"
    raise TaskSetError(
        f"{judgements_path}:{number}: {what} {id!r} is not in {path}{_close(id, known)}; "
        f"{len(holes)} of {len(judged)} judged {plural} are not: take all three files from one set"
    )


def _queries(
    path: Path, judged: Container[str]
) -> tuple[dict[str, str], dict[str, tuple[str, dict[str, Any]]]]:
    """Places of all queries, place and line of the judged ones."""
    places: dict[str, str] = {}
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for where, _, raw in lines.objects(path):
        data = entries.plain(where, raw, entries.QUERY)
        lines.check_types(where, data, _REQUIRED, _OPTIONAL)
        lines.check_filled(where, data, *_REQUIRED)
        lines.check_id(where, data, "_id")
        lines.check_sayable(where, data)
        query = data["_id"]
        if query in places:
            line = places[query].rpartition(":")[2]
            raise TaskSetError(
                f"{where}: _id: {query!r} stands on line {line} too; ids must be unique"
            )
        places[query] = where
        if query in judged:
            metadata = _metadata(where, data.get("metadata", {}))
            found[query] = where, {**data, "metadata": metadata}
    return places, found


def _metadata(where: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Check a query's metadata, and leave out those that are null and mean something here."""
    at = f"{where}: metadata"
    known = (*_METADATA, "answers")
    found = {k: v for k, v in metadata.items() if v is not None or k not in known}
    lines.check_types(at, found, {}, _METADATA)
    if "capability" in found:
        lines.check_filled(at, found, "capability")
    lines.check_difficulty(at, found.get("difficulty", DIFFICULTY))
    if "exclude" in found:
        found["exclude"] = [entries.text(document) for document in found["exclude"]]
        if not all(isinstance(document, str) for document in found["exclude"]):
            raise TaskSetError(
                f"{at}.exclude: {metadata['exclude']!r} is not a list of document ids"
            )
    return found


def _sample(
    where: str, data: Mapping[str, Any], relevant: Mapping[str, int], settings: BeirSettings
) -> Sample:
    metadata = dict(data.get("metadata", {}))
    target: dict[str, Any] = {"relevant": dict(relevant)}
    if settings.generates:
        target["answers"] = _answers(where, metadata, settings.scorer)
    if settings.ignore_identical_ids:
        metadata["exclude"] = [*metadata.get("exclude", ()), data["_id"]]
    return Sample(
        id=data["_id"],
        input=data["text"],
        target=target,
        scorer=settings.scorer,
        capability=metadata.pop("capability", CAPABILITY),
        difficulty=metadata.pop("difficulty", DIFFICULTY),
        cluster=metadata.pop("cluster", None),
        max_tokens=settings.max_tokens,
        metadata=metadata,
    )


def _answers(where: str, metadata: dict[str, Any], scorer: str) -> list[str]:
    answers = metadata.pop("answers", None)
    if not isinstance(answers, list) or not all(isinstance(a, str) and a for a in answers):
        raise TaskSetError(
            f"{where}: metadata.answers: {answers!r}; the scorer {scorer!r} needs a list of texts"
        )
    return answers


def _check_metrics(
    place: Path, settings: BeirSettings, sample: Sample, check: Callable[[Sample], str | None]
) -> None:
    """Ask each metric's scorer about a sample, as only samples' own scorers are asked else."""
    target = {"relevant": sample.target["relevant"]}
    for name in settings.metrics:
        ranked = dataclasses.replace(sample, scorer=name, target=target, max_tokens=0)
        if problem := check(ranked):
            raise TaskSetError(f"{place}: metrics: {problem}")


def _note(*holes: tuple[int, Iterable[str], str, str]) -> str:
    """Say what is left out, and which holes a set has.

    Args:
        *holes: how many there are, at least the first ids, and a sentence of one and of several.
    """
    found = []
    for count, ids, one, several in holes:
        if count:
            shown = ", ".join(itertools.islice(ids, SHOWN))
            more = f" and {count - SHOWN} more" if count > SHOWN else ""
            found.append(f"{count} {one if count == 1 else several}: {shown}{more}.")
    return " ".join(found)


def _ids(documents: corpus.FileCorpus) -> Iterable[str]:
    for block in documents.blocks(1000):
        for document in block:
            yield document.id


def _close(id: str, known: Iterable[str]) -> str:
    """A clause that names the nearest id; unlike :func:`near_misses` without all that there are."""
    close = difflib.get_close_matches(id, itertools.islice(known, SEARCHED), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
