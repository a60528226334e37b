"""A review in words, a line a change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pytest_modellab.review.changes import Change
from pytest_modellab.review.review import Review
from pytest_modellab.visible import visible

MARKS = {"weaker": "WEAKER", "unweighed": "CANNOT BE WEIGHED", "changed": "changed"}


SHOWN = 3
"""How many changes a session's line names."""


_BAR, _AGREED = "bar: ", "bar: acknowledged: "


def lines(found: Review) -> Iterator[str]:
    """Say what a review found, weaker ones first, and what would acknowledge them."""
    yield f"against {found.against.short} ({found.against.how})"
    for change in found.changes:
        yield line(change, found.acknowledged.get(change.key) if change.weakens else None)
    for key in found.stale:
        yield f"stale acknowledgement, fits no change and may be deleted: {toml(key)}"
    yield from found.notes
    if not found.weaker:
        yield "nothing became weaker" + (" unacknowledged" if found.acknowledged else "")
        return
    count = len(found.weaker)
    rules = "1 rule" if count == 1 else f"{count} rules"
    yield f"{rules} became weaker. Where that is agreed, say why:"
    yield "[acknowledged]  # in modellab.toml"
    yield from (reason(change) for change in found.weaker)


def line(change: Change, why: str | None = None) -> str:
    """Say one change: what, from, to, what it means and where."""
    mark = MARKS.get(change.kind, change.kind)
    if why is not None:
        mark = f"acknowledged ({mark.lower()})"
    note = f" ({change.note})" if change.note else ""
    where = f" [{change.where}]" if change.where else ""
    said = f"; because: {why}" if why is not None else ""
    return f"{mark}: {change.what}: {change.old} -> {change.new}{note}{said}{where}"


def accepted(found: Review, changes: Sequence[Change], config: str, command: str) -> Iterator[str]:
    """Say, after runs were accepted, which of them a review asks a reason for, and how to give it.

    Args:
        found: the review.
        changes: those of the accepted runs that nobody has acknowledged.
        config: path of ``modellab.toml``, as it is shown.
        command: the one that accepted them.
    """
    if not changes:
        return
    count = "1 accepted run is" if len(changes) == 1 else f"{len(changes)} rules are"
    yield (
        f"{count} weaker than at {found.against.short} ({found.against.how}). modellab review, and "
        f"so the check in CI, fails until it is said why: {visible(command)} --because REASON, or "
        f"add to {visible(config)}:"
    )
    yield "[acknowledged]"
    yield from (reason(change) for change in changes)


def reason(change: Change, why: str = "agreed with … because …") -> str:
    """Return the line of ``[acknowledged]`` that gives a change's reason."""
    return f"{toml(change.key)} = {toml(why)}"


def toml(text: str) -> str:
    """Quote a text as TOML has it."""
    escaped = visible(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def session(found: Review, option: str = "") -> Iterator[str]:
    """Say in a session's report what became weaker, and what was agreed to.

    Args:
        found: what the review found.
        option: by which a command names the configuration, where it has to.
    """
    if found.weaker:
        count = len(found.weaker)
        rules = "1 rule is" if count == 1 else f"{count} rules are"
        keys = [change.key for change in found.weaker[:SHOWN]]
        more = [f"and {count - SHOWN} more"] if count > SHOWN else []
        yield (
            f"{_BAR}{rules} weaker than at {found.against.short} ({found.against.how}): "
            f"{'; '.join([*keys, *more])}; modellab review{option} fails until it is said why"
        )
    for key, why in found.acknowledged.items():
        yield f"{_AGREED}{key}: {why}"


def review_asks(notes: Iterable[str]) -> bool:
    """Whether a session's notes say that something became weaker that nobody gave a reason for."""
    return any(one.startswith(_BAR) and not one.startswith(_AGREED) for one in notes)
