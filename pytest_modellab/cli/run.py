"""``modellab run``: score what is missing into the store, so that tests only judge."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import (
    EXIT_FOUND,
    EXIT_OK,
    Subparsers,
    add_config,
    add_running,
    chosen,
    complete,
    count,
    discover,
    required_config,
    running,
    say,
)
from pytest_modellab.errors import ConfigError
from pytest_modellab.records.reading import decimal
from pytest_modellab.reports.words import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.work import Piece
    from pytest_modellab.records.runs import RunRecord


_OF_WORKERS = ("workers", "worker-cpus", "worker-gpus", "worker-memory")

MEMORY = 3.0
"""Bytes that a worker is taken to need for a byte of parameters, where nothing else is said."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    run_ = commands.add_parser(
        "run",
        help="score what is missing into the store; tests then only judge",
        description="Runs variants on task sets, where the store has no run of them yet. Ends "
        "with 1 where one cannot be run; the others are run all the same.",
    )
    run_.add_argument("variant", nargs="*", help="names (default: all that are declared)")
    run_.add_argument(
        "--task-set",
        action="append",
        help="names (default: those that a variant was accepted on; if none, all declared)",
    )
    run_.add_argument(
        "--plan",
        action="store_true",
        help="say what is missing, how long it takes, where and what it costs; run nothing",
    )
    run_.add_argument(
        "--on",
        metavar="WHERE",
        default="local",
        help="local: this process (default); ray: a Ray cluster, the one that this machine is a "
        "node of, else one of this machine alone; ray://HOST:PORT: another cluster",
    )
    for name, what in (("cpus", "CPUs"), ("gpus", "GPUs"), ("memory", "GB of memory")):
        run_.add_argument(
            f"--worker-{name}",
            metavar="N",
            type=_share,
            help=f"{what} that a worker of a cluster takes",
        )
    run_.add_argument(
        "--workers", metavar="N", type=count, help="most workers of a cluster at once"
    )
    add_config(run_)
    add_running(run_)
    complete(run_, variants="variant", task_sets="task_set")
    run_.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_modellab.lab import work
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.reports.text.progress import RunProgress

    _check(options)
    config = required_config(options.config)
    variants = chosen("variant", options.variant, config.variants)
    task_sets = chosen("task set", options.task_set or (), config.task_sets)
    settings = running(options)
    lab = Lab(config, settings, RunProgress(sys.stderr), discover(config))
    pieces = work.plan(lab, work.wanted(lab, variants, task_sets), ask=not options.plan)
    if options.plan:
        say(*_planned(pieces), *_where(pieces, options))
        return EXIT_FOUND if any(one.error for one in pieces) else EXIT_OK

    if options.on != "local" and _due(pieces):
        pieces = _spread(lab, pieces, options)
        if options.no_cache:  # what the cluster has made is not made once more
            settings = dataclasses.replace(settings, reuse=True)
            lab = Lab(config, settings, RunProgress(sys.stderr), discover(config))

    def told(piece: Piece, found: RunRecord | str) -> None:
        say(_told(piece, found), error=isinstance(found, str))

    return EXIT_OK if work.score(lab, pieces, told) else EXIT_FOUND


def _check(options: argparse.Namespace) -> None:
    """Refuse a call that could not mean anything.

    Raises:
        ConfigError: the message names the option.
    """
    if options.on not in ("local", "ray") and not options.on.startswith("ray://"):
        raise ConfigError(f"--on: {options.on!r} is none of local, ray, ray://HOST:PORT")
    asked = {name: getattr(options, name.replace("-", "_")) for name in _OF_WORKERS}
    for name, value in asked.items():
        if value is not None and options.on == "local":
            raise ConfigError(f"--{name}: this process has no workers: add --on ray")
    gpus = asked["worker-gpus"] or 0.0
    if gpus > 1 and gpus != int(gpus):
        raise ConfigError(f"--worker-gpus: {gpus:g} is neither whole nor less than 1")
    if options.worker_cpus == 0 and not gpus:
        raise ConfigError("--worker-cpus: 0, and no --worker-gpus: what then bounds the workers?")


