"""``modellab review``: did what decides become weaker than at a git ref?"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import (
    EXIT_FOUND,
    EXIT_OK,
    Subparsers,
    add_config,
    required_config,
    say,
)

if TYPE_CHECKING:
    from pytest_modellab.review.changes import Change
    from pytest_modellab.review.review import Review


def add(commands: Subparsers) -> None:
    """Declare the command."""
    review = commands.add_parser(
        "review",
        help="what became weaker in what decides, since a git ref",
        description="Compares margins, samples, tests and accepted runs with a git ref. Ends with "
        "1 where something became weaker that [acknowledged] in modellab.toml gives no reason for.",
    )
    review.add_argument(
        "--against",
        metavar="REF",
        help="commit, branch or tag (default: the merge base with the default branch)",
    )
    add_config(review)
    review.add_argument("--json", action="store_true", help="print JSON instead")
    review.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_modellab.review.review import review

    found = review(required_config(options.config), options.against)
    if options.json:
        print(json.dumps(to_data(found), indent=1))
    else:
        from pytest_modellab.review.words import lines

        say(*lines(found))
    return EXIT_FOUND if found.weaker else EXIT_OK


def to_data(found: Review) -> dict[str, object]:
    """What ``--json`` prints."""

    def one(change: Change) -> dict[str, object]:
        reason = found.acknowledged.get(change.key) if change.weakens else None
        return {**dataclasses.asdict(change), "key": change.key, "acknowledged": reason}

    return {
        "against": dataclasses.asdict(found.against),
        "weaker": len(found.weaker),
        "changes": [one(change) for change in found.changes],
        "stale": list(found.stale),
        "notes": list(found.notes),
    }
