"""What a comment shows of what was blocked: some replies, what to type, and the rest folded."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.reports.session import Called, deciding
from pytest_modellab.reports.text import steps
from pytest_modellab.reports.text.folded import details
from pytest_modellab.reports.text.table import (
    code,
    escape,
    markdown_flips,
    render_markdown,
    title,
)
from pytest_modellab.reports.words import plural
from pytest_modellab.visible import LINE

SHOWN = 3
"""Flipped samples that stand unfolded: with what was asked and expected, and both replies."""


NOTES = 3
"""Of what else differs between the two runs; the rest is folded."""


def lines(
    found: Sequence[Comparison], max_flips: int, called: Called, head: str = "Blocked"
) -> list[str]:
    """Show what was blocked, or fell, for somebody who has not seen the terminal.

    Args:
        found: what was blocked.
        max_flips: most flipped samples of one.
        called: what the commands have to add.
        head: what it stands under.

    Returns:
        The first replies of what fell furthest and the commands that show more, where it is one
        variant; then each with its figures and flipped samples, folded. Nothing where nothing was
        blocked.
    """
    if not found:
        return []
    told = ["", f"### {head}"]
    if len({one.candidate for one in found}) > 1:
        return [
            *told,
            *(row for one in found for row in _folded(one, max_flips, _commands(one, called))),
        ]
    worst = max(found, key=_fell)
    told += [*_replies(worst, min(max_flips, SHOWN)), "", *_commands(worst, called)]
    told += [f"- {escape(note)}" for note in worst.notes[:NOTES]]
    return [*told, *folded(found, max_flips)]


def folded(found: Sequence[Comparison], max_flips: int) -> list[str]:
    """Fold each comparison's figures, flipped samples and notes.

    Args:
        found: the comparisons.
        max_flips: most flipped samples of one.
    """
    return [row for one in found for row in _folded(one, max_flips)]


def _folded(comparison: Comparison, max_flips: int, after: Sequence[str] = ()) -> list[str]:
    shown = [render_markdown(comparison, max_flips).rstrip("\n")]
    return details(escape(title(comparison)), [*shown, *(["", *after] if after else [])])


def _commands(comparison: Comparison, called: Called) -> list[str]:
    """What it was compared with, how its test runs again, and what shows both replies."""
    test = f"{called.root}/{comparison.test}" if called.root else comparison.test
    return [
        f"- {name}: {escape(text) if name == steps.REFERENCE else code(text, LINE)}"
        for name, text in steps.pairs(comparison, test, called.option)
    ]


def _fell(comparison: Comparison) -> tuple[bool, float]:
    """How far it fell; what has no replies to show comes after all that has."""
    figure = deciding(comparison)
    drop = 0.0 if figure is None or figure.distance else figure.drop
    return bool(comparison.flips), drop


def _replies(comparison: Comparison, most: int) -> list[str]:
    shown = [flip for flip in comparison.flips if flip.lost][:most]
    if not shown:
        return []
    lost, _ = comparison.moved
    of = plural(lost, "sample")
    head = f"{len(shown)} of the {of} that" if lost > len(shown) else of
    return ["", f"{head} got worse:", "", *markdown_flips(comparison, shown)]
