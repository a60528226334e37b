"""One line of a corpus or of queries, in the ways that pandas and ``datasets`` write it.

What can mean one thing only is read: null and NaN where a value is missing, ids that are numbers
(``3``, and ``3.0`` where a column had a gap), and an id that is called by another name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.errors import TaskSetError

DOCUMENT = ("id", "doc_id", "docid", "docno", "corpus-id", "corpus_id")
"""What the id of a document is called where there is no ``_id``."""


QUERY = ("id", "query_id", "qid", "query-id", "topic_id")
"""What the id of a query is called where there is no ``_id``."""


_EXACT = 2**53
"""Below it, a float that is whole is that number."""


def plain(where: str, data: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return a line as BEIR's own files have it.

    Args:
        where: file and line, for messages.
        data: the line.
        names: what its id may be called: :data:`DOCUMENT` or :data:`QUERY`.

    Returns:
        The line with ``_id`` as a text, and without what is null.

    Raises:
        TaskSetError: two names could stand for the id.
    """
    found = {key: value for key, value in data.items() if not missing(value)}
    if "_id" not in found:
        there = [name for name in names if name in found]
        if len({repr(text(found[name])) for name in there}) > 1:
            raise TaskSetError(
                f"{where}: _id: missing, and {' and '.join(map(repr, there))} differ; name the one "
                "that the judgements hold _id"
            )
        if there:
            found["_id"] = found[there[0]]
    for key in ("_id", "title", "text"):
        if key in found:
            found[key] = text(found[key])
    if isinstance(metadata := found.get("metadata"), dict):
        found["metadata"] = {
            key: None if missing(value) else value for key, value in metadata.items()
        }
    return found


def missing(value: object) -> bool:
    """Whether a value says that there is none: null, or the NaN of a column with gaps."""
    return value is None or value != value


def text(value: object) -> object:
    """Return a whole number as a text, and all else as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    return str(value) if type(value) is int else value
