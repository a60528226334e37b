"""The verdict on two files of scores: for the terminal, as JSON, as Markdown."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import ModellabError
from pytest_modellab.gate.results import Figures
from pytest_modellab.records.enough import Size, too_small
from pytest_modellab.reports.text import grid
from pytest_modellab.reports.text.table import aligned, escape, figure_rows, markdown_table
from pytest_modellab.reports.words import number, plural
from pytest_modellab.scorefiles.judge import FileVerdicts
from pytest_modellab.scorefiles.matching import Matched, SamplesDiffer, some
from pytest_modellab.scorefiles.rows import ScoreFile, Wanted
from pytest_modellab.version import __version__
from pytest_modellab.visible import CELL, shortened, visible
from pytest_modellab.visible import line as shown

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = 1
"""Version of the JSON's layout."""


_STYLES = {"block": "bold red", "pass": "bold green", "inconclusive": "bold yellow"}


def show(baseline: ScoreFile, candidate: ScoreFile, judged: FileVerdicts) -> None:
    """Print the verdict, the figures, and what was read; plain text where piped."""
    console = grid.console()
    console.soft_wrap = True
    title = f"{judged.verdict.upper()}: {candidate.path} against {baseline.path}"
    console.print(shown(title), style=_STYLES[judged.verdict])
    for sentence in sentences(judged):
        console.print(shown(sentence))
    for head, rows in _tables(judged):
        console.print()
        _show_table(console, head, rows)
    console.print()
    for line in details(baseline, candidate, judged):
        console.print(shown(line))


def _show_table(console: Console, head: list[str], rows: list[list[str]]) -> None:
    right = set(range(1, len(head) - 1))
    if not console.is_terminal:
        for line in aligned(head, rows, right):
            console.print(line)
        return
    from rich.text import Text

    styled: list[list[str | Text]] = [
        [*cells, Text(verdict, _STYLES[verdict])] for *cells, verdict in rows
    ]
    table = grid.grid(head, styled, right=right, wraps={0}, ruled=True)
    console.print(table, soft_wrap=False)


def to_markdown(baseline: ScoreFile, candidate: ScoreFile, judged: FileVerdicts) -> str:
    """The verdict for a pull request, with a line end at the end."""
    title = f"{candidate.path} against {baseline.path}"
    parts = [f"## Model gate: {judged.verdict.upper()}", "", escape(title), ""]
    parts += [f"- {escape(sentence)}" for sentence in sentences(judged)]
    for head, rows in _tables(judged):
        cells = [[escape(cell) for cell in row] for row in rows]
        parts += ["", *markdown_table([*map(escape, head)], cells, set(range(1, len(head) - 1)))]
    parts += ["", *(f"- {escape(line)}" for line in details(baseline, candidate, judged))]
    return "\n".join(parts) + "\n"


def to_json(baseline: ScoreFile, candidate: ScoreFile, judged: FileVerdicts, wanted: Wanted) -> str:
    """Every figure, every id that does not match, and the files' hashes."""
    ids = judged.matched.ids
    drop = dataclasses.asdict(judged.drop)
    floor = [dataclasses.asdict(one) for one in judged.floor]
    for figures in (drop["pooled"], *drop["buckets"], *floor):
        for name in ("dropped", "missing"):
            figures[name] = [ids[i] for i in figures[name]]
    data = {
        "verdict": judged.verdict,
        "explanation": sentences(judged),
        "rules": dataclasses.asdict(judged.rules),
        "scale": {"low": wanted.low, "high": wanted.high, "lower": wanted.lower_is_better},
        "drop": drop,
        "floor": floor,
        "matching": _matching(judged.matched),
        "files": {"baseline": _file(baseline), "candidate": _file(candidate)},
    }
    return _dumps(data)


def error_json(error: ModellabError) -> str:
    """Why there is no verdict, with every id that does not match."""
    data: dict[str, Any] = {"verdict": "error", "error": str(error)}
    if isinstance(error, SamplesDiffer):
        data["matching"] = _matching(error.matched)
    return _dumps(data)


def error_markdown(error: ModellabError) -> str:
    """Why there is no verdict."""
    return f"## Model gate: ERROR\n\n{escape(str(error))}\n"


def sentences(judged: FileVerdicts) -> list[str]:
    """What led to the verdict, one sentence a comparison."""
    found = []
    if judged.drop.verdict == judged.verdict:
        drop = dataclasses.replace(
            judged.drop,
            pooled=_named(judged.drop.pooled),
            buckets=tuple(map(_named, judged.drop.buckets)),
        )
        found = drop.explain().split("\n")  # whose line ends are none of a bucket's name
    floor = [_named(one) for one in judged.floor if one.verdict == judged.verdict]
    if floor:
        found.append(min(floor, key=lambda one: one.p_adjusted).explain())
    return found


