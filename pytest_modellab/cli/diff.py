"""``modellab diff A B``: two runs side by side, sample by sample; no model is run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import (
    EXIT_OK,
    Subparsers,
    add_config,
    chosen,
    complete,
    discover,
    required_config,
    save,
    say,
)
from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.judging import difference
from pytest_modellab.visible import CELL, shortened, visible

if TYPE_CHECKING:
    from pytest_modellab.judging.difference import Difference

LIMIT = 20
"""Samples that a terminal shows unless more are asked for."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    diff = commands.add_parser(
        "diff",
        help="two runs side by side: what was asked, both replies, what differs",
        description="Shows two runs sample by sample, from what is accepted and stored; no model "
        "is run. A is its accepted run and B its stored one, where there are both; A@stored and "
        "B@accepted say otherwise. A alone is compared with its own accepted run. How to read it: "
        "docs/diff.md.",
    )
    diff.add_argument("a", metavar="A", help="a variant: VARIANT, VARIANT@accepted, VARIANT@stored")
    diff.add_argument("b", metavar="B", nargs="?", help="another one (default: A's stored run)")
    diff.add_argument("--task-set", metavar="NAME", help="needed where several fit")
    diff.add_argument(
        "--sample", action="append", default=[], metavar="ID", help="this sample, whether or not "
        "its score moved"
    )  # fmt: skip
    diff.add_argument("--capability", metavar="NAME", help="samples of this capability alone")
    diff.add_argument(
        "--flipped",
        choices=difference.FLIPPED,
        default="all",
        help="samples whose score got worse, better, or both (all); replies: whose reply is "
        "another, whatever its score (default: all)",
    )
    diff.add_argument(
        "--sort",
        choices=difference.SORTS,
        default="moved",
        help="worst first (moved), by how far the right option's probability moved (sure), or by "
        "id (default: moved)",
    )
    diff.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help=f"most samples (default: {LIMIT} in the terminal, all on a page)",
    )
    diff.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write a page instead, which can be filtered",
    )
    add_config(diff)
    complete(diff, variants="a b", task_sets="task_set")
    diff.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    if options.limit is not None and options.limit < 1:
        raise ConfigError(f"--limit {options.limit}: expected 1 or more")
    found = _found(options)
    samples = _samples(options.sample, found)
    _check_capability(options.capability, found)
    pairs = difference.chosen(
        found,
        flipped=options.flipped,
        capability=options.capability,
        samples=samples,
        sort=options.sort,
    )
    if options.html is None:
        _print(found, pairs, options.limit or LIMIT)
        return EXIT_OK
    from pytest_modellab.reports.page import difference as page

    if unwritten := save({options.html: page.render(found, pairs[: options.limit])}):
        raise ConfigError("; ".join(unwritten))
    say(f"wrote {options.html}", error=True)
    return EXIT_OK


def _found(options: argparse.Namespace) -> Difference:
    from pytest_modellab.lab import compared
    from pytest_modellab.lab.compared import ACCEPTED, STORED
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.store.place import default_folder

    config = required_config(options.config)
    alone = options.b is None
    (a, which_a), (b, which_b) = map(compared.parsed, (options.a, options.b or options.a))
    chosen("variant", (a, b), config.variants)
    chosen("task set", [options.task_set] if options.task_set else (), config.task_sets)
    own = a == b
    if alone and which_a is not None:
        which_a, which_b = (ACCEPTED, STORED) if which_a == ACCEPTED else (STORED, ACCEPTED)
    before = (which_a,) if which_a else (ACCEPTED,) if own else (ACCEPTED, STORED)
    after = (which_b,) if which_b else (STORED,) if own else (STORED, ACCEPTED)
    if own and before == after:
        raise ConfigError(f"{options.a} {options.b}: that is one run twice")
    lab = Lab(config, Settings(cache=default_folder()), extensions=discover(config))
    task_set = lab.task_set(compared.task_set_of(lab, (a, b), options.task_set))
    sides = (compared.side(lab, name, task_set, order) for name, order in ((a, before), (b, after)))
    return difference.difference(task_set, *sides)


def _samples(named: list[str], found: Difference) -> list[str]:
    """Return the ids that are meant, each as it is or as it is shown; refuse what no sample has."""
    ids = {visible(pair.sample.id): pair.sample.id for pair in found.pairs}
    for one in named:
        if visible(one) not in ids:
            raise ConfigError(
                f"--sample: {found.task_set!r} has no {shortened(one, CELL)!r} that both runs were "
                f"asked as it is today; {near_misses(one, ids)}"
            )
    return [ids[visible(one)] for one in named]


def _check_capability(named: str | None, found: Difference) -> None:
    """Refuse one that no sample has."""
    known = {pair.sample.capability for pair in found.pairs}
    if named is not None and named not in known:
        raise ConfigError(
            f"--capability: {found.task_set!r} has no {shortened(named, CELL)!r}; "
            f"{near_misses(named, known)}"
        )


def _print(found: Difference, pairs: tuple[difference.Pair, ...], limit: int) -> None:
    from pytest_modellab.reports.text import difference as words

    say(*words.head(found))
    if sys.stdout.isatty():
        words.show(pairs[:limit])
    else:
        for pair in pairs[:limit]:
            say("", *words.plain(pair))
    if not pairs:
        say("nothing to show: no sample moved like that")
    elif len(pairs) > limit:
        say("", f"and {len(pairs) - limit} more samples: --limit {len(pairs)}")
