"""``modellab compare``: the variants side by side, and which to ship for which deployment."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import (
    EXIT_FOUND,
    EXIT_OK,
    Subparsers,
    add_config,
    add_running,
    chosen,
    complete,
    discover,
    required_config,
    running,
    save,
    say,
)
from pytest_modellab.errors import ConfigError

if TYPE_CHECKING:
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.tradeoff.figures import TradeOff

STDOUT = "-"


def add(commands: Subparsers) -> None:
    """Declare the command."""
    compare = commands.add_parser(
        "compare",
        help="weigh the variants against each other and recommend one for each scenario",
        description="Compares quality, cost, latency, memory and risk of the variants on the same "
        "samples. Runs and measures what is missing; everything else comes from the store and from "
        "the accepted runs. Exits with 1 where nothing meets the limits of a scenario that was "
        "named, or a variant that was named cannot be run. How to read it: docs/compare.md.",
    )
    compare.add_argument("--task-set", metavar="NAME", help="needed where several are declared")
    compare.add_argument(
        "--variant",
        action="append",
        metavar="NAME",
        help="which to compare (default: all that were accepted on the task set)",
    )
    compare.add_argument(
        "--reference",
        metavar="NAME",
        help="what the others are compared with (default: the first variant without a base)",
    )
    compare.add_argument(
        "--scenario",
        action="append",
        metavar="NAME",
        help="what to recommend for (default: all; built in: prototype, smb_saas, "
        "regulated_enterprise)",
    )
    compare.add_argument(
        "--metric",
        metavar="NAME",
        help="compare by probability, likelihood or another figure of the samples in place of the "
        "score; samples that it tells nothing of are left out",
    )
    add_config(compare)
    for name, what in (("json", "every figure as JSON"), ("markdown", "the report as Markdown")):
        compare.add_argument(
            f"--{name}",
            nargs="?",
            const=STDOUT,
            metavar="FILE",
            help=f"write {what}; without a file it is printed in place of the lines",
        )
    compare.add_argument("--html", type=Path, metavar="FILE", help="write an interactive page")
    compare.add_argument(
        "--no-latency", action="store_true", help="measure neither latency nor cost"
    )
    add_running(compare)
    complete(compare, variants="variant reference", task_sets="task_set")
    compare.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.survey import survey
    from pytest_modellab.reports.text.progress import RunProgress
    from pytest_modellab.store import said

    if STDOUT == options.json == options.markdown:
        raise ConfigError("--json and --markdown cannot both be printed; name a file for one")
    config = required_config(options.config)
    named = [options.task_set] if options.task_set else list(config.task_sets)
    if len(named) != 1:
        raise ConfigError(f"--task-set: which of {', '.join(named) or 'none declared'}?")
    (task_set,) = chosen("task set", named, config.task_sets)
    variants = chosen("variant", options.variant or (), config.variants)
    scenarios = chosen("scenario", options.scenario or (), config.scenarios)
    chosen("variant", [options.reference] if options.reference else (), config.variants)
    if options.html is not None:
        from pytest_modellab.reports.page import charts

        charts.require()  # before anything is run
    settings = running(options)
    lab = Lab(config, settings, RunProgress(sys.stderr), discover(config))
    heard: list[str] = []  # who reads the report later has not seen this run
    with said.listening(heard.append):
        tradeoff = survey(
            lab,
            task_set,
            variants=variants,
            scenarios=scenarios,
            reference=options.reference,
            timed=not options.no_latency,
            metric=options.metric,
        )
    tradeoff = dataclasses.replace(tradeoff, notes=tuple(dict.fromkeys((*tradeoff.notes, *heard))))
    pages, unwritten = _write(options, tradeoff, lab)
    _print(options, tradeoff)
    if config.mlflow is not None:
        from pytest_modellab.reports.tracking import log

        if note := log.log_tradeoff(config.mlflow, tradeoff, pages):
            say(f"note: {note}", error=True)
    if unwritten:
        raise ConfigError("; ".join(unwritten))
    refused = {c.scenario.name for c in tradeoff.choices if c.verdict == "none"}
    left_out = set(variants) - {p.variant for p in tradeoff.profiles}
    return EXIT_FOUND if refused & set(scenarios) or left_out else EXIT_OK


def _write(
    options: argparse.Namespace, tradeoff: TradeOff, lab: Lab
) -> tuple[dict[str, str], Sequence[str]]:
    """Write what was asked for; returns the pages, name → text, and what cannot be written."""
    from pytest_modellab.reports.text import tradeoff as words
    from pytest_modellab.tradeoff import figures

    pages = {"tradeoff.md": words.markdown(tradeoff)}
    files: dict[Path, str] = {}
    if options.json not in (None, STDOUT):
        files[Path(options.json)] = figures.dumps(tradeoff)
    if options.markdown not in (None, STDOUT):
        files[Path(options.markdown)] = pages["tradeoff.md"]
    if options.html is not None:
        from pytest_modellab.lab import examining
        from pytest_modellab.reports import page

        compared = [profile.variant for profile in tradeoff.profiles]
        asked = lab, tradeoff.task_set["name"], compared, tradeoff.reference
        why = {} if options.no_cache else examining.known(*asked)
        pages["tradeoff.html"] = page.render([tradeoff], interactive=True, diagnoses=why)
        files[options.html] = pages["tradeoff.html"]
    unwritten = []
    for path, text in files.items():
        found = save({path: text})
        unwritten += found
        if not found:
            say(f"wrote {path}", error=True)
    return pages, unwritten


def _print(options: argparse.Namespace, tradeoff: TradeOff) -> None:
    """Print the lines, or what was asked for in their place."""
    from pytest_modellab.reports.text import tradeoff as words
    from pytest_modellab.tradeoff import figures

    if options.json == STDOUT:
        print(figures.dumps(tradeoff), end="")
    elif options.markdown == STDOUT:
        print(words.markdown(tradeoff), end="")
    elif sys.stdout.isatty():
        _print_table(tradeoff)
        print("\n".join(words.conclusions(tradeoff)))
    else:
        print("\n".join(words.lines(tradeoff)))


def _print_table(tradeoff: TradeOff) -> None:
    from rich.text import Text

    from pytest_modellab.reports.text import grid
    from pytest_modellab.reports.text import tradeoff as words

    colours = {"block": "bold red", "inconclusive": "yellow", "pass": "green", "high": "red"}
    for changed in words.unlike(tradeoff):
        print(changed)
    head, rows = words.table(tradeoff)
    cells = [
        [Text(grid.shown(cell), colours.get(cell.partition(" ")[0], "")) for cell in row]
        for row in rows
    ]
    wraps = [i for i, name in enumerate(head) if name != "variant"]
    grid.console().print(grid.grid(head, cells, right=(), wraps=wraps))
    print("* no other variant is as good in everything and better in something")
    if found := words.further(tradeoff):
        print("", *found, sep="\n")
