"""``modellab canary``: does a server mean what it says?"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import (
    EXIT_FOUND,
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
from pytest_modellab.errors import ConfigError

if TYPE_CHECKING:
    from pytest_modellab.records.canary import Canary

_DESCRIPTION = """\
Ask the server of a variant some short requests, about 50 where it generates, and judge its replies:
are prompts what the tokenizer makes of them, are stop texts, limits and seeds respected, are
log-probabilities those of the model, are vectors and scores those of the right texts, is it the
same model to the end? A test run asks the same before it scores anything. What is looked at:
docs/served.md."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    canary = commands.add_parser(
        "canary",
        help="does the server of a variant do what it says, before anything of it is scored",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    canary.add_argument("variant", metavar="VARIANT", help="that asks a server")
    canary.add_argument("--json", type=Path, metavar="FILE", help="write what was found as JSON")
    add_config(canary)
    complete(canary, variants="variant")
    canary.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    Raises:
        ConfigError: no such variant, it is not served, or the report cannot be written.
        ModellabError: the server does not answer, or has no such model.
    """
    from pytest_modellab.lab import proved
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.store.place import default_folder

    config = required_config(options.config)
    (name,) = chosen("variant", [options.variant], config.variants)
    cache = default_folder()
    source = Lab(config, Settings(cache=cache), extensions=discover(config)).variant(name).source
    servers = source.plan.servers
    if not servers:
        raise ConfigError(
            f"{name!r} asks no server: a canary is for variants of kind 'endpoint' and for those "
            "that embed or rerank by one (url = …)"
        )
    with contextlib.closing(source.open(cache)) as engine:
        found = [proved.examine(source, engine, cache, one) for one in servers]
    unwritten = []
    if options.json is not None:
        told = [dataclasses.asdict(one) for one in found]
        text = json.dumps(told if len(told) > 1 else told[0], indent=1, sort_keys=True) + "\n"
        unwritten = save({options.json: text})
    for server, one in zip(servers, found, strict=True):
        say(*_lines(one, name, server.address.host))
    if unwritten:
        raise ConfigError("; ".join(unwritten))
    return EXIT_FOUND if any(one.findings for one in found) else EXIT_OK


def _lines(found: Canary, name: str, host: str) -> Iterator[str]:
    wrong = len(found.findings)
    yield (
        f"{name} at {host}: {wrong} fault{'s' * (wrong != 1)} found"
        if wrong
        else f"{name} at {host}: nothing is wrong"
    )
    for one in found.findings:
        yield f"FOUND {one.name}"
        yield f"  seen:     {one.seen}"
        yield f"  expected: {one.expected}"
        yield f"  to do:    {one.mend}"
        if one.takes:
            yield f"  until then {_TAKEN[one.takes]}"
    yield f"checked: {', '.join(found.checked)}"
    for unchecked in found.unchecked:
        yield str(unchecked)
    if found.ways:
        yield f"options are scored by: {', '.join(found.ways)}"
    if found.noise is not None:
        yield f"noise floor: {found.noise}"


_TAKEN = {
    "score": "tasks that score options are an ERROR",
    "seed": "nothing is an ERROR: samples are decoded greedily",
    "stop": "nothing is an ERROR: no sample is asked with a stop text",
}
