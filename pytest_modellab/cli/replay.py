"""``modellab replay FILE.zip``: whether a diagnosis of elsewhere comes out here as well."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.cli import diagnose
from pytest_modellab.cli.common import (
    EXIT_FOUND,
    EXIT_INTERRUPTED,
    EXIT_OK,
    Subparsers,
    add_config,
    add_rehash,
    find_config,
    say,
)
from pytest_modellab.errors import DiagnosisError

if TYPE_CHECKING:
    from pytest_modellab.lab.bundle import Bundle, Declared
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.records.diagnosis import Diagnosis

TOLERANCE = 0.01
"""Share by which the damage may differ: other processors round otherwise."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    replay = commands.add_parser(
        "replay",
        help="run a bundle of modellab diagnose again",
        description="Runs what a bundle holds with the two models at hand, and says whether the "
        "same part is named at the same damage. Exits with 0 where it is, with 1 where not, with 2 "
        "where it cannot be run: the models must be those of the bundle.",
    )
    replay.add_argument("bundle", type=Path, metavar="FILE.zip", help="of --bundle")
    add_config(replay)
    for side in ("base", "candidate"):
        replay.add_argument(
            f"--{side}",
            metavar="FOLDER",
            help=f"the {side} (default: the variant of that name in modellab.toml)",
        )
    add_rehash(replay)
    replay.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    Raises:
        ModellabError: the bundle cannot be read, or the models are not at hand.
    """
    from pytest_modellab.lab import bundle
    from pytest_modellab.lab.diagnosing import Limits
    from pytest_modellab.lab.pair import Asked, Pair

    found = bundle.read(options.bundle)
    config = find_config(options.config)
    lab = None if config is None else diagnose.lab_of(config, rehash=options.rehash)
    head = found.head
    with diagnose.remembering(rehash=options.rehash):
        base = _resolved("base", options.base, head.base, lab)
        candidate = _resolved("candidate", options.candidate, head.candidate, lab, base)
    notes = [*bundle.versions(base, head.base), *bundle.versions(candidate, head.candidate)]
    asked = Asked(texts=found.texts, chats=found.chats, tokens=head.tokens, long=head.long)
    examining, pair = diagnose.examining_of(lab), Pair(base, candidate)
    try:
        again = examining.examine(pair, asked, Limits(reuse=False)).diagnosis
    except KeyboardInterrupt:
        say("modellab: interrupted; nothing of the diagnosis is kept", error=True)
        return EXIT_INTERRUPTED
    same = _same(found.diagnosis, again)
    _print(found, again, same=same, notes=list(dict.fromkeys(notes)))
    return EXIT_OK if same else EXIT_FOUND


def _resolved(
    side: str, folder: str | None, noted: Declared, lab: Lab | None, base: Resolved | None = None
) -> Resolved:
    """Find the model that a bundle was made of; an adapter is put on the base.

    Raises:
        DiagnosisError: it is not named, or is another one.
    """
    from pytest_modellab.lab import bundle, folders

    if folder is not None:
        if not Path(folder).expanduser().exists():
            raise DiagnosisError(f"--{side} {folder}: there is no such file or folder")
        found = folders.resolve(folder, base)
    elif lab is not None and noted.name in lab.config.variants:
        found = lab.variant(noted.name)
    else:
        raise DiagnosisError(
            f"the bundle's {side}, {noted.name!r} (from {noted.source!r}), is no variant of a "
            f"modellab.toml here; name its folder: --{side} FOLDER"
        )
    if parts := bundle.differences(found, noted):
        raise DiagnosisError(
            f"{found.name} is not the bundle's {side}, {noted.name!r}: its {', '.join(parts)} "
            "differ; take the files that the bundle was written with"
        )
    return found


def _same(before: Diagnosis, after: Diagnosis) -> bool:
    if before.culprit != after.culprit:
        return False
    if before.damage is None or after.damage is None:
        return before.damage is after.damage
    return math.isclose(before.damage, after.damage, rel_tol=TOLERANCE, abs_tol=1e-4)


def _print(found: Bundle, again: Diagnosis, *, same: bool, notes: list[str]) -> None:
    def row(name: str, here: str, there: str) -> str:
        return f"  {name:<11}  {here}" + ("" if here == there else f"; in the bundle {there}")

    before, head = found.diagnosis, found.head
    verdict = "reproduced" if same else "NOT reproduced"
    say(f"[Replay] {head.candidate.name} against {head.base.name}: {verdict}")
    say(row("culprit", again.culprit or "none", before.culprit or "none"))
    say(row("damage", *map(_damage, (again, before))))
    say(row("found", again.headline, before.headline))
    say(*(f"  note         {note}" for note in notes))


def _damage(one: Diagnosis) -> str:
    from pytest_modellab.reports import diagnosed

    return "none in nats" if one.damage is None else f"{one.damage:.4g} {diagnosed.unit(one)}"