def _share(text: str) -> float:
    try:
        found = decimal(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return found


def _spread(lab: Lab, pieces: Sequence[Piece], options: argparse.Namespace) -> Sequence[Piece]:
    """Have a cluster obtain what is missing."""
    from pytest_modellab.lab import work
    from pytest_modellab.lab.cluster import Cluster, Needs
    from pytest_modellab.reports.text.progress import RunProgress
    from pytest_modellab.variants import families

    due = _due(pieces)
    held = max(one.held or 0.0 for one in due)
    devices = [families.device(one.variant, lab.config.variants) for one in due]
    gpus = float(any(one.startswith("cuda") for one in devices))
    memory = options.worker_memory
    needs = Needs(
        cpus=1.0 if options.worker_cpus is None else options.worker_cpus,
        gpus=gpus if options.worker_gpus is None else options.worker_gpus,
        memory=MEMORY * held if memory is None else memory * 1e9,
    )
    cluster = Cluster(options.on, options.workers, needs)
    try:
        return work.spread(lab, pieces, cluster, RunProgress(sys.stderr))
    finally:
        cluster.close()


def _due(pieces: Iterable[Piece]) -> list[Piece]:
    return [one for one in pieces if not one.stored and not one.error]


def _told(piece: Piece, found: RunRecord | str) -> str:
    name = f"{piece.variant} on {piece.task_set}"
    if isinstance(found, str):
        return f"{name}: ERROR: {found}"
    samples = f"{len(found.samples)} samples"
    if piece.stored:
        return f"{name}: {samples}, stored"
    return f"{name}: {samples} in {found.probes.get('seconds', math.nan):.1f} s"


def _planned(pieces: Sequence[Piece]) -> Iterator[str]:
    """Say of each piece whether it is stored, else what it takes; and all in all."""
    due = _due(pieces)
    for one in pieces:
        name = f"{one.variant} on {one.task_set}"
        if one.error:
            yield f"{name}: ERROR: {one.error}"
        elif one.stored:
            yield f"{name}: {one.samples} samples, stored"
        elif one.stored is None:
            stored = "or stored: its server is asked when it runs"
            yield f"{name}: {one.samples} samples{_takes(one)}, {stored}"
        else:
            yield f"{name}: {one.samples} samples to run{_takes(one)}"
    known = [one.seconds for one in due if one.seconds is not None]
    unknown = len(due) - len(known)
    loads = len({one.family for one in due if one.family})
    if not due:
        yield "nothing is to be run"
        return
    cost = math.fsum(one.usd for one in due if one.usd is not None)
    priced = f", {_usd(cost)}" if any(one.usd is not None for one in due) else ""
    rest = f", and {unknown} of which nothing is known" if unknown else ""
    takes = f": about {math.fsum(known):.0f} s of answering{priced}{rest}"
    less = "; less where a server's run is stored" if any(one.stored is None for one in due) else ""
    yield (
        f"{len(due)} to run{takes if known else ', of which nothing is known'}; "
        f"{loads} {'model is' if loads == 1 else 'models are'} loaded{less}"
    )


def _where(pieces: Sequence[Piece], options: argparse.Namespace) -> Iterator[str]:
    """Say where what is due would be run, and how long a cluster would take."""
    from pytest_modellab.lab import work

    due = _due(pieces)
    if not due or options.on == "local":
        return
    count = sum(len(one.parts) for one in due)
    shards = f"{count} shard{'s' if count > 1 else ''}"
    if not any(one.seconds for one in due):
        yield f"on {options.on}: {shards}; nothing is known of how long they take"
        return
    if options.workers is None:
        yield f"on {options.on}: {shards}; --workers N says how long so many workers take"
        return
    used = min(options.workers, count)
    unknown = sum(one.seconds is None for one in due)
    rest = f", without the {unknown} of which nothing is known," if unknown else ""
    yield (
        f"on {options.on}: {shards}, on {used} worker{'s' if used > 1 else ''} about "
        f"{work.wall_time(due, used):.0f} s{rest} and what loading takes, where there is room for "
        "them"
    )


def _takes(one: Piece) -> str:
    if one.seconds is None:
        return ", for the first time"
    held = f", {size(one.held)}" if one.held else ""
    usd = f", {_usd(one.usd)}" if one.usd is not None else ""
    return f", about {one.seconds:.0f} s{held}{usd}"


def _usd(dollars: float) -> str:
    return f"{dollars:.4f} USD"
