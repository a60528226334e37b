"""``modellab build``: make variants as their recipes say."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import (
    EXIT_OK,
    Subparsers,
    add_config,
    add_rehash,
    chosen,
    complete,
    count,
    discover,
    required_config,
    say,
)
from pytest_modellab.errors import ConfigError, ModelError, VariantLoadError
from pytest_modellab.reports.text.progress import BuildProgress, span

if TYPE_CHECKING:
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.recipes.build import BuildEstimate, BuildJob
    from pytest_modellab.recipes.provenance import Provenance


def add(commands: Subparsers) -> None:
    """Declare the command."""
    build = commands.add_parser(
        "build",
        help="make variants as their recipes say: adapters, students, calibrated models",
        description="Trains or calibrates what [variants.NAME.recipe] declares and writes it, with "
        "provenance.json, to the folder that the variant is loaded from. A killed build goes on "
        "from its last checkpoint.",
    )
    build.add_argument("variant", nargs="+", help="names; a base before what it is the base of")
    add_config(build)
    build.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")
    build.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, take two steps to measure time and memory, write nothing",
    )
    build.add_argument("--max-steps", type=count, help="optimizer steps at most")
    build.add_argument("--output", type=Path, help="another folder for the artefact")
    build.add_argument("--fresh", action="store_true", help="forget a killed build's checkpoints")
    build.add_argument("--force", action="store_true", help="replace an artefact, after success")
    add_rehash(build)
    complete(build, variants="variant")
    build.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.recipes import build
    from pytest_modellab.store.place import default_folder

    config = required_config(options.config)
    variants = chosen("variant", options.variant, config.variants)
    settings = Settings(cache=default_folder(), rehash=options.rehash)
    lab = Lab(config, settings, extensions=discover(config))
    if options.output is not None and len(variants) > 1:
        raise ConfigError(f"--output: one folder for {len(variants)} variants; build one at a time")
    recipes = lab.extensions.recipes
    jobs = [build.check(config, lab.spec(name), options.output, recipes) for name in variants]
    for job in jobs:
        say(_intention(job, options.max_steps))
        if options.dry_run:
            say(_expected(lab, job, options))
        else:
            say(*_made(job, _build(lab, job, options)))
    return EXIT_OK


def _build(lab: Lab, job: BuildJob, options: argparse.Namespace) -> Provenance:
    from pytest_modellab.recipes import build

    base = lab.variant(job.base)
    return build.build(
        job,
        base.plan,
        base.files,
        lab.settings.cache,
        device=options.device,
        max_steps=options.max_steps,
        fresh=options.fresh,
        force=options.force,
        progress=BuildProgress(sys.stderr, job.spec.name),
    )


def _intention(job: BuildJob, max_steps: int | None) -> str:
    steps = job.steps(max_steps)
    learns = f"{len(job.data.rows)} rows of {job.data.name}" if job.data else "data that it writes"
    return (
        f"{job.spec.name}: {job.recipe.name} on {job.base}, {learns}, "
        f"{steps} step{'s' if steps != 1 else ''} -> {os.path.relpath(job.destination)}"
    )


def _expected(lab: Lab, job: BuildJob, options: argparse.Namespace) -> str:
    from pytest_modellab.recipes import build

    try:
        base = lab.variant(job.base)
        found = build.estimate(
            job,
            base.plan,
            base.files,
            lab.settings.cache,
            device=options.device,
            max_steps=options.max_steps,
        )
    except (ModelError, VariantLoadError) as error:
        return f"  not measured, the base cannot be loaded: {error}"
    return _measured(found, options.device)


def _measured(found: BuildEstimate, device: str) -> str:
    return (
        f"  measured on {device}: {found.each:.2f} s a step, {span(found.seconds)} in all; "
        f"peak memory {found.memory / 1e9:.1f} GB"
    )


def _made(job: BuildJob, made: Provenance) -> list[str]:
    curve = f", loss {made.loss[0][1]:.3g} -> {made.loss[-1][1]:.3g}" if made.loss else ""
    lines = [
        f"{job.spec.name}: wrote {os.path.relpath(job.destination)} after {made.steps} steps in "
        f"{span(made.seconds)}{curve}"
    ]
    return [*lines, *(f"  {note}" for note in made.notes)]