def details(baseline: ScoreFile, candidate: ScoreFile, judged: FileVerdicts) -> list[str]:
    """How alpha was spent, what does not match, what was read, and what to do next."""
    matched = judged.matched
    lines = [_alpha_line(judged)]
    paired = plural(matched.paired, "sample")
    if matched.content_checked:
        lines.append(f"{paired} matched by id and content")
    else:
        lacking = " and ".join(
            dict.fromkeys(file.path for file in (baseline, candidate) if not file.has_hashes)
        )
        lines.append(
            f"{paired} matched by id alone: no content hash in {lacking} (--hash COLUMN names one)"
        )
    lines += [f"{len(ids)} {words}: {some(ids)}" for words, ids in matched.differences]
    lines += [f"{f.path}: {f.kind}; {'; '.join(f.notes)}" for f in (baseline, candidate)]
    return lines + _graded(judged) + _too_small(judged) + _next(judged)


def _alpha_line(judged: FileVerdicts) -> str:
    parts = [f"{number(judged.drop.pooled.alpha)} on the mean drop"]
    for what, figures in (("drop", judged.drop.buckets), ("floor", judged.floor)):
        if figures:
            share = number(figures[0].alpha)
            parts.append(f"{share} on the {what} in {plural(len(figures), 'bucket')}")
    return f"alpha {number(judged.rules.alpha)}: {', '.join(parts)}"


def _too_small(judged: FileVerdicts) -> list[str]:
    """Say of what is undecided that no candidate could have passed, and what would do."""
    if judged.verdict != "inconclusive":
        return []
    drop = judged.drop
    named = [
        (drop.pooled, "all samples", "--margin "),
        *((one, f"bucket {visible(one.name)}", "--bucket-margin ") for one in drop.buckets),
    ]
    return too_small(
        Size(one.n, one.clusters, one.margin, one.pass_alpha, name, rule)
        for one, name, rule in named
        if one.verdict == "inconclusive"
    )


def _graded(judged: FileVerdicts) -> list[str]:
    """Warn of a margin of 0 where most samples moved: what does is no right or wrong."""
    pooled = judged.drop.pooled
    moved = pooled.losses + pooled.gains
    if pooled.margin > 0 or 2 * moved <= pooled.n:
        return []
    return [
        f"{moved} of {plural(pooled.n, 'sample')} moved at an allowed drop of 0: a score that "
        "batch size, threads or dtype move a little can block an unchanged model; allow what such "
        "runs show: --margin 0.01"
    ]


def _next(judged: FileVerdicts) -> list[str]:
    """What would settle an inconclusive verdict."""
    if judged.verdict != "inconclusive":
        return []
    undecided = [one for one in judged.figures if one.verdict == "inconclusive"]
    most = max(undecided, key=lambda one: one.more or 0)
    if most.more is None:
        return ["next: allow a larger drop, or add samples"]
    others = f", the most of {len(undecided)} undecided comparisons" if len(undecided) > 1 else ""
    return [
        f"next: about {plural(most.more, 'more sample')} would settle {most.label} "
        f"(n = {most.n}){others}"
    ]


def _tables(judged: FileVerdicts) -> list[tuple[list[str], list[list[str]]]]:
    parts = ((judged.drop.pooled, *judged.drop.buckets), judged.floor)
    return [figure_rows(part) for part in parts if part]


def _named(figures: Figures) -> Figures:
    return dataclasses.replace(figures, name=visible(shortened(figures.name, CELL)))


def _matching(matched: Matched) -> dict[str, Any]:
    return {
        "samples": len(matched.ids),
        "content_checked": matched.content_checked,
        "only_baseline": matched.only_baseline,
        "only_candidate": matched.only_candidate,
        "changed": matched.changed,
        "unscored_baseline": matched.unscored_baseline,
        "unscored_candidate": matched.unscored_candidate,
    }


def _file(file: ScoreFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "kind": file.kind,
        "samples": len(file.rows),
        "notes": file.notes,
        "sha256": dict(file.sources),
    }


def _dumps(data: dict[str, Any]) -> str:
    data = {"schema": SCHEMA, "version": __version__, **data}
    # ASCII, because an id may hold half a surrogate pair, which UTF-8 cannot say
    return json.dumps(data, sort_keys=True, indent=1, allow_nan=False) + "\n"
