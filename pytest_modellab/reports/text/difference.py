"""Two runs side by side in a terminal, and as plain lines where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_modellab.judging.difference import Difference, Pair
from pytest_modellab.judging.scores import expected
from pytest_modellab.records.graded import PROBABILITY
from pytest_modellab.records.media import PLACE
from pytest_modellab.records.runs import SampleResult
from pytest_modellab.records.tasks import Sample
from pytest_modellab.reports import replies
from pytest_modellab.reports.words import number, plural
from pytest_modellab.visible import line

if TYPE_CHECKING:
    from rich.text import Text

REPLY = 600
"""Characters of a reply, around its first difference."""


ASKED = 400
"""Characters of a question."""


COLUMNS = 90
"""A terminal that is narrower shows one reply below the other."""


_COLOURS = {"worse": ("green", "red"), "better": ("red", "green"), "same": ("cyan", "cyan")}


MARKS = {"worse": "▼", "better": "▲", "same": "="}


def head(found: Difference) -> list[str]:
    """Say which runs these are, and what moved."""
    lines = [
        f"{found.task_set}, {plural(len(found.pairs), 'sample')}",
        f"A  {found.before}",
        f"B  {found.after}",
        f"{found.count('worse')} worse, {found.count('better')} better, {found.count('same')} with "
        "the same score",
    ]
    if found.left_out:
        lines.append(
            f"note: {plural(found.left_out, 'sample')} of today's task set left out, which A or B "
            "was not asked like this"
        )
    if found.removed:
        lines.append(
            f"note: {plural(found.removed, 'sample')} of A or B left out, which today's task set "
            "does not have"
        )
    for name, side in (("A", found.before), ("B", found.after)):
        if side.run.task_set["version"] != found.version:
            lines.append(
                f"note: {name} was asked version {side.run.task_set['version']} of the task set; "
                f"today's is {found.version}"
            )
    return lines


def asked(sample: Sample) -> str:
    """What a sample asks."""
    return sample.input.replace(PLACE, " ").strip() or "(nothing but what it shows)"


def scored(result: SampleResult) -> str:
    """A result's score, and what it gave to the right option where that is known."""
    score = "no answer" if result.score is None else f"score {number(result.score)}"
    sure = result.metrics.get(PROBABILITY)
    return score if sure is None else f"{score}, right option {sure:.0%}"


def title(pair: Pair) -> str:
    """``▼ worse  arithmetic-easy-001  arithmetic/easy``."""
    sample = pair.sample
    return f"{MARKS[pair.moved]} {pair.moved}  {sample.id}  {sample.bucket}"


def plain(pair: Pair) -> list[str]:
    """A sample as lines, what differs between marks."""
    first, second = replies.marked(pair.before.output, pair.after.output)
    return [
        line(title(pair)),
        f"  asked     {line(asked(pair.sample), ASKED)}",
        f"  expected  {line(expected(pair.sample) or '(see the task set)', ASKED)}",
        f"  A         {line(replies.plain(first, REPLY, replies.GONE))}  ({scored(pair.before)})",
        f"  B         {line(replies.plain(second, REPLY, replies.NEW))}  ({scored(pair.after)})",
    ]


def show(pairs: Sequence[Pair]) -> None:
    """Print samples to a terminal: in two columns with colours, as narrow as it may be."""
    from rich.table import Table
    from rich.text import Text

    from pytest_modellab.reports.text import grid

    console = grid.console()
    coloured = console.color_system is not None and not console.no_color
    for pair in pairs:
        console.print()
        colour = {"worse": "bold red", "better": "bold green"}.get(pair.moved, "bold")
        console.print(Text(line(title(pair)), colour))
        console.print(Text(f"asked     {line(asked(pair.sample), ASKED)}"))
        console.print(
            Text(f"expected  {line(expected(pair.sample) or '(see the task set)', ASKED)}")
        )
        cells = _cells(pair, coloured=coloured)
        if console.width < COLUMNS:
            console.print(*cells, sep="\n")
            continue
        table = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, expand=True
        )
        for _ in "AB":
            table.add_column(ratio=1, overflow="fold")  # of a long word, too, all is shown
        table.add_row(*cells)
        console.print(table)


def _cells(pair: Pair, *, coloured: bool) -> Iterator[Text]:
    from rich.text import Text

    marked = replies.marked(pair.before.output, pair.after.output)
    colours = _COLOURS[pair.moved]  # of the better reply green, whichever side it stands on
    sides = (
        ("A", pair.before, replies.GONE, colours[0]),
        ("B", pair.after, replies.NEW, colours[1]),
    )
    for pieces, (name, result, marks, colour) in zip(marked, sides, strict=True):
        cell = Text(f"{name}  {scored(result)}\n", style="")
        if coloured:
            for piece in replies.shown(pieces, REPLY):
                cell.append(line(piece.text), f"bold {colour}" if piece.changed else "")
        else:
            cell.append(line(replies.plain(pieces, REPLY, marks)))
        yield cell
