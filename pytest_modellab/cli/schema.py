"""``modellab schema``: what an editor completes and checks modellab.toml by."""

from __future__ import annotations

import argparse

from pytest_modellab.cli.common import EXIT_OK, Subparsers, discover, find_config, say


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
    schema.add_argument(
        "--path",
        action="store_true",
        help="print where the package has it as a file, without the kinds of plugins",
    )
    schema.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_modellab.lab import schema

    if options.path:
        say(str(schema.FOLDER / f"{options.file}.json"))
        return EXIT_OK
    if options.file == "task_set":
        found = schema.task_set()
    else:
        found = schema.modellab(discover(find_config(None)).kinds)
    print(schema.text(found), end="")
    return EXIT_OK
