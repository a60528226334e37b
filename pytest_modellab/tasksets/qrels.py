"""Judgements of a retrieval set: ``qrels/<split>.tsv`` of BEIR, TREC, pandas and ``datasets``.

A line has query, document and grade; TREC's has a second column that is not used. A line of column
names may be missing; where there is one, it says which column is which. In ``<split>.jsonl``, as
MTEB has it, a line is an object with these names. Grades are TREC's: whole numbers, relevant from 1
on. A negative grade, which TREC gives to spam, is read as 0.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from pytest_modellab.errors import TaskSetError
from pytest_modellab.tasksets import entries, lines

COLUMNS = ("query-id", "corpus-id", "score")


_NAMES: tuple[frozenset[str], ...] = (
    frozenset({"query-id", "query", "qid", "topic", "topic-id"}),
    frozenset({"corpus-id", "doc-id", "docid", "docno", "document-id", "document", "pid"}),
    frozenset({"score", "grade", "rel", "relevance", "label", "judgment", "judgement"}),
)
"""What the three columns are called, with ``_`` for ``-`` or not."""


_ITERATIONS = ("0", "Q0")
"""What TREC's second column holds, which is not used."""


_GRADE = re.compile(r"([+-]?[0-9]{1,9})(\.0*)?")


_FLOAT = re.compile(r"-?[0-9]+\.0")
"""A number's id in a column that had a gap, as pandas writes it."""


Judgements: TypeAlias = dict[str, dict[str, tuple[int, int]]]
"""Grade and line by query and document."""


def read(path: Path) -> Judgements:
    """Read judgements.

    Raises:
        TaskSetError: the file cannot be read or is malformed; the message names file and line.
    """
    found: Judgements = {}
    for number, columns in _objects(path) if path.suffix == ".jsonl" else _table(path):
        query, document, grade = _judgement(f"{path}:{number}", columns)
        _keep(found.setdefault(query, {}), path, query, document, (grade, number))
    if not found:
        raise TaskSetError(f"{path}: holds no judgement")
    return found


def matched(
    path: Path, judgements: Judgements, queries: Container[str], documents: Container[str]
) -> Judgements:
    """Return judgements by the ids that there are: ``3.0`` is ``3`` where only that is one.

    Args:
        path: of the judgements, for messages.
        judgements: from :func:`read`.
        queries: ids of queries.
        documents: ids of documents, at least the judged ones in either writing.

    Raises:
        TaskSetError: both writings are judged, and not alike.
    """
    found: Judgements = {}
    for query, judged in judgements.items():
        known = found.setdefault(_id(query, queries), {})
        for document, grade in judged.items():
            _keep(known, path, query, _id(document, documents), grade)
    return found


def whole(id: str) -> str:
    """Return the id that a number in a column with gaps had before pandas made a float of it."""
    return id[:-2] if _FLOAT.fullmatch(id) else id


def _id(id: str, known: Container[str]) -> str:
    return whole(id) if id not in known and whole(id) in known else id


def _keep(
    known: dict[str, tuple[int, int]], path: Path, query: str, document: str, new: tuple[int, int]
) -> None:
    """Add grade and line of a document, and refuse another grade than it has already."""
    (grade, number), (before, other) = new, known.setdefault(document, new)
    if before != grade:
        raise TaskSetError(
            f"{path}:{number}: query {query!r} and document {document!r} have the grade {grade} "
            f"here and {before} on line {other}; remove one"
        )


def _table(path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield each line's number and its columns, in the usual order where their names are given."""
    text = lines.read_file(path, path.parent.parent)
    rows = csv.reader(io.StringIO(text, newline=""), "excel-tab", strict=True)
    first, order, count = True, None, 0
    try:
        for row in rows:
            columns = row if len(row) > 1 else " ".join(row).split()
            while columns and not columns[-1].strip():
                columns.pop()
            if not columns:
                continue
            where = f"{path}:{rows.line_num}"
            if first and _named(columns):
                order, count = _order(where, columns), len(columns)
            elif order is not None and len(columns) == count:
                yield rows.line_num, [columns[place] for place in order]
            elif len(columns) == 4 and (order is None or columns[1] in _ITERATIONS):
                yield rows.line_num, [columns[0], *columns[2:]]
            elif order is not None:
                raise TaskSetError(
                    f"{where}: holds {len(columns)} columns, but the first line names {count}; "
                    "give both as many"
                )
            else:
                yield rows.line_num, columns
            first = False
    except csv.Error as error:
        raise TaskSetError(f"{path}:{rows.line_num}: malformed: {error}") from error


def _objects(path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield each line's number and its columns, in the usual order."""
    for where, _, data in lines.objects(path):
        keys = list(data)
        values = [str(entries.text(data[keys[place]])) for place in _order(where, keys)]
        yield int(where.rpartition(":")[2]), values


def _name(column: str) -> str:
    return column.strip().lower().replace("_", "-")


def _named(columns: Sequence[str]) -> bool:
    """Whether a line is the one of column names."""
    return any(_name(columns[-1]) in names for names in _NAMES)


def _order(where: str, columns: Sequence[str]) -> Sequence[int]:
    """Return where query, document and grade stand."""
    found = [[i for i, c in enumerate(columns) if _name(c) in names] for names in _NAMES]
    if len(columns) == len(COLUMNS) and not found[0] and not found[1]:
        return range(len(COLUMNS))  # in words of its own, so in the usual order
    if not all(len(places) == 1 for places in found):
        raise TaskSetError(
            f"{where}: the columns are called {', '.join(map(repr, columns))}; call them "
            f"{', '.join(COLUMNS)}"
        )
    return [places[0] for places in found]


def _judgement(where: str, columns: Sequence[str]) -> tuple[str, str, int]:
    if len(columns) != 3:
        raise TaskSetError(
            f"{where}: holds {len(columns)} columns, expected {', '.join(COLUMNS)}, or TREC's four"
        )
    query, document, grade = columns
    match = _GRADE.fullmatch(grade.strip())
    if match is None:
        raise TaskSetError(
            f"{where}: score: {grade!r} is not a whole number of at most 9 digits; TREC's grades "
            "are: 0 for not relevant, 1 and more for relevant"
        )
    return query, document, max(int(match[1]), 0)
