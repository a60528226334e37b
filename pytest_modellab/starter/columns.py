"""Which column of a table is which key of a sample, by the names that people give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_modellab.errors import TaskSetError

NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "sample_id", "question_id", "item_id", "task_id", "doc_id"),
    "input": ("input", "question", "prompt", "query", "instruction", "text"),
    "target": (
        "target",
        "answer",
        "expected",
        "expected_output",
        "ideal",
        "reference",
        "ground_truth",
        "gold",
        "label",
        "output",
    ),
    "capability": ("capability", "category", "subject", "topic", "skill", "tag"),
    "difficulty": ("difficulty", "level"),
    "choices": ("choices", "options"),
    "scorer": ("scorer",),
    "max_tokens": ("max_tokens",),
    "cluster": ("cluster", "group"),
}
"""Key of a sample → names that its column may have, the first that is there; case counts not."""


KNOWN = frozenset(name for names in NAMES.values() for name in names)


def chosen(where: str, columns: Iterable[str]) -> dict[str, str]:
    """Choose the column of each key.

    Args:
        where: the file, for messages.
        columns: their names.

    Returns:
        Key → column, of those that are there.

    Raises:
        TaskSetError: there is none for the input or for the target.
    """
    there: dict[str, str] = {}
    for column in columns:
        there.setdefault(column.strip().casefold().replace(" ", "_"), column)
    found = {
        key: there[name]
        for key, names in NAMES.items()
        if (name := next((name for name in names if name in there), None)) is not None
    }
    for key, what in (("input", "what is asked"), ("target", "what is right")):
        if key not in found:
            names = ", ".join(NAMES[key][1:])
            has = ", ".join(repr(column) for column in list(there.values())[:12]) or "none"
            raise TaskSetError(
                f"{where}: no column says {what}; call one of them {key!r} (or {names}). "
                f"Columns here: {has}"
            )
    return found


def said(found: Mapping[str, str], columns: Iterable[str]) -> str:
    """Say which column was taken for what, and which were left out."""
    taken = [column if column == key else f"{column!r} as {key}" for key, column in found.items()]
    left = [column for column in columns if column and column not in found.values()]
    more = f"; left out: {', '.join(map(repr, left[:8]))}" if left else ""
    return f"columns: {', '.join(taken)}{more}"
