"""A review in words, a line a change."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_modellab.review.changes import Change
from pytest_modellab.review.review import Review
from pytest_modellab.visible import visible

MARKS = {"weaker": "WEAKER", "unweighed": "CANNOT BE WEIGHED", "changed": "changed"}


SHOWN = 3
"""How many changes a session's line names."""


def lines(found: Review) -> Iterator[str]:
    """Say what a review found, weaker ones first, and what would acknowledge them."""
    yield f"against {found.against.short} ({found.against.how})"
    for change in found.changes:
        yield line(change, found.acknowledged.get(change.key) if change.weakens else None)
    for key in found.stale:
        yield f"stale acknowledgement, fits no change: {toml(key)}"
    yield from found.notes
    if not found.weaker:
        yield "nothing became weaker" + (" unacknowledged" if found.acknowledged else "")
        return
    count = len(found.weaker)
    rules = "1 rule" if count == 1 else f"{count} rules"
    yield f"{rules} became weaker. Where that is agreed, say why:"
    yield "[acknowledged]  # in modellab.toml"
    for change in found.weaker:
        yield f'{toml(change.key)} = "agreed with … because …"'


def line(change: Change, reason: str | None = None) -> str:
    """Say one change: what, from, to, what it means and where."""
    mark = MARKS.get(change.kind, change.kind)
    if reason is not None:
        mark = f"acknowledged ({mark.lower()})"
    note = f" ({change.note})" if change.note else ""
    where = f" [{change.where}]" if change.where else ""
    said = f"; because: {reason}" if reason is not None else ""
    return f"{mark}: {change.what}: {change.old} -> {change.new}{note}{said}{where}"


def toml(text: str) -> str:
    """Quote a key as TOML has it."""
    escaped = visible(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def session(found: Review) -> Iterator[str]:
    """Say in a session's report what became weaker, and what was agreed to."""
    if found.weaker:
        count = len(found.weaker)
        rules = "1 rule is" if count == 1 else f"{count} rules are"
        keys = [change.key for change in found.weaker[:SHOWN]]
        more = [f"and {count - SHOWN} more"] if count > SHOWN else []
        yield (
            f"bar: {rules} weaker than at {found.against.short} ({found.against.how}): "
            f"{'; '.join([*keys, *more])}; modellab review shows them"
        )
    for key, reason in found.acknowledged.items():
        yield f"bar: acknowledged: {key}: {reason}"
