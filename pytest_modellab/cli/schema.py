"""``modellab schema``: what an editor completes and checks modellab.toml by."""

from __future__ import annotations

import argparse
import json

from pytest_modellab.cli.common import EXIT_OK, Subparsers, discover, find_config


def add(commands: Subparsers) -> None:
    """Declare the command."""
    schema = commands.add_parser(
        "schema",
        help="print the JSON schema of modellab.toml or task_set.toml, for editors",
        description="Prints a JSON schema (draft 2020-12). With modellab.toml here or in suites/, "
        "the kinds that plugins and its conftest.py add are in it.",
    )
    schema.add_argument(
        "file",
        nargs="?",
        choices=("modellab", "task_set"),
        default="modellab",
        help="of which file (default: modellab)",
    )
    schema.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_modellab.lab import schema

    if options.file == "task_set":
        found = schema.task_set()
    else:
        found = schema.modellab(discover(find_config(None)).kinds)
    print(json.dumps(found, indent=2))
    return EXIT_OK
