"""One comparison as a table with its flipped samples: plain text and Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pytest_modellab.gate.results import UNBOUNDED, Figures
from pytest_modellab.judging.comparison import Comparison, Flip
from pytest_modellab.reports import measured, media
from pytest_modellab.reports.measured import Measured
from pytest_modellab.reports.session import deciding, subject
from pytest_modellab.reports.text import flipped, grid
from pytest_modellab.reports.text.flipped import (
    clip,
    column_names,
    flip_count,
    flip_scores,
    scored_by,
)
from pytest_modellab.reports.words import number, plural
from pytest_modellab.visible import LINE, line, shortened, visible

_OUTPUT_IN_MARKDOWN = 160


_LEADS = frozenset({"accepted", "blocked", "passed", "undecided"})


# ASCII that may be markup where it stands. Kept: an underscore inside a word, a colon before a
# space (others make addresses and emoji), ">" inside a line, the stop of any word but "www".
_MARKUP = re.compile(
    r"""[!#$&*<@\[\\\]^`{|}~]
    | ^>
    | ^[-+=](?![0-9])
    | (?<![A-Za-z0-9])_ | _(?![A-Za-z0-9])
    | :(?![ ]|$)
    | (?<=www)\.""",
    re.VERBOSE,
)


def render_text(comparison: Comparison, width: int = 100, max_flips: int = 10) -> str:
    """The comparison for a terminal or an assertion message.

    Args:
        comparison: what was judged.
        width: longest line that the flipped samples may take.
        max_flips: most samples shown; the rest is counted.

    Returns:
        One sentence that says what happened, then the table, the flipped samples with both
        outputs side by side, and the notes. No line end at the end.
    """
    head, rows = _rows(comparison)
    parts = [line(str(one)) for one in comparison.preprocessing]
    parts += [line(sentence(comparison)), "", line(title(comparison))]
    parts += aligned(head, rows, right=set(range(1, len(head) - 1)))
    parts += flipped.lines(comparison, width, max_flips)
    parts += [line(f"note: {note}") for note in comparison.remarks]
    return "\n".join(parts)


def render_markdown(comparison: Comparison, max_flips: int = 10) -> str:
    """The comparison for a pull request or a step summary; ends with a line end.

    Args:
        comparison: what was judged.
        max_flips: most samples shown; the rest is counted.

    Returns:
        GitHub-flavoured Markdown. Nothing in an output can break out of its table cell, link,
        mention anybody or become markup.
    """
    head, rows = _rows(comparison)
    parts = [f"**{escape(str(one))}**\n" for one in comparison.preprocessing]
    parts += [escape(sentence(comparison)), "", f"**{escape(title(comparison))}**", ""]
    parts += markdown_table(
        [escape(cell) for cell in head],
        [[escape(cell.replace(">=", "≥").replace("<=", "≤")) for cell in row] for row in rows],
        right=set(range(1, len(head) - 1)),
    )
    shown = comparison.flips[: max(max_flips, 0)]
    if comparison.flips:
        parts += ["", flip_count(comparison, len(shown)) + (":" if shown else ".")]
    if shown:
        parts += ["", *markdown_flips(comparison, shown)]
    if comparison.remarks:
        parts += ["", *(f"- {escape(note)}" for note in comparison.remarks)]
    return "\n".join(parts) + "\n"


def sentence(comparison: Comparison) -> str:
    """What happened, in one sentence: the explanation of the figures that decided."""
    if comparison.accepted == "unjudged":
        return f"accepted: {comparison.notes[-1]}"
    if comparison.accepted == "drop":
        return f"accepted: {_sentence(comparison).removeprefix('blocked: ')}"
    return _sentence(comparison)


def _sentence(comparison: Comparison) -> str:
    figure = deciding(comparison)
    if comparison.ratio is not None:
        return comparison.ratio.explain()
    if figure is None:
        return f"{comparison.verdict}: no bucket was judged"
    others = [f for f in comparison.figures if f.verdict == comparison.verdict and f != figure]
    if not others:
        return figure.explain()
    if comparison.verdict != "block":
        return f"{figure.explain()} (and {plural(len(others), 'more bucket')})"
    return f"{figure.explain()}; also {', '.join(map(_scores, others))}"


def _scores(figure: Figures) -> str:
    """``typo 0.72 to 0.28``, against a floor ``typo 0.28``, of a distance ``KL 0.031``."""
    if figure.distance:
        return f"{figure.name} {number(figure.candidate)}"
    before = "" if figure.baseline is None else f"{figure.baseline:.2f} to "
    return f"{figure.name} {before}{figure.candidate:.2f}"


def reason(comparison: Comparison) -> str:
    """:func:`sentence` without its leading verdict, for places that show the verdict already."""
    text = sentence(comparison)
    lead, colon, rest = text.partition(": ")
    return rest if colon and lead in _LEADS else text


def title(comparison: Comparison) -> str:
    """Who was compared with what: ``nf4 against own baseline, assistant_core_v2, arithmetic``."""
    return (
        f"{comparison.candidate} against {comparison.against}, {comparison.task_set}, "
        f"{subject(comparison)}: {comparison.outcome.upper()}"
    )


def _rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    ratio = comparison.ratio
    if ratio is None:
        return figure_rows(comparison.figures)
    low, high = ratio.ratio_low, ratio.ratio_high
    bound = "-" if low is None or high is None else f"<= {high:.3f}"
    if ratio.verdict == "block" and low is not None:
        bound = f">= {low:.3f}"
    unit = " s" if comparison.timed else ""
    head = [
        ratio.unit,
        f"reference{unit}",
        f"candidate{unit}",
        "ratio",
        "bound",
        "limit",
        "p",
        "verdict",
    ]
    return head, [
        [
            str(ratio.n),
            f"{ratio.reference:.3f}",
            f"{ratio.candidate:.3f}",
            f"{ratio.ratio:.3f}",
            bound,
            f"{ratio.limit:.3f}",
            probability(ratio.p_block),
            ratio.verdict,
        ]
    ]


def figure_rows(figures: Iterable[Figures]) -> tuple[list[str], list[list[str]]]:
    """Column names and one row a bucket, the worst first, as unescaped text."""
    figures = sorted(figures, key=lambda f: (f.p_adjusted, f.name))
    if any(f.distance for f in figures):
        return _fidelity_rows(figures)
    if figures and all(f.floor is not None for f in figures):
        head = ["bucket", "n", "floor", "candidate", "bound", "adjusted p", "verdict"]
        return head, [
            [
                f.name,
                str(f.n),
                f"{f.floor or 0.0:.3f}",
                f"{f.candidate:.3f}",
                _score_bound(f),
                probability(f.p_adjusted),
                f.verdict,
            ]
            for f in figures
        ]
    head = ["bucket", "n", "baseline", "candidate", "drop", "bound", "adjusted p", "verdict"]
    return head, [
        [
            f.name,
            str(f.n),
            "-" if f.baseline is None else f"{f.baseline:.3f}",
            f"{f.candidate:.3f}",
            signed(f.drop),
            f">= {signed(f.drop_low)}" if f.verdict == "block" else f"<= {signed(f.drop_high)}",
            probability(f.p_adjusted),
            f.verdict,
        ]
        for f in figures
    ]


def _fidelity_rows(figures: Iterable[Figures]) -> tuple[list[str], list[list[str]]]:
    """Of a distance and what stands beside it: the limit is the most or the least allowed."""
    head = ["measure", "n", "limit", "candidate", "bound", "adjusted p", "verdict"]
    return head, [
        [
            f.name,
            str(f.n),
            number(f.margin if f.floor is None else f.floor),
            number(f.candidate),
            _distance_bound(f) if f.distance else _score_bound(f),
            probability(f.p_adjusted),
            f.verdict,
        ]
        for f in figures
    ]


def _distance_bound(figure: Figures) -> str:
    if figure.verdict == "block":
        return f">= {number(figure.drop_low)}"
    return "-" if figure.drop_high >= UNBOUNDED else f"<= {number(figure.drop_high)}"


def signed(value: float) -> str:
    """A drop with its sign; positive is worse."""
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def probability(value: float) -> str:
    """A p-value; adjusted ones may exceed 1 and are shown as 1."""
    return "<0.0001" if value < 0.0001 else f"{min(value, 1.0):.4f}"


def escape(text: str) -> str:
    """Text for a Markdown paragraph or table cell, shown as it is.

    Characters that could be markup become numeric entities, which no Markdown dialect reads as
    structure, not even after a backslash.
    """
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", visible(shortened(text, LINE)))


def code(text: str, width: int = _OUTPUT_IN_MARKDOWN) -> str:
    """An output as inline code in a Markdown table cell."""
    shown = clip(visible(text), width)
    return f"<code>{escape(shown)}</code>" if shown.strip() else "*empty*"


def markdown_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: set[int]
) -> list[str]:
    """Lines of a Markdown table whose cells are already escaped."""
    rule = ["---:" if i in right else "---" for i in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def measured_markdown(runs: Sequence[tuple[str, Measured]]) -> list[str]:
    """Lines that show every metric and figure of variants beside each other; none without any.

    Args:
        runs: each with its variant's name.
    """
    lines = []
    for head, rows in measured.tables(runs):
        if rows:
            cells = [[escape(cell) for cell in row] for row in rows]
            right = set(range(1, len(head)))
            lines += ["", *markdown_table([escape(name) for name in head], cells, right)]
    told = [(name, measured.index_words(run)) for name, run in runs]
    index = [f"- {escape(f'{name}: index: {words}')}" for name, words in told if words is not None]
    return [*lines, *(["", *index] if index else [])]


def markdown_flips(comparison: Comparison, shown: Sequence[Flip]) -> list[str]:
    """Lines of a Markdown table of flipped samples: what is known of them, and both outputs."""
    before, after = column_names(comparison)
    columns = {
        "sample": [escape(f.id) for f in shown],
        scored_by(comparison): [escape(flip_scores(comparison, f)) for f in shown],
    }
    if media.any_shown(shown):
        columns[media.COLUMN] = [escape(media.told(f.media, f.id)) for f in shown]
    if any(f.asked for f in shown):
        columns["asked"] = [_said(f.asked) for f in shown]
    if any(f.expected for f in shown):
        columns["expected"] = [_said(f.expected) for f in shown]
    outputs = ([code(f.before_output) for f in shown], [code(f.after_output) for f in shown])
    names = [escape(name) for name in (*columns, before, after)]
    rows = zip(*columns.values(), *outputs, strict=True)
    return markdown_table(names, [list(row) for row in rows], right=set())


def _said(text: str) -> str:
    """What a task set says, as a Markdown table cell of an output's width."""
    return escape(clip(visible(text), _OUTPUT_IN_MARKDOWN))


def _score_bound(figure: Figures) -> str:
    bound = figure.score_high if figure.verdict == "block" else figure.score_low
    if bound is None:
        return "-"
    return f"{'<=' if figure.verdict == 'block' else '>='} {bound:.3f}"


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    """Lines of a plain table, indented by two; the columns in ``right`` are flush right."""
    return [f"  {line}" for line in grid.lines(grid.grid(head, rows, right=right))]
