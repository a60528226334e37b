"""``modellab history``: how the accepted runs of a variant scored, from git."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NoReturn

from pytest_modellab.cli.common import (
    EXIT_OK,
    Subparsers,
    add_config,
    chosen,
    complete,
    discover,
    required_config,
    say,
)
from pytest_modellab.errors import HistoryUnavailable, near_misses
from pytest_modellab.records.graded import GRADED, applies

if TYPE_CHECKING:
    from pytest_modellab.baselines.history import Revision
    from pytest_modellab.config.lab_config import LabConfig

_RUN = "accepted run"
_TICK = 10
"""Characters between two ticks of the plotting library's x-axis."""


_TICKS = 5
"""Accepted runs that have a tick each; of more, every second, third or so has one."""


_ROWS = 10
_LEAST_ROW = 0.005
_HAIR = 1e-9
"""Keeps a mark in the row whose label it has, whatever is rounded."""


SUCCESS = "success"
"""What is shown unless a metric is asked for."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    history = commands.add_parser(
        "history",
        help="scores of a variant's accepted runs, from git",
        description="Reads every committed revision of the variant's baselines.",
    )
    history.add_argument("variant")
    history.add_argument("--task-set", action="append", help="names (default: all declared)")
    add_config(history)
    history.add_argument(
        "--metric",
        help="show the means of probability, likelihood or another figure of the samples that "
        "accepted runs keep (default: success)",
    )
    history.add_argument("--json", action="store_true", help="print JSON instead")
    complete(history, variants="variant", task_sets="task_set")
    history.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_modellab import tasksets
    from pytest_modellab.baselines import file, history
    from pytest_modellab.store.place import default_folder

    config = required_config(options.config)
    (variant,) = chosen("variant", [options.variant], config.variants)
    extensions = discover(config)
    found = {}
    for name in chosen("task set", options.task_set or config.task_sets, config.task_sets):
        path = file.path_of(config.baselines, name, variant)
        if not history.read(path, {}):
            continue  # nor is its task set read, whose package may be missing
        place = config.task_sets[name].path
        samples = tasksets.read(
            place, extensions.check, default_folder(), extensions.generators
        ).samples
        capabilities = {sample.content_hash: sample.capability for sample in samples}
        found[name] = history.read(path, capabilities, options.metric)
    if found and options.metric is not None:
        found = {
            name: revisions
            for name, revisions in found.items()
            if any(revision.samples for revision in revisions)
        } or _unknown(config, variant, found, options.metric)
    if not found:
        raise HistoryUnavailable(
            f"nothing was accepted of {variant!r} yet: modellab accept {variant}"
        )
    if options.json:
        data = {name: [_to_data(revision) for revision in found[name]] for name in found}
        print(json.dumps(data, indent=1, allow_nan=False))
        return EXIT_OK
    for name, revisions in found.items():
        _print_table(variant, name, revisions, options.metric)
        shown = [revision for revision in revisions if not math.isnan(revision.mean)]
        if len(shown) > 1:
            print(plot(shown, options.metric or SUCCESS))
    return EXIT_OK


def _unknown(config: LabConfig, variant: str, task_sets: Collection[str], metric: str) -> NoReturn:
    """Say that no accepted run has a metric, and which there are or what adds it."""
    from pytest_modellab import tasksets
    from pytest_modellab.baselines import file
    from pytest_modellab.store.place import default_folder

    known: set[str] = set()
    lacking = []
    for name in task_sets:
        if (baseline := file.read(file.path_of(config.baselines, name, variant))) is not None:
            known.update(key for sample in baseline.run.samples for key in sample.metrics)
        place = config.task_sets[name].path
        added = discover(config)
        samples = tasksets.read(place, added.check, default_folder(), added.generators).samples
        if metric in GRADED and any(applies(metric, sample) for sample in samples):
            lacking.append(name)
    mend = near_misses(metric, known)
    if lacking:
        where = " ".join(f"--task-set {name}" for name in lacking)
        mend = f"modellab accept {variant} {where} adds it"
    elif metric in GRADED:
        mend = f"{', '.join(task_sets)}: no sample can have it"
    raise HistoryUnavailable(f"no accepted run of {variant!r} has the metric {metric!r}; {mend}")


def _to_data(revision: Revision) -> dict[str, object]:
    data = dataclasses.asdict(revision)
    for name in ("mean", "anchor"):
        if math.isnan(data[name]):
            data[name] = None
    return data


def plot(revisions: Sequence[Revision], metric: str = SUCCESS) -> str:
    """Draw success over the accepted runs, and the anchor's, as text.

    Args:
        revisions: at least one, oldest first, all readable.
        metric: what is drawn. An anchor without it is left out.
    """
    import plotille

    means = [revision.mean for revision in revisions]
    anchors = [
        (place, revision.anchor)
        for place, revision in enumerate(revisions, 1)
        if not math.isnan(revision.anchor)
    ]
    drawn = [*means, *(mean for _, mean in anchors)]
    low, high = min(drawn), max(drawn)
    row = max((high - low) / (_ROWS - 2), _LEAST_ROW)  # one is free above and one below
    ticks = min(len(revisions), _TICKS) + 1
    each = math.ceil((len(revisions) + 1) / ticks)
    figure = plotille.Figure()
    figure.width, figure.height = _TICK * ticks, _ROWS
    figure.set_x_limits(0, each * ticks)
    start = low - row if high < 0.5 else high - (_ROWS - 1) * row  # room where values may be
    figure.set_y_limits(start, start + _ROWS * row)
    figure.x_label, figure.y_label = _RUN, metric

    def label(value: float, chars: int, delta: float, left: bool = False) -> str:
        if left:  # the x-axis
            return (f"{value:.0f}" if 0.5 < value < len(revisions) + 0.5 else "").ljust(chars)
        value = round(value, 3)
        beyond = value < 0 <= low or value > 1 >= high
        return ("" if beyond else f"{value or 0.0:.3f}").rjust(chars)

    figure.register_label_formatter(float, label)
    if anchors:
        figure.plot(*zip(*anchors, strict=True), lc="cyan", label="anchor")
    places = [*range(1, len(revisions) + 1)]
    figure.plot(places, [mean + _HAIR for mean in means], lc="green", marker="o", label=_RUN)
    return str(figure.show(legend=True))


def _from_anchor(revision: Revision) -> str:
    if not revision.changes:
        return "itself"
    return "" if math.isnan(revision.anchor) else f"{revision.mean - revision.anchor:+.3f}"


def _print_table(
    variant: str, task_set: str, revisions: Sequence[Revision], metric: str | None
) -> None:
    from pytest_modellab.reports.text import grid

    versions = {revision.version for revision in revisions if not revision.problem}
    names = ["", "accepted", "commit", *(["task set"] if len(versions) > 1 else [])]
    figures = [metric or SUCCESS, "change", "anchor", "churn"]
    right = range(len(names), len(names) + len(figures))
    rows = []
    before: Revision | None = None
    for number, revision in enumerate(revisions, 1):
        start = [str(number), revision.date, revision.commit]
        if len(versions) > 1:
            start.append(revision.version)
        if revision.problem:
            rows.append([*start, *[""] * 4, f"cannot be read: {revision.problem}"])
            continue
        if math.isnan(revision.mean):
            rows.append([*start, *[""] * 4, f"has no {metric}"])
            continue
        comparable = before is not None and before.task_set == revision.task_set
        worst = revision.worst
        rows.append(
            [
                *start,
                f"{revision.mean:.3f}",
                f"{revision.mean - before.mean:+.3f}" if before and comparable else "",
                _from_anchor(revision),
                "" if revision.churn is None else f"{revision.churn:.1%}",
                "" if worst is None else f"{worst.name} {worst.mean:.2f}",
            ]
        )
        before = revision
    say(f"{variant} on {task_set}")
    head = [*names, *figures, "worst"]
    grid.console().print(grid.grid(head, rows, right=right, wraps={len(head) - 1}))
    told = ""
    for number, revision in enumerate(revisions, 1):
        if revision.despite and revision.despite != told:  # once a chain, not once a revision
            say(f"{number} was accepted though {revision.despite}")
        told = revision.despite
