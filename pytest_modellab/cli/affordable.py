"""What a device makes affordable, as `modellab plan` says it: nothing is run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_modellab.errors import ModellabError
from pytest_modellab.records.reading import decimal

if TYPE_CHECKING:
    from pytest_modellab.config.lab_config import LabConfig
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.registry import Extensions
    from pytest_modellab.records.tasks import TaskSet
    from pytest_modellab.tasksets.quality.affording import Affordable, Pace
    from pytest_modellab.tasksets.quality.planning import Aim, Bucket

MINUTES = 5.0
"""What a run of one variant may take unless something else is asked."""


def add(group: argparse._ActionsContainer) -> None:
    """Declare the option."""
    group.add_argument(
        "--minutes",
        type=_minutes,
        metavar="M",
        help="how many samples, and how small a drop, M minutes of a variant pay for on each "
        f"device that it ran on (default: {MINUTES:g})",
    )


def _minutes(text: str) -> float:
    try:
        value = decimal(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes above 0")
    return value


def lab_of(config: LabConfig, extensions: Extensions) -> Lab:
    """Return what knows the variants: one for all task sets, since it finds each of them once."""
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.store.place import default_folder

    return Lab(config, Settings(cache=default_folder()), extensions=extensions)


def paces(lab: Lab, task_set: TaskSet, variant: str | None) -> tuple[list[Pace], list[str]]:
    """Gather how fast variants answered a task set, on each device that is known.

    Args:
        lab: knows the variants.
        task_set: what was asked.
        variant: the one that is asked about; None for all.

    Returns:
        The paces, in the order of the configuration, and the variants that none is known of.
    """
    from pytest_modellab.tasksets.quality.affording import by_device

    found: list[Pace] = []
    unknown = []
    for name in lab.config.variants if variant is None else [variant]:
        own = by_device(_known(lab, name, task_set))
        found += own
        if not own:
            unknown.append(name)
    return found, unknown


def _known(lab: Lab, name: str, task_set: TaskSet) -> Iterator[Pace | None]:
    """What this machine's store has goes first: it is as busy, and as old, as the machine is."""
    from pytest_modellab.tasksets.quality.affording import pace_of

    if (lab.settings.cache / "runs").is_dir():  # else there is no need to hash its files
        try:
            stored = lab.stored(lab.variant(name), task_set)
        except (ModellabError, OSError):  # its model is not installed here
            stored = None
        if stored is not None:
            yield pace_of(name, stored, "stored here")
    try:
        accepted = lab.accepted(name, task_set.name)
    except ModellabError:  # a damaged file is no evidence
        return
    if accepted is not None and accepted.run.task_set["hash"] == task_set.hash:
        day = accepted.run.environment.get("recorded", "")
        yield pace_of(name, accepted.run, f"accepted {day}".strip())


def afforded(
    known: Sequence[Pace], minutes: float | None, whole: Bucket, question: Aim
) -> list[Affordable]:
    """Plan what each variant's time pays for.

    Args:
        known: how fast the variants are.
        minutes: what a run of one may take; None for :data:`MINUTES`.
        whole: all samples of the task set.
        question: what is asked.
    """
    from pytest_modellab.tasksets.quality.affording import afford

    seconds = 60.0 * (MINUTES if minutes is None else minutes)
    return [afford(pace, seconds, whole, question) for pace in known]
